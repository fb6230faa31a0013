import { availableParallelism } from "node:os";
import { types } from "node:util";
import {
  type BackwardOptions,
  backward,
  type GradientOptions,
  type Gradients,
  gradientSums,
} from "./calls/backward.js";
import { create, open } from "./calls/files.js";
import { forward } from "./calls/forward.js";
import { type MapOptions, map } from "./calls/map.js";
import { moments, momentsOf } from "./calls/moments-of.js";
import type { CallOptions, ForwardOptions, LayerCallOptions } from "./calls/options.js";
import { checkAtLeast, checkBoolean, checkPositiveInteger, readOptions } from "./check.js";
import { now } from "./clock.js";
import { describe } from "./describe.js";
import { InvalidArgumentError, PoolClosedError } from "./errors.js";
import { isLayer } from "./layers/base-layer.js";
import type { Layer } from "./layers/layer.js";
import type { StateTensor } from "./layers/state.js";
import { Arena, MAX_BYTES } from "./memory/arena.js";
import type { Moments, SetMoments } from "./merge/moments.js";
import type { GradientSums } from "./merge/sums.js";
import { CELL_BYTES } from "./plan/cells.js";
import { release, releaseWith } from "./run/dropped.js";
import { type CallEvent, isWatched, tell } from "./run/events.js";
import { Executor, type ExecutorOptions } from "./run/executor.js";
import { SLICE_TIMEOUT } from "./run/queue.js";
import { drive, isPromise } from "./run/steps.js";
import { MAX_THREADS } from "./run/threads.js";
import type { CreateOptions, OpenOptions } from "./storage/file-tensor.js";
import {
  checkDtype,
  type Dtype,
  dtypeOf,
  type OutputDtype,
  type TensorSource,
  type TypedArrays,
} from "./tensor/dtype.js";
import type { OutputTensor } from "./tensor/output-tensor.js";
import { checkShape, type Shape } from "./tensor/shape.js";
import { checkElements, holdingOf, readSource } from "./tensor/sources.js";
import { isTensor, Tensor } from "./tensor/tensor.js";
import { bufferOf, byteOffsetOf } from "./tensor/typed-arrays.js";

export { MAX_THREADS } from "./run/threads.js";

export interface NormPoolOptions {
  /** Worker threads, up to 255. Default: os.availableParallelism(). They start with the first tensor that is worth it. */
  readonly threads?: number | undefined;
  /** Bytes that the pool's memory may grow to, its tensors and what running calls need; beyond them it is an OutOfMemoryError. Default: 4 GiB. */
  readonly maxMemory?: number | undefined;
  /**
   * Calls at once that are large enough for workers, running and waiting; one more is rejected with a QueueFullError. Default: any number.
   */
  readonly maxQueue?: number | undefined;
  /**
   * Whether the calling thread computes where no worker thread can be had, a slice in each turn of the event loop: slowly, told once by a process
   * warning. If not, such calls are rejected with a WorkerFailedError. Default: true.
   */
  readonly fallback?: boolean | undefined;
  /**
   * Milliseconds after which a worker that has not got on with its slice, which takes one or two, is taken to be stuck: its thread is ended, and
   * the slice done by another. Default: 60,000.
   */
  readonly sliceTimeout?: number | undefined;
}

/** What `close` takes. */
export interface CloseOptions {
  /** Whether calls that are running are rejected, with a PoolClosedError, and not waited for. Default: false. */
  readonly abort?: boolean | undefined;
}

/** How a pool does. */
export interface PoolStats {
  /** Worker threads that there are now; they start when they are needed. */
  readonly threads: number;
  /** Worker threads that ended before they were to. */
  readonly threadsLost: number;
  /** Slices that were lost with their threads, and done again. */
  readonly slicesLost: number;
  /** Calls on worker threads that have one now, and those that wait. */
  readonly callsRunning: number;
  readonly callsWaiting: number;
  /** Calls that have ended, small ones too, and how many of them failed after they had started. */
  readonly callsEnded: number;
  readonly callsFailed: number;
  /** Bytes of the inputs of calls that have ended well. */
  readonly bytes: number;
  /** Milliseconds: summed over the calls that have ended and were not done at once, until the result; and how long phases waited for a thread. */
  readonly callTime: number;
  readonly waitTime: number;
  /** Bytes: in use by tensors and calls, the most that were, what the memory has grown to, and what it may grow to. */
  readonly memoryInUse: number;
  readonly memoryPeak: number;
  readonly memorySize: number;
  readonly memoryLimit: number;
}

