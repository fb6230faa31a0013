import { availableParallelism } from "node:os";
import { instantiate, type Kernels, kernelModule } from "../workers/kernels.js";
import { runInline } from "../workers/phase.js";
import { InvalidArgumentError, InvalidShapeError, PoolClosedError } from "./errors.js";
import { checkForwardOptions, checkLayer, checkOut, type ForwardOptions } from "./forward-options.js";
import { cellCount } from "./geometry.js";
import { checkPositiveInteger, readOptions } from "./layers/arguments.js";
import type { Layer } from "./layers/layer.js";
import { type Moments, mergePartials, partialBytes } from "./moments.js";
import { normalize, type Run } from "./normalize.js";
import { setMoments } from "./plan.js";
import { MAX_THREADS, NONE, operandsOf, type Phase, sliceCount } from "./protocol.js";
import { Arena } from "./tensor/arena.js";
import { checkDtype, DTYPES, type Dtype, dtypeOf } from "./tensor/dtype.js";
import { cellsOf, checkShape, formatShape, type Shape } from "./tensor/shape.js";
import { checkTensor, pin, Tensor, unpin } from "./tensor/tensor.js";
import { Threads } from "./threads.js";
import { Workspace } from "./workspace.js";

/**
 * Up to so many cells a call computes on the calling thread. Handing a phase to workers and back takes about as long as one thread
 * needs for half of them (`npm run bench -- latency`), and it blocks the event loop for less than half a millisecond.
 */
const INLINE_CELLS = 131_072;

export interface NormPoolOptions {
  /** Worker threads, up to 255. Default: os.availableParallelism(). They start with the first tensor that is worth it. */
  readonly threads?: number;
}

/**
 * A pool of worker threads and the shared memory that they normalise tensors in.
 *
 * Results have the same bits at any number of threads. The memory holds up to 4 GiB of tensors; it grows as needed, uses freed
 * regions again, and goes back to the system when the pool and all its tensors are garbage.
 */
export class NormPool implements AsyncDisposable {
  /** Worker threads of the pool. */
  readonly threads: number;
  readonly #arena = new Arena();
  readonly #threads: Threads;
  readonly #running = new Set<Promise<unknown>>();
  #kernels: Kernels | undefined;
  #closed: Promise<void> | undefined;

  /** @throws InvalidArgumentError, OutOfMemoryError if no address space is to be had. */
  constructor(options?: NormPoolOptions) {
    const { threads } = readOptions<NormPoolOptions>("NormPool", options, {
      threads: Math.min(MAX_THREADS, availableParallelism()),
    });
    this.threads = checkPositiveInteger("NormPool", "threads", threads);
    if (this.threads > MAX_THREADS) {
      throw new InvalidArgumentError("NormPool", "threads", `at most ${MAX_THREADS}`, String(threads));
    }
    this.#threads = new Threads(this.threads, this.#arena.memory, kernelModule());
  }

  /**
   * A tensor of zeros in shared memory. Tensors that are dropped, not disposed of, are given back in a later turn of the event loop:
   * a loop that makes many without waiting for anything runs out of memory.
   * @throws UnsupportedDtypeError, InvalidShapeError, OutOfMemoryError, PoolClosedError
   */
  tensor<D extends Dtype>(dtype: D, shape: Shape): Tensor<D> {
    const operation = "pool.tensor";
    this.#checkOpen(operation);
    checkDtype(operation, dtype);
    return this.#allocate(operation, dtype, checkShape(operation, shape), true);
  }

  /**
   * A tensor with a copy of `array`'s elements, in row-major order: the one copy that normpool makes.
   * @param shape default: one dimension of array.length.
   * @throws UnsupportedDtypeError, InvalidShapeError, OutOfMemoryError, PoolClosedError
   */
  from(array: Float32Array, shape: Shape = [array.length]): Tensor<"float32"> {
    const operation = "pool.from";
    this.#checkOpen(operation);
    const dtype = dtypeOf(operation, array);
    const checked = checkShape(operation, shape);
    if (cellsOf(checked) !== array.length) {
      const message = `expected ${cellsOf(checked)} elements for shape ${formatShape(checked)} but got ${array.length}`;
      throw new InvalidShapeError(operation, message, checked);
    }
    const tensor = this.#allocate(operation, dtype, checked, false);
    tensor.data.set(array);
    return tensor;
  }

  /**
   * Normalises `x` with `layer`. The weights are read when the call starts; running statistics are updated when the output is
   * complete, and not at all if the call fails.
   *
   * @param x a tensor of this pool, of a shape that the layer takes.
   * @returns `options.out`, or a new tensor of the same dtype and shape.
   * @throws (as rejection) InvalidShapeError, InvalidArgumentError, OutOfMemoryError, AbortedError, WorkerFailedError, PoolClosedError
   */
  forward<D extends Dtype>(layer: Layer, x: Tensor<D>, options?: ForwardOptions<Tensor<D>>): Promise<Tensor<D>> {
    return this.#track(this.#forward(layer, x, options));
  }

