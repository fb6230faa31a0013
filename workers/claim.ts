import { CONTROL, type PhaseTask, sliceCount } from "../src/protocol.js";
import type { Kernels } from "./kernels.js";
import { runSlice } from "./phase.js";

/** Claims slices of one phase until none is left or the call is aborted. Touches no operand unless it got a slice. */
export function claimSlices(kernels: Kernels, { phase, operands, control, seat }: PhaseTask): void {
  const words = new Int32Array(control);
  const slices = sliceCount(phase);
  while (Atomics.load(words, CONTROL.abort) === 0) {
    const slice = Atomics.add(words, CONTROL.cursor, 1);
    if (slice >= slices) return;
    runSlice(kernels, phase, operands, slice, seat);
    Atomics.add(words, CONTROL.done, 1);
  }
}
