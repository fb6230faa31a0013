import { workerData } from "node:worker_threads";
import { claimSlices } from "./claim.js";
import { addDrivers } from "./drivers/drivers.js";
import { instantiate } from "./kernels.js";
import { runSlice } from "./phase.js";
import { SCRATCH_BYTES, SCRATCH_SLOTS } from "./scratch.js";
import type { PhaseTask, WorkerData } from "./task.js";

const { memory, module, slots, drivers } = workerData as WorkerData;

// Slots are taken in turn at each thread's birth. At most MAX_THREADS are alive: one that replaces a crashed thread gets its own
// slot as long as no other has lived through the births of twice as many.
const slot = 1 + (Atomics.add(new Int32Array(slots), 0, 1) % (SCRATCH_SLOTS - 1));
const kernels = instantiate(module, memory, slot * SCRATCH_BYTES);
for (const url of drivers) await addDrivers(url);

/** The piscina handler. */
export default function work(task: PhaseTask): void {
  claimSlices(task, (slice) => runSlice(kernels, task, slice));
}
