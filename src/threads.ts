// The worker threads: piscina for their lifecycle, a control block in shared memory for what happens inside a phase.
import { Piscina } from "piscina";
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

export class Threads {
  readonly #threads: number;
  readonly #workerData: WorkerData;
  /** Threads start with the first phase: a process of small tensors never has any. */
  #piscina: Piscina | undefined;

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
    const control = new SharedArrayBuffer(CONTROL_BYTES);
    const words = new Int32Array(control);
    // Aborting a running piscina task would end its thread. The workers see this word before the next slice instead.
    const stop = () => Atomics.store(words, CONTROL.abort, 1);
    const slices = sliceCount(phase);
    const taskOf = (seat: number): PhaseTask => ({ phase, operands, control, seat });
    let thrown: { readonly error: unknown } | undefined;
    const report = () => {
      try {
        if (thrown === undefined) onDone?.(Atomics.load(words, CONTROL.done));
      } catch (error) {
        thrown = { error };
        stop();
      }
    };
    const timer = onDone && setInterval(report, PROGRESS_INTERVAL);
    const forget = onAbort(signal, stop);
    try {
      this.#piscina ??= this.#start();
      const tasks = Array.from({ length: Math.min(this.#threads, slices) }, (_, seat) =>
        this.#piscina?.run(taskOf(seat)),
      );
      // A failed worker's slice is lost, so the phase is: the others stop early, and all have stopped when this returns.
      for (const running of tasks) running?.catch(stop);
      const failed = (await Promise.allSettled(tasks)).find((result) => result.status === "rejected");
      if (failed !== undefined) throw new WorkerFailedError(operation, failed.reason);
      if (signal?.aborted) throw new AbortedError(operation, signal.reason);
      report();
      if (thrown !== undefined) throw (thrown as { readonly error: unknown }).error;
    } finally {
      clearInterval(timer);
      forget();
    }
  }

  /** Ends the threads. Only when no phase is running. */
  async close(): Promise<void> {
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
