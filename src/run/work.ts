// A phase on the workers: slices that are claimed from a control block in shared memory, and what is known of them.
import {
  CONTROL,
  type Control,
  isDone,
  leave,
  makeControl,
  progressOf,
  recount,
  STAGE_OF,
  STOP,
  sliceOf,
} from "../../workers/control.js";
import { FileFault } from "../../workers/drivers/file-fault.js";
import { clearInterval, now, setInterval } from "../clock.js";
import { type CellRange, WorkerFailedError } from "../errors.js";
import { abortion, onAbort } from "./abort.js";
import { fileErrorOf } from "./file-errors.js";

/** How often the control block is read for a progress report, in milliseconds. */
const PROGRESS_INTERVAL = 50;

/** How often a slice is begun before it is given up. */
export const ATTEMPTS = 3;

/** What workers are to do. */
export interface Job {
  readonly operation: string;
  /** Of the call: of two jobs' slices, those of the smaller one come first. */
  readonly ticket: number;
  /** The phase. */
  readonly phase: string;
  readonly slices: number;
  /** Whether a slice that is not done may have written over what it reads, so that it cannot be begun again. */
  readonly overwrites: boolean;
  /** What a worker is sent who takes the seat. */
  taskFor(control: Control, seat: number): unknown;
  /** Claims slices on the calling thread, `most` at most. */
  claim(control: Control, seat: number, most: number): void;
  /** Makes a slice that was lost ready to be gone on with. `seat` is that of the one who had it. */
  recover?(control: Control, seat: number, slice: number): void;
  /** The result's cells of a slice. */
  cellsOf?(slice: number): CellRange[];
}

export interface JobOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told now and then, and at the end, how many slices are done. */
  readonly onDone?: ((slices: number) => void) | undefined;
}

export class Work {
  readonly job: Job;
  /** Threads that work on it at most. */
  readonly most: number;
  readonly control: Control;
  /** When it came. */
  readonly since = now();
  /** Whether a thread was given to it. */
  started = false;
  /** Tasks that were posted and have not ended. */
  running = 0;
  /** How often slices were lost so far. */
  readonly #losses = new Map<number, number>();
  /** Slices that are lost, and not there to be claimed again yet. */
  readonly #lost = new Set<number>();
  /** Tasks lost that had no slice. */
  #emptyHanded = 0;
  /** Whether its tasks have been told to make room for an earlier call's. */
  #leaving = false;
  /** Slices below this had been claimed, or were done, when it failed. */
  #claimed = 0;
  /** Why it ends early. */
  #failure: { readonly error: unknown } | undefined;
  #settle: (() => void) | undefined;

  /** @param seats all that there are, the calling thread's too. */
  constructor(job: Job, threads: number, seats: number) {
    this.job = job;
    this.most = Math.min(threads, job.slices);
    this.control = makeControl(seats, job.slices);
  }

  get done(): number {
    return Atomics.load(this.control, CONTROL.done);
  }

  /** Slices that nobody has claimed. */
  get left(): number {
    return Math.max(0, this.job.slices - Atomics.load(this.control, CONTROL.cursor));
  }

  /** Whether slices that were lost are there to be claimed, and nobody works on it. */
  get isToBeGoneThrough(): boolean {
    return this.running === 0 && this.#failure === undefined && this.left > 0;
  }

