// Who works on what: an earlier call's slices come before a later one's, whose slices fill the threads that would be idle.
import { progressOf, sliceOf } from "../../workers/control.js";
import { clearInterval, nextTick, nextTurn, now, setInterval } from "../clock.js";
import { QueueFullError, reasonOf, WorkerFailedError } from "../errors.js";
import { Seats } from "./seats.js";
import type { TaskEnd, Threads } from "./threads.js";
import { type Job, type JobOptions, Work } from "./work.js";

/** How often `share` looks whether the workers' last slices are done: for some 10 us, less than waiting for their answers takes. */
const SPINS = 1000;

/** A thread that has one slice, or one tile of it, for so long is stuck. Milliseconds; a slice takes one or two of computing. */
export const SLICE_TIMEOUT = 60_000;
/** How often that is looked at in this time. The ticks are counted, not the time: where the process was stopped, no thread is stuck. */
const TICKS = 8;

/** What the queue gives tasks to. */
export type Crew = Pick<Threads, "count" | "alive" | "lost" | "post" | "end" | "close">;

export interface QueueOptions {
  /** Whether the calling thread computes where no worker can be had. Default true. */
  readonly fallback?: boolean | undefined;
  /** Milliseconds after which a thread that has not finished its slice is ended. Default 60,000. */
  readonly sliceTimeout?: number | undefined;
  /** Calls at once, at most. Default: any number. */
  readonly maxQueue?: number | undefined;
}

/** What a queue has counted. */
export interface QueueStats {
  /** Threads that there are now. */
  readonly threads: number;
  /** Calls that have a thread, and those that wait for one. */
  readonly running: number;
  readonly waiting: number;
  /** Threads that ended before they were to. */
  readonly threadsLost: number;
  /** Slices that were lost, and done again. */
  readonly slicesLost: number;
  /** Milliseconds that calls waited for their first thread, in all. */
  readonly waited: number;
}

/** A task that was posted and has not ended. */
interface Posted {
  readonly work: Work;
  /** What was seen of it at the last tick, and at how many ticks that was so. */
  seen: string;
  ticks: number;
}

export class Queue {
  readonly #threads: Crew;
  readonly #seats: Seats;
  readonly #fallback: boolean;
  readonly #sliceTimeout: number;
  readonly #maxQueue: number;
  /** In the order of their calls. Those that have ended are taken out. */
  readonly #works: Work[] = [];
  readonly #posted = new Map<number, Posted>();
  #tickets = 0;
  /** Calls that have a ticket. */
  #calls = 0;
  #slicesLost = 0;
  #waited = 0;
  #filling = false;
  #computing = false;
  #watch: NodeJS.Timeout | undefined;
  /** Why no call goes on, if that is so. */
  #stopped: ((operation: string) => Error) | undefined;
  /** Told when no task is running. */
  #idle: (() => void) | undefined;

  constructor(threads: Crew, options: QueueOptions = {}) {
    const { fallback = true, sliceTimeout = SLICE_TIMEOUT, maxQueue = Number.POSITIVE_INFINITY } = options;
    this.#threads = threads;
    this.#seats = new Seats(threads.count);
    this.#fallback = fallback;
    this.#sliceTimeout = sliceTimeout;
    this.#maxQueue = maxQueue;
  }