  /**
   * Count, mean and M2 of all cells of `x`, in float64. The variance is m2 / count.
   * @throws (as rejection) InvalidArgumentError, AbortedError, WorkerFailedError, PoolClosedError
   */
  moments(x: Tensor, options?: Pick<ForwardOptions, "signal">): Promise<Moments> {
    return this.#track(this.#moments(x, options));
  }

  /** Waits for the calls that are running, then ends the threads. Later calls are refused; tensors stay readable. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  /** `await using pool = new NormPool()` closes the pool at the end of its scope. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #forward<D extends Dtype>(layer: Layer, x: Tensor<D>, given: unknown): Promise<Tensor<D>> {
    checkLayer("pool.forward", layer);
    const operation = layer.name;
    this.#checkOpen(operation);
    checkTensor(operation, "x", x, this.#arena);
    const options = checkForwardOptions<Tensor<D>>(operation, given);
    const { out } = options;
    if (out !== undefined) checkOut(operation, out, x, this.#arena);
    const normalization = layer.prepare(x.shape);
    const cells = cellCount(normalization.geometry);

    // From here on x and out stay where they are, whatever the caller disposes of meanwhile.
    const from = pin(x);
    const workspace = new Workspace(this.#arena, operation);
    let y = out;
    try {
      y ??= this.#allocate(operation, x.dtype, x.shape, false);
      const to = pin(y);
      try {
        const moments =
          cells === 0
            ? { count: 0, mean: new Float64Array(0), m2: new Float64Array(0) }
            : await normalize(normalization, from, to, workspace, (plan) => {
                const phases: (Phase | undefined)[] =
                  "normalize" in plan.phases ? [plan.phases.normalize] : [plan.phases.moments, plan.phases.apply];
                return this.#runner(
                  operation,
                  cells,
                  phases.filter((phase) => phase !== undefined),
                  options,
                );
              });
        if (moments !== undefined) normalization.update?.(moments);
        await this.#turnIfDue();
      } finally {
        unpin(y);
      }
      return y;
    } catch (error) {
      if (out === undefined) y?.dispose();
      throw error;
    } finally {
      workspace.giveBack();
      unpin(x);
    }
  }

  async #moments(x: Tensor, given: unknown): Promise<Moments> {
    const operation = "pool.moments";
    this.#checkOpen(operation);
    checkTensor(operation, "x", x, this.#arena);
    const options = checkForwardOptions(operation, given);
    const cells = cellsOf(x.shape);
    if (cells === 0) return { count: 0, mean: 0, m2: 0 };
    const phase = setMoments(1, cells, true);
    const address = pin(x);
    const workspace = new Workspace(this.#arena, operation);
    try {
      const partials = workspace.float64(partialBytes(phase) / 8);
      const operands = { ...operandsOf(address, NONE), partials: partials.address };
      await this.#runner(operation, cells, [phase], options)(phase, operands);
      const { count, mean, m2 } = mergePartials(phase, 1, partials.values);
      await this.#turnIfDue();
      return { count, mean: mean[0] as number, m2: m2[0] as number };
    } finally {
      workspace.giveBack();
      unpin(x);
    }
  }

  /** How a call of `cells` cells runs its phases: all here, or all on the workers. */
  #runner(operation: string, cells: number, phases: readonly Phase[], { signal, onProgress }: ForwardOptions): Run {
    if (cells <= INLINE_CELLS) {
      this.#kernels ??= instantiate(kernelModule(), this.#arena.memory, 0);
      const kernels = this.#kernels;
      return (phase, operands) => runInline(kernels, phase, operands);
    }
    const total = phases.reduce((slices, phase) => slices + sliceCount(phase), 0);
    let before = 0;
    return async (phase, operands) => {
      const { kind } = phase;
      const onDone =
        onProgress && kind !== "double"
          ? (slices: number) => onProgress({ phase: kind, done: before + slices, total })
          : undefined;
      await this.#threads.run(operation, phase, operands, { signal, onDone });
      before += sliceCount(phase);
    };
  }

  /** Calls on the calling thread may follow each other without a turn of the event loop, in which nothing dropped is freed. */
  async #turnIfDue(): Promise<void> {
    if (this.#arena.turnIsDue) await new Promise(setImmediate);
  }

  #allocate<D extends Dtype>(operation: string, dtype: D, shape: Shape, zeroed: boolean): Tensor<D> {
    const region = this.#arena.own(operation, cellsOf(shape) * DTYPES[dtype].bytes, zeroed);
    return new Tensor(this.#arena, region, dtype, shape);
  }

  #checkOpen(operation: string): void {
    if (this.#closed !== undefined) throw new PoolClosedError(operation);
  }

  #track<T>(call: Promise<T>): Promise<T> {
    this.#running.add(call);
    const forget = () => this.#running.delete(call);
    call.then(forget, forget);
    return call;
  }

  async #finish(): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#threads.close();
  }
}
