// Moments of an input's cells, however they are stored.
import { isBytes, momentsOfBytes } from "./bytes";
import { inputAt, loaded } from "./cells";
import { SEGMENT } from "./constants";
import { endMerge, mergeSegment, startMerge } from "./merge";
import { momentsSegment } from "./segment-moments";

/** Moments of one segment of n cells of an input at x, 1 <= n <= SEGMENT. One read. */
@inline
export function momentsAt<A>(x: usize, n: usize): void {
  if (isBytes()) momentsOfBytes(x, n);
  else momentsSegment<A>(loaded(x, n), n);
}

/** Moments of one set of n consecutive cells of an input at x: its segments, merged in order. One read. */
@inline
export function momentsSet<A>(x: usize, n: usize): void {
  if (n <= SEGMENT) {
    momentsAt<A>(x, n);
    return;
  }
  startMerge();
  for (let done: usize = 0; done < n; done += SEGMENT) {
    const cells = min(SEGMENT, n - done);
    momentsAt<A>(inputAt(x, done), cells);
    mergeSegment(<f64>cells);
  }
  endMerge();
}