  /** More threads that would find something to do. */
  get wants(): number {
    if (this.#leaving || this.#failure !== undefined) return 0;
    return Math.min(this.most - this.running, this.left);
  }

  /**
   * Whether nobody will touch its operands any more. Tasks may run that have nothing to do: one that waits for its thread to start must not
   * keep a call waiting that is done, or is to end.
   */
  get ended(): boolean {
    if (this.#failure === undefined) return this.done === this.job.slices;
    for (let slice = 0; slice < this.#claimed; slice++) {
      if (!isDone(this.control, slice) && !this.#lost.has(slice)) return false;
    }
    return true;
  }

  /** Asks its tasks to end after the slice that they have. Returns how many there are. */
  leave(): number {
    if (this.running > 0 && !this.#leaving) {
      this.#leaving = true;
      if (this.#failure === undefined) Atomics.store(this.control, CONTROL.stop, STOP.afterSlice);
    }
    return this.running;
  }

  /** The task of a seat has ended. */
  taskEnded(seat: number): void {
    // It had to leave the slice that it had.
    const left = sliceOf(this.control, seat);
    if (left !== undefined) this.#lost.add(left);
    leave(this.control, seat);
    this.running--;
    if (this.running === 0) {
      if (this.#leaving) {
        this.#leaving = false;
        if (this.#failure === undefined) Atomics.store(this.control, CONTROL.stop, STOP.no);
      }
      // Nobody works on it: what is claimed and not done is lost, and is there to be claimed again.
      if (this.#failure === undefined && this.left === 0 && this.done < this.job.slices) {
        recount(this.control, this.job.slices);
        this.#lost.clear();
      }
    }
    if (this.ended) this.#settle?.();
  }

  /** Ends it early. Aborting a running piscina task would end its thread: workers see the control block before the next slice instead. */
  fail(error: unknown): void {
    if (this.#failure === undefined) {
      this.#failure = { error };
      // Where a thread was lost, slices that are not finished would be undefined in place for nothing.
      const stop = error instanceof WorkerFailedError ? STOP.afterSlice : STOP.atOnce;
      Atomics.store(this.control, CONTROL.stop, stop);
      // Whoever has read `stop` before claims nothing now, or has claimed already.
      this.#claimed = Math.min(this.job.slices, Atomics.exchange(this.control, CONTROL.cursor, this.job.slices));
    }
    if (this.ended) this.#settle?.();
  }

  /**
   * Who had `seat` is lost, or has thrown: so is the slice that was claimed there, if any, until somebody does it again.
   * Returns whether there was one.
   * @param counts whether it is a task's failure, if it had no slice: that of a thread that could not start is the seat's.
   */
  lose(seat: number, cause: unknown, counts: boolean): boolean {
    const slice = sliceOf(this.control, seat);
    const { operation, phase, overwrites, recover } = this.job;
    if (cause instanceof FileFault) this.fail(fileErrorOf(operation, cause));
    if (slice === undefined) {
      if (counts) this.#emptyHanded++;
      if (this.#emptyHanded > ATTEMPTS * (this.most + 1)) this.fail(new WorkerFailedError(operation, cause));
      return false;
    }
    leave(this.control, seat);
    if (isDone(this.control, slice)) return false;
    const attempt = (this.#losses.get(slice) ?? 0) + 1;
    this.#losses.set(slice, attempt);
    this.#lost.add(slice);
    const lost = { phase, slice, attempt };
    const spoilt = overwrites && recover === undefined && this.#isBegun(slice);
    if (attempt >= ATTEMPTS || spoilt) this.fail(new WorkerFailedError(operation, cause, lost));
    try {
      recover?.call(this.job, this.control, seat, slice);
    } catch (error) {
      this.fail(
        error instanceof FileFault ? fileErrorOf(operation, error) : new WorkerFailedError(operation, error, lost),
      );
    }
    return true;
  }

  /**
   * Waits until it has ended, and no worker touches its operands any more.
   * @throws AbortedError, TimedOutError, WorkerFailedError, and what `onDone` throws
   */
  async finish({ signal, onDone }: JobOptions): Promise<void> {
    const { operation } = this.job;
    const report = () => {
      try {
        if (this.#failure === undefined) onDone?.(this.done);
      } catch (error) {
        this.fail(error);
      }
    };
    const timer = onDone && setInterval(report, PROGRESS_INTERVAL);
    const abort = () => {
      if (signal?.aborted) this.fail(abortion(operation, signal));
    };
    const forget = onAbort(signal, abort);
    try {
      abort();
      if (!this.ended) {
        await new Promise<void>((resolve) => {
          this.#settle = resolve;
        });
      }
      abort();
      report();
      if (this.#failure !== undefined) throw this.#withRanges(this.#failure.error);
    } finally {
      clearInterval(timer);
      forget();
    }
  }

  #isBegun(slice: number): boolean {
    const { tile, stage } = progressOf(this.control, slice);
    return tile > 0 || stage !== STAGE_OF.waiting;
  }

  /** An error that says which cells are neither what they were nor what they were to be. */
  #withRanges(error: unknown): unknown {
    const { overwrites, cellsOf, slices } = this.job;
    if (!(error instanceof WorkerFailedError) || !overwrites || cellsOf === undefined) return error;
    const ranges: CellRange[] = [];
    for (let slice = 0; slice < slices; slice++) {
      if (!isDone(this.control, slice) && this.#isBegun(slice)) ranges.push(...cellsOf.call(this.job, slice));
    }
    return ranges.length === 0 ? error : error.withUndefined(ranges);
  }
}