  /** A call's place among the others: before all that come after it. Until `leave`. @throws QueueFullError */
  ticket(operation: string): number {
    if (this.#calls >= this.#maxQueue) throw new QueueFullError(operation, this.#maxQueue);
    this.#calls++;
    return this.#tickets++;
  }

  /** A call with a ticket has ended. */
  leave(): void {
    this.#calls--;
  }

  get stats(): QueueStats {
    const running = this.#works.reduce((sum, work) => sum + (work.running > 0 ? 1 : 0), 0);
    return {
      threads: this.#threads.alive,
      running,
      waiting: this.#calls - running,
      threadsLost: this.#threads.lost,
      slicesLost: this.#slicesLost,
      waited: this.#waited,
    };
  }

  /**
   * Runs a job. Settles only when no worker touches its operands any more; at once if it waits and its signal fires.
   * @throws AbortedError, WorkerFailedError, and what `onDone` throws
   */
  async run(job: Job, options: JobOptions): Promise<void> {
    const work = this.#workOf(job, this.#threads.count);
    // An aborted job's tasks find nothing to do.
    if (options.signal?.aborted !== true) this.#fill();
    await this.#finish(work, options);
  }

  /**
   * Runs a job on the calling thread and on those workers that are there in time: by the time that a message has reached a worker and its
   * answer has come back, a phase of some hundred microseconds is nearly done. Returns a promise only where a worker
   * still has a slice when all are claimed.
   * @throws (as rejection) WorkerFailedError
   */
  share(job: Job): Promise<void> | undefined {
    // The calling thread is one of them, and takes a slice at least.
    const work = this.#workOf(job, Math.min(this.#threads.count - 1, job.slices - 1));
    this.#fill();
    do this.#claim(work, Number.POSITIVE_INFINITY);
    while (work.isToBeGoneThrough);
    for (let i = 0; i < SPINS && work.done < work.job.slices; i++);
    if (work.done < work.job.slices) return this.#finish(work, {});
    this.#remove(work);
    return undefined;
  }

  /** Ends all calls, those that have yet to come too, with an error for each operation. */
  stop(errorOf: (operation: string) => Error): void {
    this.#stopped = errorOf;
    for (const work of [...this.#works]) if (!work.ended) work.fail(errorOf(work.job.operation));
  }

  /** Ends the threads. Only when no call is running: tasks of `share` may be, that have nothing to do. */
  async close(): Promise<void> {
    if (!this.#seats.allEmpty) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    clearInterval(this.#watch);
    await this.#threads.close();
  }

  #workOf(job: Job, threads: number): Work {
    if (this.#stopped !== undefined) throw this.#stopped(job.operation);
    // The last seat is the calling thread's.
    const work = new Work(job, threads, this.#threads.count + 1);
    let at = this.#works.length;
    while (at > 0 && (this.#works[at - 1] as Work).job.ticket > job.ticket) at--;
    this.#works.splice(at, 0, work);
    return work;
  }

  async #finish(work: Work, options: JobOptions): Promise<void> {
    try {
      await work.finish(options);
    } finally {
      this.#remove(work);
    }
  }

  #remove(work: Work): void {
    const at = this.#works.indexOf(work);
    if (at >= 0) this.#works.splice(at, 1);
  }

  /** Gives the free seats to the earliest work that wants them. Where one wants more, later ones are asked to leave theirs. */
  #fill(): void {
    for (let i = 0; i < this.#works.length; i++) {
      const work = this.#works[i] as Work;
      while (work.wants > 0 && this.#seats.some) this.#post(work, this.#seats.take());
      let wanted = work.wants;
      for (let later = this.#works.length - 1; later > i && wanted > 0; later--) {
        wanted -= (this.#works[later] as Work).leave();
      }
      if (!this.#seats.some) break;
    }
    if (this.#works.length > 0 && this.#seats.allRest) this.#withoutThreads();
  }

  #post(work: Work, seat: number): void {
    work.running++;
    if (!work.started) {
      work.started = true;
      this.#waited += now() - work.since;
    }
    this.#posted.set(seat, { work, seen: "", ticks: 0 });
    this.#watch ??= setInterval(() => this.#tick(), this.#sliceTimeout / TICKS).unref();
    void this.#threads.post(seat, work.job.taskFor(work.control, seat)).then((end) => this.#ended(work, seat, end));
  }

  #ended(work: Work, seat: number, end: TaskEnd): void {
    this.#posted.delete(seat);
    // Before the seat is free: what the lost one left in its stage is needed.
    if (end.kind !== "done" && work.lose(seat, end.error, end.kind === "threw" || end.ready)) this.#slicesLost++;
    if (end.kind === "died" && !end.ready) this.#seats.failed(seat, end.error);
    else this.#seats.free(seat);
    work.taskEnded(seat);
    if (this.#seats.allEmpty) this.#idle?.();
    this.#fillSoon();
  }

  /** Claims slices on the calling thread. */
  #claim(work: Work, most: number): void {
    const seat = this.#threads.count;
    work.running++;
    try {
      work.job.claim(work.control, seat, most);
    } catch (error) {
      work.lose(seat, error, true);
    }
    work.taskEnded(seat);
  }

  /** After what waits for a phase that has ended has had its turn: the next phase of the same call comes before a later call's. */
  #fillSoon(): void {
    if (this.#filling || this.#works.length === 0) return;
    this.#filling = true;
    nextTick(() => {
      this.#filling = false;
      this.#fill();
    });
  }

  /** No thread is to be had, for now at least. */
  #withoutThreads(): void {
    if (this.#fallback) {
      warnOnce(this.#seats.error);
      void this.#computeHere();
      return;
    }
    for (const work of this.#works) {
      if (!work.ended) work.fail(new WorkerFailedError(work.job.operation, this.#seats.error));
    }
  }

  /** Computes what there is on the calling thread, slice by slice, each in a turn of the event loop, until threads are to be had. */
  async #computeHere(): Promise<void> {
    if (this.#computing) return;
    this.#computing = true;
    while (this.#seats.allRest) {
      const work = this.#works.find(({ wants }) => wants > 0);
      if (work === undefined) break;
      this.#claim(work, 1);
      await nextTurn();
    }
    this.#computing = false;
    // Else whoever brings what is wanted comes here again: what is left now wants nobody, as what `share` does alone.
    if (!this.#seats.allRest) this.#fill();
  }

  /** Ends threads that are stuck: their slices are lost, and done by others. */
  #tick(): void {
    if (this.#posted.size === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
      return;
    }
    for (const [seat, posted] of this.#posted) {
      const seen = whereIs(posted.work, seat);
      posted.ticks = seen === posted.seen ? posted.ticks + 1 : 0;
      posted.seen = seen;
      if (posted.ticks === TICKS) this.#threads.end(seat);
    }
  }
}

/** What tells whether a task goes on. One that has no slice waits for its thread, or is just done with one. */
function whereIs({ control, done }: Work, seat: number): string {
  const slice = sliceOf(control, seat);
  if (slice === undefined) return `none of ${done}`;
  const { tile, stage } = progressOf(control, slice);
  return `${slice} ${tile} ${stage}`;
}

let warned = false;

function warnOnce(cause: unknown): void {
  if (warned) return;
  warned = true;
  const message = `normpool: no worker thread can be had (${reasonOf(cause)}): calls are computed on the calling thread, slice by slice`;
  process.emitWarning(message, { code: "NORMPOOL_NO_WORKERS" });
}