/** Whether it is a pool: a Proxy of one is none. */
export let isPool: (value: unknown) => value is NormPool;
/** Throws InvalidArgumentError unless it is a pool. */
let checkPool: (pool: unknown, operation: Layer | string) => asserts pool is NormPool;
/** Throws PoolClosedError too. */
let checkOpen: (pool: NormPool, operation: Layer | string) => void;
/** As `run`, for what computes in other ways than the pool's own calls. */
export let runOn: <T>(
  pool: NormPool,
  operation: string,
  x: Tensor,
  start: (executor: Executor) => T | Promise<T>,
) => Promise<T>;
/** Starts a call of a layer, or of the operation named, unless the pool is closed, and waits for it in `close`. */
let run: <T>(pool: NormPool, operation: Layer | string, x: Tensor, start: () => T | Promise<T>) => Promise<T>;

/** An operation as errors name it. What is no layer is told of later. */
function nameOf(operation: Layer | string): string {
  if (typeof operation === "string") return operation;
  return isLayer(operation) ? operation.name : "pool.forward";
}

/** The tensor that a call counts. Whether it is one is checked by the call. */
function inputOf<D extends Dtype>(options: GradientOptions<D>): Tensor<D> {
  try {
    return options.input;
  } catch {
    return undefined as unknown as Tensor<D>;
  }
}

/** The memory's foot and a segment or two of each thread: less is of no use. */
const LEAST_MEMORY = 1 << 20;

/**
 * A pool of worker threads and the shared memory that they normalise tensors in.
 *
 * Results have the same bits at any number of threads. The memory holds up to 4 GiB of tensors; it grows as needed, uses freed
 * regions again, and goes back to the system when the pool is closed and its tensors are disposed of or dropped. A pool that is dropped and not
 * closed is closed when V8 finds that: some time after its calls have ended.
 */
export class NormPool implements AsyncDisposable {
  /** Worker threads of the pool. */
  readonly threads: number;
  readonly #executor: Executor;
  readonly #running = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;
  #ended = 0;
  #failed = 0;
  #bytes = 0;
  #callTime = 0;

  /** @throws InvalidArgumentError, OutOfMemoryError if no address space is to be had, UnsupportedRuntimeError if no WebAssembly is. */
  constructor(options?: NormPoolOptions);
  /** @internal @param inside of the executor, for tests. */
  constructor(options: NormPoolOptions | undefined, inside: ExecutorOptions);
  constructor(options?: NormPoolOptions, inside: ExecutorOptions = {}) {
    const { threads, maxMemory, maxQueue, fallback, sliceTimeout } = readOptions("NormPool", options, {
      threads: Math.min(MAX_THREADS, availableParallelism()),
      maxMemory: MAX_BYTES,
      maxQueue: Number.MAX_SAFE_INTEGER,
      fallback: true,
      sliceTimeout: SLICE_TIMEOUT,
    });
    checkAtLeast("NormPool", "maxMemory", maxMemory, LEAST_MEMORY);
    checkPositiveInteger("NormPool", "maxQueue", maxQueue);
    checkBoolean("NormPool", "fallback", fallback);
    checkAtLeast("NormPool", "sliceTimeout", sliceTimeout, 1);
    this.threads = checkPositiveInteger("NormPool", "threads", threads);
    if (this.threads > MAX_THREADS) {
      throw new InvalidArgumentError("NormPool", "threads", `at most ${MAX_THREADS}`, String(threads));
    }
    const queue = { maxQueue, fallback, sliceTimeout };
    this.#executor = new Executor(this.threads, new Arena(Math.min(maxMemory, MAX_BYTES)), { ...inside, queue });
    releaseWith(this, this.#executor);
  }

  /**
   * A tensor in shared memory whose cells are whatever was there: for what is written before it is read.
   * @throws UnsupportedDtypeError, InvalidShapeError, OutOfMemoryError, PoolClosedError
   */
  empty<D extends Dtype>(dtype: D, shape: Shape): Tensor<D> {
    checkOpen(this, "pool.empty");
    return this.#allocate("pool.empty", dtype, shape, false);
  }

  /**
   * A tensor of zeros in shared memory; memory that was used before is zeroed on the calling thread. Tensors that are dropped, not disposed of, are
   * given back in a later turn of the event loop: a loop that makes many without waiting for anything runs out of memory.
   * @throws UnsupportedDtypeError, InvalidShapeError, OutOfMemoryError, PoolClosedError
   */
  tensor<D extends Dtype>(dtype: D, shape: Shape): Tensor<D> {
    checkOpen(this, "pool.tensor");
    return this.#allocate("pool.tensor", dtype, shape, true);
  }

  #allocate<D extends Dtype>(operation: string, dtype: D, shape: Shape, zeroed: boolean): Tensor<D> {
    checkDtype(operation, dtype);
    return this.#executor.allocate(operation, dtype, checkShape(operation, shape), zeroed);
  }

