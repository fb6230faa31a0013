import { workerData } from "node:worker_threads";
import { claimSlices } from "./claim.js";
import { addDrivers } from "./drivers/drivers.js";
import { FileFault, type Refusal } from "./drivers/file-fault.js";
import { instantiate } from "./kernels.js";
import { runSlice } from "./phase.js";
import { SCRATCH_BYTES } from "./scratch.js";
import type { PhaseTask, WorkerData } from "./task.js";

const { memory, module, slot, ready, modules } = workerData as WorkerData;

const kernels = instantiate(module, memory, slot * SCRATCH_BYTES);
let run: typeof runSlice = runSlice;
for (const url of modules) run = (await addModule(url)) ?? run;
Atomics.store(new Int32Array(ready), 0, 1);

/** A test's module: drivers by kind, and what is done with a slice in place of runSlice. */
async function addModule(url: string): Promise<typeof runSlice | undefined> {
  await addDrivers(url);
  return ((await import(url)) as { readonly runSlice?: typeof runSlice }).runSlice;
}

/** The piscina handler. Returns what a file refused: of what is thrown, only the words would arrive. */
export default function work(task: PhaseTask): Refusal | undefined {
  try {
    claimSlices(task, (slice) => run(kernels, task, slice));
    return undefined;
  } catch (error) {
    if (error instanceof FileFault) return error.refusal;
    throw error;
  }
}
