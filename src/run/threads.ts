// The worker threads: piscina for their lifecycle, one of one thread for each seat. A piscina that loses a thread before it is ready starts no
// other, and its tasks wait for ever; so one whose thread has ended is not used again, and the seat's next task starts another.
import type { Worker } from "node:worker_threads";
import { Piscina } from "piscina";
import { FileFault, type Refusal } from "../../workers/drivers/file-fault.js";

export { MAX_THREADS } from "../../workers/scratch.js";

/** How a task ended. */
export type TaskEnd =
  | { readonly kind: "done" }
  /** It threw; its thread goes on. */
  | { readonly kind: "threw"; readonly error: unknown }
  /** Its thread has ended and touches nothing any more. `ready`: whether it had been ready for tasks. */
  | { readonly kind: "died"; readonly error: unknown; readonly ready: boolean };

const TASK_DONE: TaskEnd = { kind: "done" };

/**
 * Workers compute in WebAssembly's memory: they need little of JavaScript's. What a slice takes is garbage at once; left to itself, V8 lets some 7 MiB
 * of that gather in each thread of a long call (16 GiB from file to file by 4 threads in tiles of 256 KiB: at most 159 MiB, and 133 so).
 */
const HEAP = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 3 };

/** One thread, until it ends. */
interface Thread {
  readonly piscina: Piscina;
  readonly ready: Int32Array;
  /** Settles when nothing of it runs any more. */
  readonly exited: Promise<void>;
  ended: boolean;
}

export class Threads {
  /** How many there are to be. */
  readonly count: number;
  readonly #worker: string;
  readonly #dataOf: (seat: number, ready: SharedArrayBuffer) => unknown;
  /** By seat. They start with their first task: a process of small tensors never has any. */
  readonly #threads: (Thread | undefined)[];
  /** Of those that have not come to their end. */
  readonly #exits = new Set<Promise<void>>();
  #lost = 0;

  /** @param worker the URL of their module, whose export `handle` is what takes a task, or a promise of it. @param dataOf what the thread of a seat is born with. */
  constructor(count: number, worker: string, dataOf: (seat: number, ready: SharedArrayBuffer) => unknown) {
    this.count = count;
    this.#worker = worker;
    this.#dataOf = dataOf;
    this.#threads = Array.from({ length: count }, () => undefined);
  }

  /** Threads that have started and not ended. */
  get alive(): number {
    return this.#threads.reduce((sum, thread) => sum + (thread === undefined ? 0 : 1), 0);
  }

  /** Threads that ended before they were to, or had to be ended. */
  get lost(): number {
    return this.#lost;
  }

  /** Gives a task to the thread of a seat, which has none. Never rejects. */
  async post(seat: number, task: unknown): Promise<TaskEnd> {
    let thread: Thread;
    try {
      thread = this.#threads[seat] ??= this.#start(seat);
    } catch (error) {
      return { kind: "died", error, ready: false };
    }
    try {
      const refusal: Refusal | undefined = await thread.piscina.run(task);
      return refusal === undefined ? TASK_DONE : { kind: "threw", error: new FileFault(refusal) };
    } catch (error) {
      if (!thread.ended) return { kind: "threw", error };
      // An error is told before the thread has come to its end.
      await thread.exited;
      return { kind: "died", error, ready: Atomics.load(thread.ready, 0) === 1 };
    }
  }

  /** Ends the thread of a seat, in the middle of whatever it does; its task ends with it. */
  end(seat: number): void {
    const thread = this.#threads[seat];
    if (thread !== undefined) this.#lose(seat, thread);
  }

  /** Ends all threads, and what they do. Waits for those, too, that were lost a moment ago. */
  async close(): Promise<void> {
    this.#threads.forEach((thread, seat) => {
      if (thread !== undefined) this.#drop(seat, thread);
    });
    await Promise.all(this.#exits);
  }

  #start(seat: number): Thread {
    const ready = new SharedArrayBuffer(4);
    const { NODE_OPTIONS: options } = process.env;
    const piscina = new Piscina({
      filename: this.#worker,
      name: "handle",
      workerData: this.#dataOf(seat, ready),
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: 1,
      // Twice as fast a round trip as waiting for tasks in Atomics.wait.
      atomics: "disabled",
      recordTiming: false,
      // Only what may be needed to find modules.
      env: options === undefined ? {} : { NODE_OPTIONS: options },
      argv: [],
      resourceLimits: HEAP,
    });
    const worker = piscina.threads[0] as Worker;
    const exited = new Promise<void>((resolve) => {
      worker.once("exit", () => {
        this.#exits.delete(exited);
        resolve();
      });
    });
    this.#exits.add(exited);
    const thread: Thread = { piscina, ready: new Int32Array(ready), exited, ended: false };
    // A thread that fails while it has no task is nobody's error: the seat's next task has another.
    piscina.on("error", () => this.#lose(seat, thread));
    piscina.on("workerDestroy", () => this.#lose(seat, thread));
    return thread;
  }

  #lose(seat: number, thread: Thread): void {
    if (thread.ended) return;
    this.#lost++;
    this.#drop(seat, thread);
  }

  #drop(seat: number, thread: Thread): void {
    thread.ended = true;
    if (this.#threads[seat] === thread) this.#threads[seat] = undefined;
    // Never settles where the thread has ended already. What it does at once is that no other is started.
    void thread.piscina.destroy();
  }
}