  /**
   * A tensor with a copy of `array`'s elements, in row-major order, made on the calling thread. Or of a state dict's tensor, in its shape.
   * @param shape default: one dimension of array.length.
   * @param dtype default: that of the array; of a Uint16Array it must be said.
   * @throws UnsupportedDtypeError, InvalidShapeError, OutOfMemoryError, PoolClosedError
   */
  from(array: Float32Array, shape?: Shape, dtype?: "float32"): Tensor<"float32">;
  from(array: Float64Array, shape?: Shape, dtype?: "float64"): Tensor<"float64">;
  from(array: Uint8Array | Uint8ClampedArray, shape?: Shape, dtype?: "uint8"): Tensor<"uint8">;
  from<D extends "float16" | "bfloat16">(array: Uint16Array, shape: Shape, dtype: D): Tensor<D>;
  from(tensor: StateTensor): Tensor<"float32" | "float64">;
  from(array: TensorSource, shape?: Shape, dtype?: Dtype): Tensor;
  from(source: TensorSource | StateTensor, shape?: Shape, dtype?: Dtype): Tensor {
    const operation = "pool.from";
    checkOpen(this, operation);
    const { array, shape: own } = readSource(operation, source, shape);
    const found = dtypeOf(operation, array, dtype);
    const view = array as ArrayBufferView;
    const checked = checkElements(operation, view, own);
    const tensor = this.#executor.allocate(operation, found, checked, false);
    // Bytes, so that the bits of float16 in a Uint16Array stay what they are.
    const { buffer, byteOffset, byteLength } = tensor.data;
    new Uint8Array(buffer, byteOffset, byteLength).set(new Uint8Array(bufferOf(view), byteOffsetOf(view), byteLength));
    return tensor;
  }

  /**
   * A tensor on `array`'s own memory, which is no copy and not of the pool: any SharedArrayBuffer, also larger than the pool's 4 GiB.
   * `tensor.data` is that very array. Every call takes it, among tensors of the pool too, with the same bits; workers copy a part at
   * a time into the pool's memory and back, so it takes about twice as long.
   * @param array on a SharedArrayBuffer; of one that two JavaScript objects stand for, `out` must not overlap the input.
   * @param shape default: one dimension of array.length.
   * @param dtype default: that of the array; of a Uint16Array it must be said.
   * @throws UnsupportedDtypeError, InvalidArgumentError where the memory is not shared, InvalidShapeError, PoolClosedError
   */
  wrap(array: Float32Array<SharedArrayBuffer>, shape?: Shape, dtype?: "float32"): Tensor<"float32">;
  wrap(array: Float64Array<SharedArrayBuffer>, shape?: Shape, dtype?: "float64"): Tensor<"float64">;
  wrap(array: Uint8Array<SharedArrayBuffer>, shape?: Shape, dtype?: "uint8"): Tensor<"uint8">;
  wrap<D extends "float16" | "bfloat16">(array: TypedArrays[D], shape: Shape | undefined, dtype: D): Tensor<D>;
  wrap(array: TypedArrays[Dtype], shape?: Shape, dtype?: Dtype): Tensor;
  wrap(array: TypedArrays[Dtype], shape?: Shape, dtype?: Dtype): Tensor {
    const operation = "pool.wrap";
    checkOpen(this, operation);
    const found = dtypeOf(operation, array, dtype);
    const buffer = bufferOf(array);
    if (!types.isSharedArrayBuffer(buffer)) {
      const expected = "a typed array on a SharedArrayBuffer (pool.from copies any)";
      throw new InvalidArgumentError(operation, "array", expected, `one on an ${describe(buffer)}`);
    }
    const checked = checkElements(operation, array, shape);
    return new Tensor(holdingOf(array), found, checked);
  }

