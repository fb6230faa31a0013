import { describe, InvalidArgumentError } from "./errors.js";
import type { Geometry } from "./geometry.js";
import { type MomentsPhase, SEGMENT_CELLS } from "./protocol.js";

/** Count, mean and sum of squared deviations from it (M2) of some cells. The variance is m2 / count. */
export interface Moments {
  /** Number of cells. */
  readonly count: number;
  readonly mean: number;
  /** Sum of the cells' squared deviations from the mean. */
  readonly m2: number;
}

/** The moments of every set of a tensor, all sets of the same number of cells. BatchNorm's sets are the channels. */
export interface SetMoments {
  /** Number of cells of each set. */
  readonly count: number;
  /** By set. For RMSNorm 0, and m2 is the sum of squares. */
  readonly mean: Float64Array;
  /** By set: sum of the cells' squared deviations from the mean. The variance is m2 / count. */
  readonly m2: Float64Array;
}

/**
 * Moments of the union of two disjoint parts, by Chan's rule (Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise
 * algorithm for computing sample variances"). The kernels' mergeSegment has the same operations in the same order: same bits.
 */
export function mergeTwo(a: Moments, b: Moments): Moments {
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

/**
 * Moments of the union of disjoint parts, set by set, in the order given: how SyncBatchNorm's statistics are merged over the tensors
 * of several calls, pools or machines (Chan's rule, as torch.batch_norm_gather_stats_with_counts). Parts with no cells count nothing.
 *
 * @param parts at least one; all of the same number of sets, except that a part with `count` 0 may have any.
 * @throws InvalidArgumentError
 */
export function mergeMoments(parts: readonly SetMoments[]): SetMoments {
  const operation = "mergeMoments";
  if (!Array.isArray(parts) || parts.length === 0) {
    throw new InvalidArgumentError(
      operation,
      "parts",
      "at least one part",
      Array.isArray(parts) ? "none" : typeof parts,
    );
  }
  for (const part of parts) checkMoments(operation, "parts", part, undefined);
  const filled = parts.filter(({ count }) => count > 0);
  const sets = (filled[0] ?? parts[0])?.mean.length ?? 0;
  for (const part of filled) checkMoments(operation, "parts", part, sets);
  const mean = new Float64Array(sets);
  const m2 = new Float64Array(sets);
  let count = 0;
  for (let set = 0; set < sets; set++) {
    let merged: Moments = { count: 0, mean: 0, m2: 0 };
    for (const part of filled) {
      merged = mergeTwo(merged, { count: part.count, mean: part.mean[set] as number, m2: part.m2[set] as number });
    }
    mean[set] = merged.mean;
    m2[set] = merged.m2;
    count = merged.count;
  }
  return { count, mean, m2 };
}

/** Throws InvalidArgumentError unless `value` is moments, of `sets` sets if that is said. */
export function checkMoments(
  operation: string,
  argument: string,
  value: unknown,
  sets: number | undefined,
): SetMoments {
  const { count, mean, m2 } = (typeof value === "object" && value !== null ? value : {}) as Partial<SetMoments>;
  const whole = typeof count === "number" && Number.isSafeInteger(count) && count >= 0;
  if (!whole || !(mean instanceof Float64Array) || !(m2 instanceof Float64Array) || mean.length !== m2.length) {
    const expected = "moments { count, mean, m2 } with a Float64Array entry a set";
    throw new InvalidArgumentError(operation, argument, expected, describe(value));
  }
  if (sets !== undefined && mean.length !== sets) {
    throw new InvalidArgumentError(operation, argument, `moments of ${sets} sets`, `${mean.length}`);
  }
  return { count, mean, m2 };
}

/**
 * Merges what a moments phase left in `partials`, {mean, M2} a segment, into one Moments a set, in the order of the segments.
 * In each layout segment (sample, block, group, part) lies at ((sample * blocks + block) * groups + group) * parts + part.
 */
export function mergePartials(phase: MomentsPhase, { n, r, g }: Geometry, partials: Float64Array): SetMoments {
  const { blocks, parts, cells } = segmentsOf(phase, r, g);
  const mean = new Float64Array(n * g);
  const m2 = new Float64Array(n * g);
  let count = 0;
  for (let set = 0; set < n * g; set++) {
    const sample = Math.floor(set / g);
    let merged: Moments = { count: 0, mean: 0, m2: 0 };
    for (let block = 0; block < blocks; block++) {
      for (let part = 0; part < parts; part++) {
        const at = 2 * (((sample * blocks + block) * g + (set % g)) * parts + part);
        merged = mergeTwo(merged, {
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
  /** Blocks of a sample's rows. */
  readonly blocks: number;
  readonly parts: number;
  /** Cells of each segment of a block and part. */
  readonly cells: (block: number, part: number) => number;
}

function segmentsOf(phase: MomentsPhase, rows: number, groups: number): SegmentGrid {
  if (phase.layout === "sets") {
    const { length } = phase;
    const parts = Math.ceil(length / SEGMENT_CELLS);
    return { blocks: rows, parts, cells: (_, part) => Math.min(SEGMENT_CELLS, length - part * SEGMENT_CELLS) };
  }
  const { perSegment } = phase;
  const blocks = Math.ceil(rows / perSegment);
  const rowsOf = (block: number) => Math.min(perSegment, rows - block * perSegment);
  if (phase.layout === "runs") return { blocks, parts: 1, cells: (block) => rowsOf(block) * phase.length };
  return { blocks, parts: phase.width / groups, cells: rowsOf };
}

/** Numbers that a moments or reduce phase writes to its partials for `n` samples. */
export function partialNumbers(
  phase: { readonly units: number } & (
    | { readonly layout: "columns"; readonly rows: number; readonly perSegment: number; readonly width: number }
    | { readonly layout: "sets" | "stretches" | "runs" }
  ),
  n: number,
): number {
  if (phase.layout !== "columns") return 2 * phase.units;
  return 2 * n * Math.ceil(phase.rows / phase.perSegment) * phase.width;
}
