import { type Slices, sliceCount } from "../src/plan/slices.js";
import { CONTROL, type Control, claim, finish, isDone, STOP } from "./control.js";

/** What claiming needs of a task. */
interface Claimed {
  readonly slices: Slices;
  readonly control: Control;
  readonly seat: number;
}

/**
 * Claims slices of one phase until none is left, it is told to stop, or it has had `most`. Touches no operand unless it got a slice. What is done
 * already is passed over: after a loss all are gone through again.
 * @param run returns false where it has left the slice, because all is to stop at once; whose it was stays noted.
 */
export function claimSlices(
  { slices, control, seat }: Claimed,
  run: (slice: number) => unknown,
  most = Number.POSITIVE_INFINITY,
): void {
  const count = sliceCount(slices);
  for (let had = 0; had < most && Atomics.load(control, CONTROL.stop) === STOP.no; ) {
    const slice = Atomics.add(control, CONTROL.cursor, 1);
    if (slice >= count) return;
    if (isDone(control, slice)) continue;
    claim(control, seat, slice);
    if (run(slice) === false) return;
    finish(control, seat, slice);
    had++;
  }
}
