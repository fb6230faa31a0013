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
 * Takes another part's moments into a set's, of which `merged` cells are in `mean` and `m2` already, by Chan's rule (Chan, Golub, LeVeque 1979,
 * "Updating formulae and a pairwise algorithm for computing sample variances"). The kernels' mergeSegment has the same operations in the
 * same order: same bits. In place, since there may be millions of segments to merge.
 */
function mergeInto(
  { mean, m2 }: { readonly mean: Float64Array; readonly m2: Float64Array },
  set: number,
  merged: number,
  partCount: number,
  partMean: number,
  partM2: number,
): void {
  if (merged === 0) {
    mean[set] = partMean;
    m2[set] = partM2;
    return;
  }
  const count = merged + partCount;
  const before = mean[set] as number;
  const delta = partMean - before;
  if (Number.isFinite(delta)) {
    mean[set] = before + delta * (partCount / count);
    m2[set] = (m2[set] as number) + partM2 + delta * delta * ((merged * partCount) / count);
  } else {
    // A mean is infinite or NaN: as a plain sum would have it.
    mean[set] = before + partMean;
    m2[set] = Number.NaN;
  }
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
  const whole = { mean: new Float64Array(sets), m2: new Float64Array(sets) };
  let merged = 0;
  for (const { count, mean, m2 } of filled) {
    for (let set = 0; set < sets; set++) {
      mergeInto(whole, set, merged, count, mean[set] as number, m2[set] as number);
    }
    merged += count;
  }
  return { count: merged, ...whole };
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
  const sets = { mean: new Float64Array(n * g), m2: new Float64Array(n * g) };
  let count = 0;
  for (let sample = 0, at = 0; sample < n; sample++) {
    count = 0;
    for (let block = 0; block < blocks; block++) {
      let merged = count;
      for (let set = sample * g; set < (sample + 1) * g; set++) {
        merged = count;
        for (let part = 0; part < parts; part++, at += 2) {
          const size = cells(block, part);
          mergeInto(sets, set, merged, size, partials[at] as number, partials[at + 1] as number);
          merged += size;
        }
      }
      count = merged;
    }
  }
  return { count, ...sets };
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
