// Runs the phases of calls, on the calling thread or on the workers, in the pool's memory.
import { instantiate, type Kernels, kernelModule } from "../workers/kernels.js";
import { runInline } from "../workers/phase.js";
import { stagedBytesOf } from "../workers/storage.js";
import { widenSlices } from "../workers/tiles.js";
import type { CallOptions } from "./calls/options.js";
import type { Start } from "./normalize.js";
import { type CellsCode, NONE, type Operands, type Phase, sliceCount, stageBytesOf } from "./protocol.js";
import { Arena } from "./tensor/arena.js";
import { DTYPES, type Dtype } from "./tensor/dtype.js";
import { cellsOf, type Shape } from "./tensor/shape.js";
import { Tensor } from "./tensor/tensor.js";
import { Threads } from "./threads.js";
import { Workspace } from "./workspace.js";

/**
 * Up to so many cells a call computes on the calling thread. Handing a phase to workers and back takes about as long as one thread
 * needs for half of them (`npm run bench -- latency`), and it blocks the event loop for less than half a millisecond.
 */
const INLINE_CELLS = 131_072;
/**
 * Up to so many cells the calling thread takes slices beside the workers: by the time that these have the message, part of the work is done,
 * and nobody has to be told the end. Not where progress or a signal is asked for, and only of phases so light that the event
 * loop is blocked for about half a millisecond at most.
 */
const SHARED_CELLS = 1_048_576;
const LIGHT: ReadonlySet<Phase["kind"]> = new Set(["normalize", "moments", "apply"]);
/** After so many cells computed on the calling thread, some milliseconds, a call waits for a turn of the event loop. */
const TURN_CELLS = 8_388_608;

export class Executor {
  readonly arena = new Arena();
  readonly #threadCount: number;
  readonly #threads: Threads;
  #kernels: Kernels | undefined;
  #cellsSinceTurn = 0;

  constructor(threads: number) {
    this.#threadCount = threads;
    this.#threads = new Threads(threads, this.arena.memory, kernelModule());
  }

  allocate<D extends Dtype>(operation: string, dtype: D, shape: Shape, zeroed: boolean): Tensor<D> {
    const region = this.arena.own(operation, cellsOf(shape) * DTYPES[dtype].bytes, zeroed);
    return new Tensor({ kind: "region", arena: this.arena, region }, dtype, shape);
  }

  /** Memory for the inside of a call on these operands: to be given back when it ends. */
  workspace(operation: string, { x, g, y }: Operands): Workspace {
    const staged = typeof x !== "number" || typeof g !== "number" || typeof y !== "number";
    return new Workspace(this.arena, operation, staged);
  }

  /**
   * What a call on `size` cells waits for after its work, if anything. Calls on the calling thread may follow each other without a turn of
   * the event loop, in which nothing dropped is freed, no worker's answer is read, and nobody else gets a word in.
   */
  turn(size: number): Promise<void> | undefined {
    const small = this.isSmall(size);
    if (small) this.#cellsSinceTurn += size;
    const shared = !small && size <= SHARED_CELLS;
    if (!shared && !this.arena.turnIsDue && this.#cellsSinceTurn < TURN_CELLS) return undefined;
    this.#cellsSinceTurn = 0;
    return new Promise(setImmediate);
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
      const inline = this.isSmall(size);
      const bytesOf = workspace.staged ? stagedBytesOf : stageBytesOf;
      let stageBytes = 0;
      for (const phase of phases) stageBytes = Math.max(stageBytes, bytesOf(phase, cells));
      const seats = inline ? 1 : this.#threadCount;
      const scheduled = (phase: Phase) => (workspace.staged ? widenSlices(phase, cells, seats) : phase);
      const stage = stageBytes === 0 ? NONE : workspace.bytes(seats * stageBytes);
      const staged = (operands: Operands) => (stageBytes === 0 ? operands : { ...operands, stage, stageBytes });
      if (inline) return (phase, operands) => runInline(this.#here(), phase, staged(operands));
      const light = size <= SHARED_CELLS && phases.every(({ kind }) => LIGHT.has(kind));
      if (light && signal === undefined && onProgress === undefined) {
        return (phase, operands) => this.#threads.share(operation, scheduled(phase), staged(operands), this.#here());
      }
      const total = phases.reduce((slices, phase) => slices + sliceCount(scheduled(phase)), 0);
      let before = 0;
      return async (planned: Phase, operands) => {
        const phase = scheduled(planned);
        const { kind } = phase;
        const onDone =
          onProgress && kind !== "double"
            ? (slices: number) => onProgress({ phase: kind, done: before + slices, total })
            : undefined;
        await this.#threads.run(operation, phase, staged(operands), { signal, onDone });
        before += sliceCount(phase);
      };
    };
  }

  /** Whether a call on so many cells is computed on the calling thread. */
  isSmall(size: number): boolean {
    return size <= INLINE_CELLS;
  }

  /** Computes a phase on the calling thread. */
  runHere(phase: Phase, operands: Operands, workspace: Workspace): void {
    const stageBytes = stageBytesOf(phase, operands.cells);
    const staged = stageBytes === 0 ? operands : { ...operands, stage: workspace.bytes(stageBytes), stageBytes };
    runInline(this.#here(), phase, staged);
  }

  #here(): Kernels {
    this.#kernels ??= instantiate(kernelModule(), this.arena.memory, 0);
    return this.#kernels;
  }

  close(): Promise<void> {
    return this.#threads.close();
  }
}
