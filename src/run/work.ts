// A phase on the workers: slices that are claimed from a control block in shared memory, and what is known of them.
import { CONTROL, CONTROL_BYTES } from "../../workers/task.js";
import { AbortedError, WorkerFailedError } from "../errors.js";
import { onAbort } from "./abort.js";

/** How often the control block is read for a progress report, in milliseconds. */
const PROGRESS_INTERVAL = 50;

/** What workers are to do. */
export interface Job {
  readonly operation: string;
  /** Of the call: of two jobs' slices, those of the smaller one come first. */
  readonly ticket: number;
  readonly slices: number;
  /** What a worker is sent who takes the seat. */
  taskFor(control: SharedArrayBuffer, seat: number): unknown;
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
  readonly control = new SharedArrayBuffer(CONTROL_BYTES);
  /** Tasks that were posted and have not ended. */
  running = 0;
  readonly #words = new Int32Array(this.control);
  /** Whether its tasks have been told to make room for an earlier call's. */
  #leaving = false;
  /** Why it ends early. */
  #failure: { readonly error: unknown } | undefined;
  #settle: (() => void) | undefined;

  constructor(job: Job, threads: number) {
    this.job = job;
    this.most = Math.min(threads, job.slices);
  }

  get done(): number {
    return Atomics.load(this.#words, CONTROL.done);
  }

  /** Slices that nobody has claimed. */
  get left(): number {
    return Math.max(0, this.job.slices - Atomics.load(this.#words, CONTROL.cursor));
  }

  /** More threads that would find something to do. */
  get wants(): number {
    if (this.#leaving || this.#failure !== undefined) return 0;
    return Math.min(this.most - this.running, this.left);
  }

  /** Whether nothing of it will happen any more. */
  get ended(): boolean {
    return this.running === 0 && (this.#failure !== undefined || this.done === this.job.slices);
  }

  /** Asks its tasks to end after the slice that they have. Returns how many there are. */
  leave(): number {
    if (this.running > 0 && !this.#leaving) {
      this.#leaving = true;
      Atomics.store(this.#words, CONTROL.stop, 1);
    }
    return this.running;
  }

  /** A task has ended. */
  taskEnded(): void {
    this.running--;
    if (this.running === 0 && this.#leaving) {
      this.#leaving = false;
      if (this.#failure === undefined) Atomics.store(this.#words, CONTROL.stop, 0);
    }
    if (this.ended) this.#settle?.();
  }

  /** Ends it early. Aborting a running piscina task would end its thread: workers see the control block before the next slice instead. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    Atomics.store(this.#words, CONTROL.stop, 1);
    if (this.ended) this.#settle?.();
  }

  /** A task has failed: its slice is lost, so the phase is. */
  taskFailed(error: unknown): void {
    this.fail(new WorkerFailedError(this.job.operation, error));
  }

  /**
   * Waits until it has ended, and no worker touches its operands any more.
   * @throws AbortedError, WorkerFailedError, and what `onDone` throws
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
    const abort = () => this.fail(new AbortedError(operation, signal?.reason));
    const forget = onAbort(signal, abort);
    try {
      if (signal?.aborted) abort();
      if (!this.ended) {
        await new Promise<void>((resolve) => {
          this.#settle = resolve;
        });
      }
      if (signal?.aborted) abort();
      report();
      if (this.#failure !== undefined) throw this.#failure.error;
    } finally {
      clearInterval(timer);
      forget();
    }
  }
}
