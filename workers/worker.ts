import { workerData } from "node:worker_threads";
import { type PhaseTask, SCRATCH_BYTES, SCRATCH_SLOTS, type WorkerData } from "../src/protocol.js";
import { claimSlices } from "./claim.js";
import { instantiate } from "./kernels.js";

const { memory, module, slots } = workerData as WorkerData;

// Slots are taken in turn at each thread's birth. At most MAX_THREADS are alive: one that replaces a crashed thread gets its own
// slot as long as no other has lived through the births of twice as many.
const slot = 1 + (Atomics.add(new Int32Array(slots), 0, 1) % (SCRATCH_SLOTS - 1));
const kernels = instantiate(module, memory, slot * SCRATCH_BYTES);

/** The piscina handler. */
export default function work(task: PhaseTask): void {
  claimSlices(kernels, task);
}
