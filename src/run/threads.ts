// The worker threads: piscina for their lifecycle.
import { Piscina } from "piscina";

export { MAX_THREADS } from "../../workers/scratch.js";

export class Threads {
  /** How many there are to be. */
  readonly count: number;
  readonly #worker: string;
  readonly #workerData: unknown;
  /** They start with the first task: a process of small tensors never has any. */
  #piscina: Piscina | undefined;

  /** @param worker the URL of their module, whose default export takes a task. */
  constructor(count: number, worker: string, workerData: unknown) {
    this.count = count;
    this.#worker = worker;
    this.#workerData = workerData;
  }

  /** Gives a task to a thread that has none. Settles when it has ended. No more at a time than there are threads. */
  post(task: unknown): Promise<void> {
    this.#piscina ??= this.#start();
    return this.#piscina.run(task);
  }

  /** Ends the threads. Only when no task is running. */
  async close(): Promise<void> {
    await this.#piscina?.destroy();
  }

  #start(): Piscina {
    return new Piscina({
      filename: this.#worker,
      workerData: this.#workerData,
      minThreads: this.count,
      maxThreads: this.count,
      concurrentTasksPerWorker: 1,
      // Twice as fast a round trip as waiting for tasks in Atomics.wait.
      atomics: "disabled",
      recordTiming: false,
    });
  }
}
