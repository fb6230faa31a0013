// Runs one call's phases where the call is placed: on the calling thread, on it and the workers, or on the workers.
import { claimSlices } from "../../workers/claim.js";
import type { Control } from "../../workers/control.js";
import type { Operands } from "../../workers/operands.js";
import { recoverSlice, runSlice, runUnits, unitsOf } from "../../workers/phase.js";
import { stageBytesOf } from "../../workers/scratch.js";
import { isSame, stagedBytesOf } from "../../workers/staging.js";
import type { PhaseTask, Stages } from "../../workers/task.js";
import { runsOf } from "../../workers/tiles/window.js";
import { stagedSlices, tilesOf } from "../../workers/tiles.js";
import { now } from "../clock.js";
import type { CellRange } from "../errors.js";
import type { Dtype } from "../plan/cells.js";
import type { Phase } from "../plan/phase.js";
import { type Slices, sliceCount, slicesOf } from "../plan/slices.js";
import type { Watchers } from "./call.js";
import { isWatched, type PhaseEvent, tell } from "./events.js";
import type { Executor } from "./executor.js";
import type { Placement } from "./placement.js";
import type { Job } from "./work.js";

interface RunnerOptions {
  readonly operation: string;
  /** Of the whole tensor. */
  readonly cells: number;
  readonly dtype: Dtype;
  /** All that will be run, of the largest stripe. */
  readonly phases: readonly Phase[];
  readonly backward: boolean;
  readonly onDevice: boolean;
  /** Whether tiles are staged. */
  readonly staged: boolean;
  /** Whether tiles are noted one by one, so that a slice that may not be begun again can be gone on with. */
  readonly logged: boolean;
  readonly watchers: Watchers;
}

export class Runner {
  readonly #executor: Executor;
  readonly #options: RunnerOptions;
  readonly #placement: Placement;
  readonly #ticket: number | undefined;
  readonly #stages: Stages;
  #before = 0;
  #total = 0;

  constructor(executor: Executor, options: RunnerOptions) {
    const { operation, cells, dtype, phases, backward, onDevice, staged, logged, watchers } = options;
    const watched = watchers.signal !== undefined || watchers.onProgress !== undefined;
    this.#executor = executor;
    this.#options = options;
    this.#placement = executor.placer(cells, phases, { watched, onDevice });
    const queued = this.#placement !== "calling thread";
    this.#ticket = queued ? executor.jobs.ticket(operation) : undefined;
    const bytes = phases.map((phase) =>
      staged || logged
        ? stagedBytesOf(phase, { dtype, tileBytes: executor.tileBytes }, backward, logged)
        : stageBytesOf(phase, dtype, backward),
    );
    try {
      this.#stages = executor.stages.hold(operation, Math.max(0, ...bytes));
    } catch (error) {
      if (queued) executor.jobs.leave();
      throw error;
    }
  }

  /** Counts the slices of a run that is to come, for progress reports. */
  countSlices(phase: Phase, from: number, to: number): void {
    this.#total += sliceCount(this.#slicesOf(phase, from, to));
  }

  /** Computes units [from, to) of a phase: at once, or as a promise. */
  run(phase: Phase, operands: Operands, from = 0, to = phase.units): Promise<void> | undefined {
    if (this.#placement === "calling thread") {
      const { kernels, threads } = this.#executor;
      const { address, bytes } = this.#stages;
      const compute = (): undefined => {
        runUnits(kernels, phase, operands, from, to, address + threads * bytes);
      };
      return isWatched() ? this.#told(phase, 1, compute) : compute();
    }
    const job = this.#jobOf(phase, operands, this.#slicesOf(phase, from, to));
    const compute = () => (this.#placement === "shared" ? this.#executor.jobs.share(job) : this.#onWorkers(job, phase));
    return isWatched() ? this.#told(phase, job.slices, compute) : compute();
  }

  async #told({ kind }: Phase, slices: number, compute: () => Promise<void> | void): Promise<void> {
    const event: PhaseEvent = { operation: this.#options.operation, phase: kind, slices };
    const since = now();
    tell("phase:start", event);
    try {
      await compute();
    } finally {
      event.took = now() - since;
      tell("phase:end", event);
    }
  }

  /** Gives back what the call's phases needed. */
  end(): void {
    this.#executor.stages.release(this.#stages);
    if (this.#ticket !== undefined) this.#executor.jobs.leave();
  }

  #jobOf(phase: Phase, operands: Operands, slices: Slices): Job {
    const { arena } = this.#executor;
    const { operation, logged } = this.#options;
    const { address, bytes } = this.#stages;
    const { x, g, y } = operands.tensors;
    const taskFor = (control: Control, seat: number): PhaseTask => ({
      phase,
      slices,
      operands,
      control,
      stages: { address, bytes },
      seat,
      logged,
    });
    return {
      operation,
      ticket: this.#ticket as number,
      phase: phase.kind,
      slices: sliceCount(slices),
      overwrites: y !== null && (isSame(x, y) || isSame(g, y)),
      taskFor,
      claim: (control, seat, most) => {
        const task = taskFor(control, seat);
        // Not before they are needed: a pool of large tensors has none on the calling thread.
        const { kernels } = this.#executor;
        claimSlices(task, (slice) => runSlice(kernels, task, slice), most);
      },
      ...(logged && {
        recover: (control: Control, seat: number, slice: number) =>
          recoverSlice(arena.memory, taskFor(control, seat), slice),
      }),
      cellsOf: (slice) => cellsOf(phase, operands, unitsOf({ slices }, slice)),
    };
  }

  async #onWorkers(job: Job, { kind }: Phase): Promise<void> {
    const { signal, onProgress } = this.#options.watchers;
    const [before, total] = [this.#before, this.#total];
    const onDone = onProgress && ((slices: number) => onProgress({ phase: kind, done: before + slices, total }));
    await this.#executor.jobs.run(job, { signal, onDone });
    this.#before += job.slices;
  }

  #slicesOf(phase: Phase, from: number, to: number): Slices {
    const { staged, logged, dtype } = this.#options;
    const { slicer, threads, tileBytes } = this.#executor;
    if (slicer !== undefined) return slicer(phase, from, to);
    return staged || logged ? stagedSlices(phase, { dtype, tileBytes }, threads, from, to) : slicesOf(phase, from, to);
  }
}

/** The cells of some units in the whole tensor, in order. */
function cellsOf(phase: Phase, operands: Operands, { first, end }: { first: number; end: number }): CellRange[] {
  const ranges: { from: number; to: number }[] = [];
  for (const tile of tilesOf(phase, operands, first, end)) {
    // Of cells of one byte, bytes are cells.
    for (const { at, rows, bytes, stride } of runsOf(tile, operands.window, 1)) {
      for (let row = 0; row < rows; row++) ranges.push({ from: at + row * stride, to: at + row * stride + bytes });
    }
  }
  ranges.sort((a, b) => a.from - b.from);
  return ranges.reduce<{ from: number; to: number }[]>((joined, range) => {
    const last = joined.at(-1);
    if (last?.to === range.from) last.to = range.to;
    else joined.push(range);
    return joined;
  }, []);
}
