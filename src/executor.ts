// Runs the phases of calls, on the calling thread or on the workers, in the pool's memory.
import { instantiate, type Kernels, kernelModule } from "../workers/kernels.js";
import { runInline } from "../workers/phase.js";
import type { CallOptions } from "./calls/options.js";
import type { Start } from "./normalize.js";
import { type CellsCode, NONE, type Phase, sliceCount, stageBytesOf } from "./protocol.js";
import type { Steps } from "./steps.js";
import { Arena } from "./tensor/arena.js";
import { DTYPES, type Dtype } from "./tensor/dtype.js";
import { cellsOf, type Shape } from "./tensor/shape.js";
import { pin, Tensor, unpin } from "./tensor/tensor.js";
import { Threads } from "./threads.js";
import { Workspace } from "./workspace.js";

/**
 * Up to so many cells a call computes on the calling thread. Handing a phase to workers and back takes about as long as one thread
 * needs for half of them (`npm run bench -- latency`), and it blocks the event loop for less than half a millisecond.
 */
const INLINE_CELLS = 131_072;

export class Executor {
  readonly arena = new Arena();
  readonly #threadCount: number;
  readonly #threads: Threads;
  #kernels: Kernels | undefined;

  constructor(threads: number) {
    this.#threadCount = threads;
    this.#threads = new Threads(threads, this.arena.memory, kernelModule());
  }

  allocate<D extends Dtype>(operation: string, dtype: D, shape: Shape, zeroed: boolean): Tensor<D> {
    const region = this.arena.own(operation, cellsOf(shape) * DTYPES[dtype].bytes, zeroed);
    return new Tensor(this.arena, region, dtype, shape);
  }

  /**
   * One call's work on `tensors`: they stay where they are, whatever the caller disposes of meanwhile, and `work` gets their addresses.
   * Its workspace is given back when it ends.
   */
  *hold<T>(
    operation: string,
    tensors: readonly Tensor[],
    work: (addresses: number[], workspace: Workspace) => Steps<T>,
  ): Steps<T> {
    const addresses = tensors.map(pin);
    const workspace = new Workspace(this.arena, operation);
    try {
      const result = yield* work(addresses, workspace);
      // Calls on the calling thread may follow each other without a turn of the event loop, in which nothing dropped is freed.
      if (this.arena.turnIsDue) yield new Promise(setImmediate);
      return result;
    } finally {
      workspace.giveBack();
      for (const tensor of tensors) unpin(tensor);
    }
  }

  /** How a call on `size` cells stored so runs its phases: all here, or all on the workers. */
  starter(
    operation: string,
    size: number,
    cells: CellsCode,
    workspace: Workspace,
    { signal, onProgress }: CallOptions,
  ): Start {
    return (phases) => {
      const inline = size <= INLINE_CELLS;
      const stageBytes = Math.max(...phases.map((phase) => stageBytesOf(phase, cells)));
      const seats = inline ? 1 : this.#threadCount;
      const staging = { stage: stageBytes === 0 ? NONE : workspace.bytes(seats * stageBytes), stageBytes };
      if (inline) {
        this.#kernels ??= instantiate(kernelModule(), this.arena.memory, 0);
        const kernels = this.#kernels;
        return (phase, operands) => runInline(kernels, phase, { ...operands, ...staging });
      }
      const total = phases.reduce((slices, phase) => slices + sliceCount(phase), 0);
      let before = 0;
      return async (phase: Phase, operands) => {
        const { kind } = phase;
        const onDone =
          onProgress && kind !== "double"
            ? (slices: number) => onProgress({ phase: kind, done: before + slices, total })
            : undefined;
        await this.#threads.run(operation, phase, { ...operands, ...staging }, { signal, onDone });
        before += sliceCount(phase);
      };
    };
  }

  close(): Promise<void> {
    return this.#threads.close();
  }
}
