import { workerData } from "node:worker_threads";
import { CONTROL, type PhaseTask, SCRATCH_BYTES, SCRATCH_SLOTS, sliceCount, type WorkerData } from "../src/protocol.js";
import { instantiate } from "./kernels.js";
import { runSlice } from "./phase.js";

const { memory, module, slots } = workerData as WorkerData;

// Slots are taken in turn at each thread's birth. At most MAX_THREADS are alive: one that replaces a crashed thread gets its own
// slot as long as no other has lived through the births of twice as many.
const slot = 1 + (Atomics.add(new Int32Array(slots), 0, 1) % (SCRATCH_SLOTS - 1));
const kernels = instantiate(module, memory, slot * SCRATCH_BYTES);

/** The piscina handler: claims slices of one phase until none is left or the call is aborted. */
export default function work({ phase, operands, control, seat }: PhaseTask): void {
  const words = new Int32Array(control);
  const slices = sliceCount(phase);
  while (Atomics.load(words, CONTROL.abort) === 0) {
    const slice = Atomics.add(words, CONTROL.cursor, 1);
    if (slice >= slices) return;
    runSlice(kernels, phase, operands, slice, seat);
    Atomics.add(words, CONTROL.done, 1);
  }
}
