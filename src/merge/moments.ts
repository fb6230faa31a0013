import { describe } from "../describe.js";
import { InvalidArgumentError, reading } from "../errors.js";
import type { Grid } from "../plan/grid.js";
import { float64Of, readParts } from "./numbers.js";

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
 * Takes another part's moments into the {mean, M2} at `at`, in which `merged` cells are already, by Chan's rule (Chan, Golub, LeVeque 1979,
 * "Updating formulae and a pairwise algorithm for computing sample variances"). The kernels' mergeSegment has the same operations in the
 * same order: same bits. In place, since there may be millions of segments to merge.
 */
export function mergeInto(
  moments: Float64Array,
  at: number,
  merged: number,
  partCount: number,
  partMean: number,
  partM2: number,
): void {
  if (merged === 0) {
    moments[at] = partMean;
    moments[at + 1] = partM2;
    return;
  }
  const count = merged + partCount;
  const before = moments[at] as number;
  const delta = partMean - before;
  if (Number.isFinite(delta)) {
    moments[at] = before + delta * (partCount / count);
    moments[at + 1] = (moments[at + 1] as number) + partM2 + delta * delta * ((merged * partCount) / count);
  } else if (Number.isFinite(before) && Number.isFinite(partMean)) {
    // Both are finite, and too far apart for their difference.
    moments[at] = before * (merged / count) + partMean * (partCount / count);
    moments[at + 1] = Number.POSITIVE_INFINITY;
  } else {
    // A mean is infinite or NaN: as a plain sum would have it.
    moments[at] = before + partMean;
    moments[at + 1] = Number.NaN;
  }
}

/**
 * Merges segments [from, to) of a moments phase, {mean, M2} each in `partials`, into the {mean, M2} of each set, in the order of the segments.
 * Those before `from` are merged already.
 */
export function mergeSegments(
  grid: Grid,
  partials: Float64Array,
  moments: Float64Array,
  from: number,
  to: number,
): void {
  const { blocks, lanes, parts } = grid;
  if (blocks * parts === 1) {
    // Sets of one segment: there is nothing to merge.
    moments.set(partials.subarray(0, 2 * (to - from)), 2 * from);
    return;
  }
  let part = from % parts;
  let lane = Math.floor(from / parts) % lanes;
  let block = Math.floor(from / parts / lanes) % blocks;
  let sample = Math.floor(from / parts / lanes / blocks);
  // All parts and blocks before a segment of its set are full ones.
  const perBlock = (parts - 1) * grid.cells(0, 0) + grid.cells(0, parts - 1);
  for (let at = 0, segment = from; segment < to; segment++, at += 2) {
    const cells = grid.cells(block, part);
    const before = block * perBlock + (part === 0 ? 0 : part * grid.cells(block, 0));
    mergeInto(moments, 2 * (sample * lanes + lane), before, cells, partials[at] as number, partials[at + 1] as number);
    if (++part < parts) continue;
    part = 0;
    if (++lane < lanes) continue;
    lane = 0;
    if (++block < blocks) continue;
    block = 0;
    sample++;
  }
}

/** Moments of `count` cells a set from pairs. */
export function unpackMoments(pairs: Float64Array, count: number): SetMoments {
  const moments = { count, mean: new Float64Array(pairs.length / 2), m2: new Float64Array(pairs.length / 2) };
  unpackInto(moments, 0, pairs);
  return moments;
}

/** {mean, M2} of each set. */
export function packMoments({ mean, m2 }: SetMoments): Float64Array {
  const pairs = new Float64Array(2 * mean.length);
  for (let set = 0; set < mean.length; set++) {
    pairs[2 * set] = mean[set] as number;
    pairs[2 * set + 1] = m2[set] as number;
  }
  return pairs;
}

/** Takes the pairs of sets from `first` on. */
export function unpackInto({ mean, m2 }: SetMoments, first: number, pairs: Float64Array): void {
  for (let at = 0, set = first; at < pairs.length; at += 2, set++) {
    mean[set] = settled(pairs[at] as number);
    m2[set] = settled(pairs[at + 1] as number);
  }
}

/** A NaN is the one of this program, and no longer the kernels', whose bits hang on the machine. */
export function settled(value: number): number {
  return Number.isNaN(value) ? Number.NaN : value;
}

/**
 * Moments of the union of disjoint parts, set by set, in the order given: how SyncBatchNorm's statistics are merged over the tensors
 * of several calls, pools or machines (Chan's rule, as torch.batch_norm_gather_stats_with_counts). Parts with no cells count nothing. They
 * may have been through JSON.
 *
 * @param parts at least one; all of the same number of sets, except that a part with `count` 0 may have any.
 * @throws InvalidArgumentError
 */
export function mergeMoments(parts: readonly SetMoments[]): SetMoments {
  const operation = "mergeMoments";
  const read = readParts(operation, parts, (part) => checkMoments(operation, "parts", part, undefined));
  const filled = read.filter(({ count }) => count > 0);
  const sets = (filled[0] ?? read[0])?.mean.length ?? 0;
  for (const part of filled) checkMoments(operation, "parts", part, sets);
  const whole = new Float64Array(2 * sets);
  let merged = 0;
  for (const { count, mean, m2 } of filled) {
    for (let set = 0; set < sets; set++) {
      mergeInto(whole, 2 * set, merged, count, mean[set] as number, m2[set] as number);
    }
    merged += count;
  }
  return unpackMoments(whole, merged);
}

/** Moments as they came, also through JSON; of `sets` sets if that is said. Throws InvalidArgumentError. */
export function checkMoments(
  operation: string,
  argument: string,
  value: unknown,
  sets: number | undefined,
): SetMoments {
  const expected = "moments { count, mean, m2 } with a Float64Array entry a set";
  const [count, mean, m2] = reading(operation, argument, expected, () => {
    const read = (typeof value === "object" && value !== null ? value : {}) as Partial<SetMoments>;
    return [read.count, float64Of(read.mean), float64Of(read.m2)] as const;
  });
  const whole = typeof count === "number" && Number.isSafeInteger(count) && count >= 0;
  if (!whole || mean === undefined || m2?.length !== mean.length) {
    throw new InvalidArgumentError(operation, argument, expected, describe(value));
  }
  if (sets !== undefined && mean.length !== sets) {
    throw new InvalidArgumentError(operation, argument, `moments of ${sets} sets`, `${mean.length}`);
  }
  return { count, mean, m2 };
}
