import { type MomentsPhase, SEGMENT_CELLS } from "./protocol.js";

/** Count, mean and sum of squared deviations from it (M2) of some cells. The variance is m2 / count. */
export interface Moments {
  /** Number of cells. */
  readonly count: number;
  readonly mean: number;
  /** Sum of the cells' squared deviations from the mean. */
  readonly m2: number;
}

/**
 * Moments of the union of two disjoint parts, by Chan's rule (Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise
 * algorithm for computing sample variances"). The kernels' mergeSegment has the same operations in the same order: same bits.
 */
export function mergeMoments(a: Moments, b: Moments): Moments {
  if (a.count === 0) return b;
  if (b.count === 0) return a;
  const count = a.count + b.count;
  const delta = b.mean - a.mean;
  // A mean is infinite or NaN: as a plain sum would have it.
  if (!Number.isFinite(delta)) return { count, mean: a.mean + b.mean, m2: Number.NaN };
  return {
    count,
    mean: a.mean + delta * (b.count / count),
    m2: a.m2 + b.m2 + delta * delta * ((a.count * b.count) / count),
  };
}

/** The moments of every set of a tensor, all sets of the same number of cells. */
export interface SetMoments {
  readonly count: number;
  readonly mean: Float64Array;
  readonly m2: Float64Array;
}

/**
 * Merges what a moments phase left in `partials`, {mean, M2} a segment, into one Moments a set, in the order of the segments.
 * In each layout segment (block, set, part) lies at (block * sets + set) * parts + part.
 */
export function mergePartials(phase: MomentsPhase, sets: number, partials: Float64Array): SetMoments {
  const { blocks, parts, cells } = segmentsOf(phase, sets);
  const mean = new Float64Array(sets);
  const m2 = new Float64Array(sets);
  let count = 0;
  for (let set = 0; set < sets; set++) {
    let merged: Moments = { count: 0, mean: 0, m2: 0 };
    for (let block = 0; block < blocks; block++) {
      for (let part = 0; part < parts; part++) {
        const at = 2 * ((block * sets + set) * parts + part);
        merged = mergeMoments(merged, {
          count: cells(block, part),
          mean: partials[at] as number,
          m2: partials[at + 1] as number,
        });
      }
    }
    mean[set] = merged.mean;
    m2[set] = merged.m2;
    count = merged.count;
  }
  return { count, mean, m2 };
}

interface SegmentGrid {
  readonly blocks: number;
  readonly parts: number;
  /** Cells of each segment of a block and part. */
  readonly cells: (block: number, part: number) => number;
}

function segmentsOf(phase: MomentsPhase, sets: number): SegmentGrid {
  if (phase.layout === "sets") {
    const { length, units } = phase;
    const parts = Math.ceil(length / SEGMENT_CELLS);
    const cells = (_: number, part: number) => Math.min(SEGMENT_CELLS, length - part * SEGMENT_CELLS);
    return { blocks: units / (parts * sets), parts, cells };
  }
  const { samples, perSegment } = phase;
  const blocks = Math.ceil(samples / perSegment);
  const rows = (block: number) => Math.min(perSegment, samples - block * perSegment);
  if (phase.layout === "runs") return { blocks, parts: 1, cells: (block) => rows(block) * phase.length };
  return { blocks, parts: phase.width / sets, cells: rows };
}

/** Bytes that a moments phase writes to its partials. */
export function partialBytes(phase: MomentsPhase): number {
  if (phase.layout !== "columns") return phase.units * 16;
  return Math.ceil(phase.samples / phase.perSegment) * phase.width * 16;
}
