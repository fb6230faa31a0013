import { type Slices, sliceCount } from "../src/plan/slices.js";
import { CONTROL } from "./task.js";

/** What claiming needs of a task. */
interface Claimed {
  readonly slices: Slices;
  readonly control: SharedArrayBuffer;
}

/** Claims slices of one phase until none is left or it is told to stop. Touches no operand unless it got a slice. */
export function claimSlices({ slices, control }: Claimed, run: (slice: number) => void): void {
  const words = new Int32Array(control);
  const count = sliceCount(slices);
  while (Atomics.load(words, CONTROL.stop) === 0) {
    const slice = Atomics.add(words, CONTROL.cursor, 1);
    if (slice >= count) return;
    run(slice);
    Atomics.add(words, CONTROL.done, 1);
  }
}