  /**
   * A tensor in the file at `path`, whose cells stay there: an .npy file, an array of an .npz file, one of a safetensors file's, or raw cells. Every call takes it, among tensors
   * in memory too, with the same bits; workers read and write it tile by tile. The file must not change: a call on one that did is rejected.
   * With `as` the tensor has another dtype than the file, such as float32 of a float16 one.
   * @throws (as rejection) InvalidArgumentError, InvalidShapeError, UnsupportedDtypeError, FileFormatError, ReadFailedError, PoolClosedError
   */
  open<D extends Dtype>(path: string, options: OpenOptions & { readonly as: D }): Promise<Tensor<D>>;
  open<D extends Dtype>(
    path: string,
    options: OpenOptions & { readonly dtype: D; readonly as?: undefined },
  ): Promise<Tensor<D>>;
  open(path: string, options?: OpenOptions): Promise<Tensor>;
  async open(path: string, options?: OpenOptions): Promise<Tensor> {
    checkOpen(this, "pool.open");
    return open(path, options);
  }

  /**
   * A tensor of zeros in a new file, for `out`: the file has the name `path` once the tensor is committed, and not before. What has that name then is
   * replaced; its mode is kept, and a link stays one. With `storedAs` the file has another dtype than the tensor, such as float16 of a float32 one.
   * @param dtype the tensor's, that calls compute in: of `out` the input's, float32 for uint8.
   * @throws (as rejection) InvalidArgumentError, InvalidShapeError, UnsupportedDtypeError, WriteFailedError, also where the disk has no room for
   * it, PoolClosedError
   */
  async create<D extends Dtype>(
    path: string,
    dtype: D,
    shape: Shape,
    options?: CreateOptions,
  ): Promise<OutputTensor<D>> {
    checkOpen(this, "pool.create");
    return create(path, dtype, shape, options);
  }

