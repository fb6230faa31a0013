// Moments of a set of several segments, merged in order by Chan's rule: the same operations in the same order as src/merge/moments.ts.
import { m2, mean, setMoments } from "./segment-moments";

/** Moments gathered so far over several segments, merged in order. */
let mergedCount: f64 = 0;
let mergedMean: f64 = 0;
let mergedM2: f64 = 0;

export function startMerge(): void {
  mergedCount = 0;
}

/** Takes in the last segment's moments by Chan's rule. */
export function mergeSegment(n: f64): void {
  if (mergedCount == 0) {
    mergedCount = n;
    mergedMean = mean;
    mergedM2 = m2;
    return;
  }
  const count = mergedCount + n;
  const delta = mean - mergedMean;
  if (delta - delta != 0) {
    if (mean - mean == 0 && mergedMean - mergedMean == 0) {
      // Both are finite, and too far apart for their difference.
      mergedMean = mergedMean * (mergedCount / count) + mean * (n / count);
      mergedM2 = Infinity;
    } else {
      // A mean is infinite or NaN: as a plain sum would have it.
      mergedMean += mean;
      mergedM2 = NaN;
    }
    mergedCount = count;
    return;
  }
  mergedMean = mergedMean + delta * (n / count);
  mergedM2 = mergedM2 + m2 + delta * delta * ((mergedCount * n) / count);
  mergedCount = count;
}

/** Puts the merged moments where the last segment's were. */
export function endMerge(): void {
  setMoments(mergedMean, mergedM2);
}
