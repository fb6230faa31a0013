// The worker threads: piscina for their lifecycle, a control block in shared memory for what happens inside a phase.
import { Piscina } from "piscina";
import { claimSlices } from "../workers/claim.js";
import type { Kernels } from "../workers/kernels.js";
import type { WasmMemory, WasmModule } from "../workers/webassembly.js";
import { onAbort } from "./abort.js";
import { AbortedError, WorkerFailedError } from "./errors.js";
import {
  CONTROL,
  CONTROL_BYTES,
  type Operands,
  type Phase,
  type PhaseTask,
  sliceCount,
  type WorkerData,
} from "./protocol.js";

const WORKER = new URL("../workers/worker.js", import.meta.url).href;

/** How often the control block is read for a progress report, in milliseconds. */
const PROGRESS_INTERVAL = 50;

export interface PhaseOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told now and then, and at the end, how many slices of the phase are done. */
  readonly onDone?: ((slices: number) => void) | undefined;
}

/** How often `share` looks whether the workers' last slices are done: for some 10 us, less than waiting for their answers takes. */
const SPINS = 1000;

/** One phase's control block, and what is known of it. */
class PhaseWork {
  readonly slices: number;
  readonly #operation: string;
  readonly #phase: Phase;
  readonly #operands: Operands;
  readonly #control = new SharedArrayBuffer(CONTROL_BYTES);
  readonly #words = new Int32Array(this.#control);

  constructor(operation: string, phase: Phase, operands: Operands) {
    this.#operation = operation;
    this.#phase = phase;
    this.#operands = operands;
    this.slices = sliceCount(phase);
  }

  get done(): number {
    return Atomics.load(this.#words, CONTROL.done);
  }

  taskOf(seat: number): PhaseTask {
    return { phase: this.#phase, operands: this.#operands, control: this.#control, seat };
  }

  /** Aborting a running piscina task would end its thread. The workers see this word before the next slice instead. */
  stop(): void {
    Atomics.store(this.#words, CONTROL.abort, 1);
  }

  /** Waits for all tasks. A failed worker's slice is lost, so the phase is: the others stop early, and all have stopped when this returns. */
  async finish(tasks: readonly Promise<void>[]): Promise<void> {
    for (const task of tasks) task.catch(() => this.stop());
    const failed = (await Promise.allSettled(tasks)).find((result) => result.status === "rejected");
    if (failed !== undefined) throw new WorkerFailedError(this.#operation, failed.reason);
  }
}

export class Threads {
  readonly #threads: number;
  readonly #workerData: WorkerData;
  /** Threads start with the first phase: a process of small tensors never has any. */
  #piscina: Piscina | undefined;
  /** Tasks of `share` that have not ended: no worker has looked at them yet, or its answer has not been read. */
  readonly #late = new Set<Promise<void>>();

  constructor(threads: number, memory: WasmMemory, module: WasmModule) {
    this.#threads = threads;
    this.#workerData = { memory, module, slots: new SharedArrayBuffer(4) };
  }

  /**
   * Runs one phase: a task for each worker, slices claimed until none is left. Settles only when no worker touches
   * the operands any more. Calls at once queue in piscina, task by task, first come first served.
   * @throws AbortedError, WorkerFailedError, and what `onDone` throws
   */
  async run(operation: string, phase: Phase, operands: Operands, { signal, onDone }: PhaseOptions): Promise<void> {
    if (signal?.aborted) throw new AbortedError(operation, signal.reason);
    const work = new PhaseWork(operation, phase, operands);
    let thrown: { readonly error: unknown } | undefined;
    const report = () => {
      try {
        if (thrown === undefined) onDone?.(work.done);
      } catch (error) {
        thrown = { error };
        work.stop();
      }
    };
    const timer = onDone && setInterval(report, PROGRESS_INTERVAL);
    const forget = onAbort(signal, () => work.stop());
    try {
      await work.finish(this.#post(work, Math.min(this.#threads, work.slices)));
      if (signal?.aborted) throw new AbortedError(operation, signal.reason);
      report();
      if (thrown !== undefined) throw (thrown as { readonly error: unknown }).error;
    } finally {
      clearInterval(timer);
      forget();
    }
  }

  /**
   * Runs one phase on the calling thread and on those workers that are there in time: by the time that a message has reached a worker and its
   * answer has come back, a phase of some hundred microseconds is nearly done. Returns a promise only where a worker
   * still has a slice when all are claimed.
   * @throws (as rejection) WorkerFailedError
   */
  share(operation: string, phase: Phase, operands: Operands, kernels: Kernels): Promise<void> | undefined {
    const work = new PhaseWork(operation, phase, operands);
    // Late tasks of earlier phases will find nothing to do: there is no use in more of them than workers.
    const tasks = this.#post(work, Math.min(this.#threads - 1 - this.#late.size, work.slices - 1));
    for (const task of tasks) {
      this.#late.add(task);
      const settled = () => this.#late.delete(task);
      task.then(settled, settled);
    }
    try {
      claimSlices(kernels, work.taskOf(tasks.length));
    } catch (error) {
      work.stop();
      return work.finish([...tasks, Promise.reject(error)]);
    }
    for (let i = 0; i < SPINS && work.done < work.slices; i++);
    return work.done === work.slices ? undefined : work.finish(tasks);
  }

  #post(work: PhaseWork, tasks: number): Promise<void>[] {
    if (tasks <= 0) return [];
    this.#piscina ??= this.#start();
    const posted: Promise<void>[] = [];
    for (let seat = 0; seat < tasks; seat++) posted.push(this.#piscina.run(work.taskOf(seat)));
    return posted;
  }

  /** Ends the threads. Only when no phase is running. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#late);
    await this.#piscina?.destroy();
  }

  #start(): Piscina {
    return new Piscina({
      filename: WORKER,
      workerData: this.#workerData,
      minThreads: this.#threads,
      maxThreads: this.#threads,
      concurrentTasksPerWorker: 1,
      // Twice as fast a round trip as waiting for tasks in Atomics.wait.
      atomics: "disabled",
      recordTiming: false,
    });
  }
}