  /**
   * Normalises `x` with `layer`. The weights are read when the call starts (of more than some 300,000 channels, when the call comes to them:
   * do not change them meanwhile); running statistics are updated when the output is complete, and not at all if the call fails.
   *
   * @param x a tensor of a shape and dtype that the layer takes; of this pool, or as `wrap` has them.
   * @returns `options.out`, or a new tensor of this pool of the same dtype (of uint8 input: float32) and shape.
   * @throws (as rejection) InvalidShapeError, InvalidArgumentError, UnsupportedDtypeError, OutOfMemoryError, AbortedError,
   * WorkerFailedError, PoolClosedError
   */
  forward<D extends Dtype>(
    layer: Layer,
    x: Tensor<D>,
    options?: ForwardOptions<Tensor<OutputDtype<D>>>,
  ): Promise<Tensor<OutputDtype<D>>> {
    // As #run, without its closure: small calls are many.
    try {
      checkOpen(this, layer);
      if (isWatched()) return this.#told(layer, x, () => forward(this.#executor, layer, x, options));
      return this.#promise(forward(this.#executor, layer, x, options), x);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Normalises each tensor of a stream with `layer`: its results, each a new tensor of this pool, in the same order. The stream is asked for no more
   * tensors than `inFlight` ahead of who takes the results; where a call fails or who takes the results stops, it is ended.
   * @throws (as rejection of the next result) as `forward`, and what the stream throws
   */
  map<D extends Dtype>(
    source: AsyncIterable<Tensor<D>> | Iterable<Tensor<D>>,
    layer: Layer,
    options?: MapOptions,
  ): AsyncGenerator<Tensor<OutputDtype<D>>, void, undefined> {
    return map(source, layer, options, (x, callOptions) => this.forward(layer, x, callOptions));
  }

  /**
   * Gradients of a loss by a layer's input and parameters, given its gradient by the output. The layer's mode and parameters must be
   * what they were in the forward call; in evaluation running statistics are constants. No running statistics are updated.
   * Sums over the tensor are merged in float64, in an order that the tensor alone decides.
   *
   * @throws (as rejection) as `forward`
   */
  backward<D extends Dtype>(layer: Layer, options: BackwardOptions<D>): Promise<Gradients<D>> {
    return run(this, layer, inputOf(options), () => drive(backward<D>(this.#executor, layer, options)));
  }

  /**
   * Count, mean and M2 of all cells of `x`, in float64. The variance is m2 / count.
   * @throws (as rejection) InvalidArgumentError, AbortedError, WorkerFailedError, PoolClosedError
   */
  moments(x: Tensor, options?: CallOptions): Promise<Moments> {
    return run(this, "pool.moments", x, () => drive(moments(this.#executor, x, options)));
  }

  /**
   * The moments of each set of `x`, the cells that `layer` normalises together, in float64, and nothing else: no output, no running statistics.
   * They are the tensor's own in evaluation too. SyncBatchNorm's part of `mergeMoments`.
   * @throws (as rejection) as `forward`
   */
  momentsOf(layer: Layer, x: Tensor, options?: LayerCallOptions): Promise<SetMoments> {
    return run(this, layer, x, () => drive(momentsOf(this.#executor, layer, x, options)));
  }

  /**
   * SyncBatchNorm's sums of a part of a batch, whose whole has `moments`: its part of `addGradientSums`.
   * @throws (as rejection) as `forward`
   */
  gradientSums(layer: Layer, options: GradientOptions): Promise<GradientSums> {
    return run(this, layer, inputOf(options), () => drive(gradientSums(this.#executor, layer, options)));
  }

  /**
   * Waits for the calls that are running, or ends them, and then the threads. Later calls are refused; tensors stay readable. Idempotent:
   * closing again with `abort` ends what a first `close` waits for.
   * @throws (as rejection) InvalidArgumentError
   */
  close(options?: CloseOptions): Promise<void> {
    try {
      checkPool(this, "pool.close");
      const { abort } = readOptions("pool.close", options, { abort: false });
      checkBoolean("pool.close", "abort", abort);
      this.#closed ??= this.#finish();
      if (abort) this.#executor.jobs.stop((operation) => new PoolClosedError(operation));
      return this.#closed;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** How it does, at this moment. */
  stats(): PoolStats {
    checkPool(this, "pool.stats");
    const { arena, jobs } = this.#executor;
    const { threads, threadsLost, slicesLost, running, waiting, waited } = jobs.stats;
    return {
      threads,
      threadsLost,
      slicesLost,
      callsRunning: running,
      callsWaiting: waiting,
      callsEnded: this.#ended,
      callsFailed: this.#failed,
      bytes: this.#bytes,
      callTime: this.#callTime,
      waitTime: waited,
      memoryInUse: arena.inUse,
      memoryPeak: arena.peak,
      memorySize: arena.size,
      memoryLimit: arena.limit,
    };
  }

  /** `await using pool = new NormPool()` closes the pool at the end of its scope. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** As `#promise`, and who listens is told. */
  async #told<T>(operation: Layer | string, x: Tensor, start: () => T | Promise<T>): Promise<T> {
    const event: CallEvent = { operation: nameOf(operation), cells: isTensor(x) ? x.size : 0 };
    const since = now();
    tell("call:start", event);
    try {
      return await this.#promise(start(), x);
    } catch (error) {
      event.error = error;
      throw error;
    } finally {
      event.took = now() - since;
      tell("call:end", event);
    }
  }

  /** Of a call that has started: what it comes to. */
  #promise<T>(call: T | Promise<T>, x: Tensor): Promise<T> {
    if (isPromise(call)) return this.#follow(call, x);
    this.#count(x);
    return Promise.resolve(call);
  }

  async #follow<T>(call: Promise<T>, x: Tensor): Promise<T> {
    const since = now();
    this.#running.add(call);
    try {
      const result = await call;
      this.#count(x);
      return result;
    } catch (error) {
      this.#ended++;
      this.#failed++;
      throw error;
    } finally {
      this.#callTime += now() - since;
      this.#running.delete(call);
    }
  }

  #count(x: Tensor): void {
    this.#ended++;
    if (isTensor(x)) this.#bytes += x.size * CELL_BYTES[x.dtype];
  }

  static {
    isPool = (value): value is NormPool => typeof value === "object" && value !== null && #executor in value;
    checkPool = (pool, operation) => {
      if (isPool(pool)) return;
      throw new InvalidArgumentError(nameOf(operation), "this", "a pool", describe(pool));
    };
    checkOpen = (pool, operation) => {
      checkPool(pool, operation);
      if (pool.#closed !== undefined) throw new PoolClosedError(nameOf(operation));
    };
    runOn = (pool, operation, x, start) => run(pool, operation, x, () => start(pool.#executor));
    run = (pool, operation, x, start) => {
      try {
        checkOpen(pool, operation);
        return isWatched() ? pool.#told(operation, x, start) : pool.#promise(start(), x);
      } catch (error) {
        return Promise.reject(error);
      }
    };
  }

  async #finish(): Promise<void> {
    await Promise.allSettled(this.#running);
    await release(this.#executor);
  }
}
