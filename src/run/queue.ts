// Who works on what: an earlier call's slices come before a later one's, whose slices fill the threads that would be idle.
import type { Threads } from "./threads.js";
import { type Job, type JobOptions, Work } from "./work.js";

/** Taken when the module is loaded: what others put in its place later must not stop calls. */
const { nextTick } = process;

/** How often `share` looks whether the workers' last slices are done: for some 10 us, less than waiting for their answers takes. */
const SPINS = 1000;

/** What the queue gives tasks to. */
export type Crew = Pick<Threads, "count" | "post" | "close">;

export class Queue {
  readonly #threads: Crew;
  /** In the order of their calls. Those that have ended are taken out. */
  readonly #works: Work[] = [];
  /** Seats that nobody has. */
  readonly #free: number[];
  #tickets = 0;
  #filling = false;
  /** Told when no task is running. */
  #idle: (() => void) | undefined;

  constructor(threads: Crew) {
    this.#threads = threads;
    this.#free = Array.from({ length: threads.count }, (_, i) => threads.count - 1 - i);
  }

  /** A call's place among the others: before all that come after it. */
  ticket(): number {
    return this.#tickets++;
  }

  /**
   * Runs a job. Settles only when no worker touches its operands any more; at once if it waits and its signal fires.
   * @throws AbortedError, WorkerFailedError, and what `onDone` throws
   */
  async run(job: Job, options: JobOptions): Promise<void> {
    const work = new Work(job, this.#threads.count);
    this.#add(work);
    try {
      // An aborted job's tasks find nothing to do.
      if (options.signal?.aborted !== true) this.#fill();
      await work.finish(options);
    } finally {
      this.#remove(work);
    }
  }

  /**
   * Runs a job on the calling thread and on those workers that are there in time: by the time that a message has reached a worker and its
   * answer has come back, a phase of some hundred microseconds is nearly done. Returns a promise only where a worker
   * still has a slice when all are claimed.
   * @param claim claims slices on the calling thread, in a seat of its own.
   * @throws (as rejection) WorkerFailedError
   */
  share(job: Job, claim: (control: SharedArrayBuffer, seat: number) => void): Promise<void> | undefined {
    // The calling thread is one of them, and takes a slice at least.
    const work = new Work(job, Math.min(this.#threads.count - 1, job.slices - 1));
    this.#add(work);
    this.#fill();
    try {
      claim(work.control, this.#threads.count);
    } catch (error) {
      work.taskFailed(error);
    }
    for (let i = 0; i < SPINS && work.done < work.job.slices; i++);
    this.#remove(work);
    return work.done === work.job.slices ? undefined : work.finish({});
  }

  /** Ends the threads. Only when no call is running: tasks of `share` may be, that have nothing to do. */
  async close(): Promise<void> {
    if (this.#free.length < this.#threads.count) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    await this.#threads.close();
  }

  #add(work: Work): void {
    let at = this.#works.length;
    while (at > 0 && (this.#works[at - 1] as Work).job.ticket > work.job.ticket) at--;
    this.#works.splice(at, 0, work);
  }

  #remove(work: Work): void {
    const at = this.#works.indexOf(work);
    if (at >= 0) this.#works.splice(at, 1);
  }

  /** Gives the free seats to the earliest work that wants them. Where one wants more, later ones are asked to leave theirs. */
  #fill(): void {
    for (let i = 0; i < this.#works.length; i++) {
      const work = this.#works[i] as Work;
      while (this.#free.length > 0 && work.wants > 0) this.#post(work, this.#free.pop() as number);
      let wanted = work.wants;
      for (let later = this.#works.length - 1; later > i && wanted > 0; later--) {
        wanted -= (this.#works[later] as Work).leave();
      }
      if (this.#free.length === 0) return;
    }
  }

  #post(work: Work, seat: number): void {
    work.running++;
    const ended = () => {
      this.#free.push(seat);
      work.taskEnded();
      if (this.#free.length === this.#threads.count) this.#idle?.();
      this.#fillSoon();
    };
    this.#threads.post(work.job.taskFor(work.control, seat)).then(ended, (error: unknown) => {
      work.taskFailed(error);
      ended();
    });
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
}
