// What the calls of a pool share: its memory, its threads, who computes what, and the event loop's turns.
import { instantiate, type Kernels, kernelModule } from "../../workers/kernels.js";
import type { TileBytes } from "../../workers/operands.js";
import type { WorkerData } from "../../workers/task.js";
import { tileBytesFor } from "../../workers/tiles.js";
import { nextTurn } from "../clock.js";
import type { Arena } from "../memory/arena.js";
import { StageMemory } from "../memory/stages.js";
import { CELL_BYTES } from "../plan/cells.js";
import { PART_CELLS } from "../plan/parts.js";
import type { Phase } from "../plan/phase.js";
import type { Slices } from "../plan/slices.js";
import { STRIPE_BYTES } from "../plan/stripes.js";
import { DTYPES, type Dtype } from "../tensor/dtype.js";
import { cellsOf, type Shape } from "../tensor/shape.js";
import { Tensor } from "../tensor/tensor.js";
import { byCells, IN_MEMORY, type Placer } from "./placement.js";
import { Queue, type QueueOptions } from "./queue.js";
import { Threads } from "./threads.js";

const WORKER = new URL("../../workers/entry.cjs", import.meta.url).href;

/** After so many cells computed on the calling thread, some milliseconds, a call waits for a turn of the event loop. */
const TURN_CELLS = 8_388_608;

/** Runs jobs: the queue of a pool's threads. */
export type Jobs = Pick<Queue, "ticket" | "leave" | "stats" | "stop" | "run" | "share" | "close">;

export interface ExecutorOptions {
  /** Who computes a call. Default: as its size says. */
  readonly placer?: Placer;
  /** How units are cut into slices. Default: as the phase and the tensors say. */
  readonly slicer?: ((phase: Phase, from: number, to: number) => Slices) | undefined;
  /** Default: threads of the executor's own. */
  readonly jobs?: Jobs;
  /** Modules that workers add to their own: those of tests. */
  readonly modules?: readonly string[];
  /** Of the executor's own threads. */
  readonly queue?: QueueOptions;
  /** Bytes of a call's tables at a time. Default: STRIPE_BYTES. */
  readonly stripeBytes?: number;
  /** Cells of a part of a call with a journal. Default: PART_CELLS. */
  readonly partCells?: number;
}

export class Executor {
  readonly arena: Arena;
  readonly jobs: Jobs;
  readonly stages: StageMemory;
  readonly placer: Placer;
  readonly slicer: ExecutorOptions["slicer"];
  readonly threads: number;
  readonly stripeBytes: number;
  readonly partCells: number;
  readonly tileBytes: TileBytes;
  #kernels: Kernels | undefined;
  #cellsSinceTurn = 0;

  constructor(threads: number, arena: Arena, options: ExecutorOptions = {}) {
    const {
      placer = byCells,
      slicer,
      jobs,
      modules = [],
      queue,
      stripeBytes = STRIPE_BYTES,
      partCells = PART_CELLS,
    } = options;
    this.arena = arena;
    this.threads = threads;
    this.jobs = jobs ?? new Queue(threadsOf(threads, arena, modules), queue);
    // A seat for each worker, and the calling thread's.
    this.stages = new StageMemory(arena, threads + 1);
    this.placer = placer;
    this.slicer = slicer;
    this.stripeBytes = stripeBytes;
    this.partCells = partCells;
    this.tileBytes = tileBytesFor(threads + 1, arena.limit);
  }

  allocate<D extends Dtype>(operation: string, dtype: D, shape: Shape, zeroed: boolean): Tensor<D> {
    const { arena } = this;
    const cells = cellsOf(shape);
    const region = arena.own(operation, cells * CELL_BYTES[dtype], zeroed);
    const { address, buffer } = region;
    const data = DTYPES[dtype].view(buffer, address, cells);
    return new Tensor(
      { spec: { kind: "arena", address }, arena, data, release: () => arena.free(region) },
      dtype,
      shape,
    );
  }

  /** The kernels of the calling thread. */
  get kernels(): Kernels {
    this.#kernels ??= instantiate(kernelModule(), this.arena.memory, 0);
    return this.#kernels;
  }

  /**
   * What a call on `size` cells waits for after its work, if anything. Calls that the calling thread takes part in may follow each other without a
   * turn of the event loop, in which nothing dropped is freed, no worker's answer is read, and nobody else gets a word in.
   */
  turn(size: number): Promise<void> | undefined {
    const placement = this.placer(size, [], IN_MEMORY);
    if (placement === "calling thread") this.#cellsSinceTurn += size;
    if (placement !== "shared" && !this.arena.turnIsDue && this.#cellsSinceTurn < TURN_CELLS) return undefined;
    this.#cellsSinceTurn = 0;
    return nextTurn();
  }

  /** Ends the threads. */
  close(): Promise<void> {
    return this.jobs.close();
  }

  /** Ends the threads, and lets the memory go. */
  async release(): Promise<void> {
    await this.close();
    this.#kernels = undefined;
    await this.arena.close();
  }
}

/** Threads that work on an arena. */
export function threadsOf(count: number, arena: Arena, modules: readonly string[] = []): Threads {
  // Slot 0 of the scratch is the calling thread's.
  return new Threads(count, WORKER, (seat, ready): WorkerData => {
    return { memory: arena.memory, module: kernelModule(), slot: seat + 1, ready, modules };
  });
}
