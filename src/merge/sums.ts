import { describe } from "../describe.js";
import { InvalidArgumentError, reading } from "../errors.js";
import type { Grid } from "../plan/grid.js";
import { float64Of, readParts } from "./numbers.js";

/**
 * What a channel's gradients of the input depend on beside the cell itself, as torch.batch_norm_backward_reduce has it. SyncBatchNorm's
 * are added over the parts of a batch.
 */
export interface GradientSums {
  /** Cells of each channel. */
  readonly count: number;
  /** By channel: sum of gradOutput. */
  readonly sumDy: Float64Array;
  /** By channel: sum of gradOutput * (input - mean). */
  readonly sumDyXmu: Float64Array;
}

/**
 * Sums of the parts of a batch, added in the order given.
 * @param parts at least one; all of the same number of channels.
 * @throws InvalidArgumentError
 */
export function addGradientSums(parts: readonly GradientSums[]): GradientSums {
  const operation = "addGradientSums";
  let channels: number | undefined;
  const read = readParts(operation, parts, (part) => {
    const sums = checkGradientSums(operation, "parts", part, channels);
    channels = sums.sumDy.length;
    return sums;
  });
  const width = channels ?? 0;
  const total = { count: 0, sumDy: new Float64Array(width), sumDyXmu: new Float64Array(width) };
  for (const { count, sumDy, sumDyXmu } of read) {
    total.count += count;
    for (let c = 0; c < width; c++) {
      total.sumDy[c] = (total.sumDy[c] as number) + (sumDy[c] as number);
      total.sumDyXmu[c] = (total.sumDyXmu[c] as number) + (sumDyXmu[c] as number);
    }
  }
  return total;
}

/** Sums as they came, also through JSON; of so many channels if that is said. Throws InvalidArgumentError. */
export function checkGradientSums(
  operation: string,
  argument: string,
  value: unknown,
  channels: number | undefined,
): GradientSums {
  const expected = "sums { count, sumDy, sumDyXmu } with a Float64Array entry a channel";
  const [count, sumDy, sumDyXmu] = reading(operation, argument, expected, () => {
    const read = (typeof value === "object" && value !== null ? value : {}) as Partial<GradientSums>;
    return [read.count, float64Of(read.sumDy), float64Of(read.sumDyXmu)] as const;
  });
  const whole = typeof count === "number" && Number.isSafeInteger(count) && count >= 0;
  if (!whole || sumDy === undefined || sumDyXmu?.length !== sumDy.length) {
    throw new InvalidArgumentError(operation, argument, expected, describe(value));
  }
  if (channels !== undefined && sumDy.length !== channels) {
    throw new InvalidArgumentError(operation, argument, `sums of ${channels} channels`, String(sumDy.length));
  }
  return { count, sumDy, sumDyXmu };
}

/**
 * Adds segments [from, to) of a reduce phase, {sum of g * (x - mean), sum of g} each in `partials`, to those of each sample's lane, in the
 * order of the segments.
 */
export function addSegments(grid: Grid, partials: Float64Array, sums: Float64Array, from: number, to: number): void {
  const { blocks, lanes, parts } = grid;
  let part = from % parts;
  let lane = Math.floor(from / parts) % lanes;
  let block = Math.floor(from / parts / lanes) % blocks;
  let sample = Math.floor(from / parts / lanes / blocks);
  for (let at = 0, segment = from; segment < to; segment++, at += 2) {
    const entry = 2 * (sample * lanes + lane);
    sums[entry] = (sums[entry] as number) + (partials[at] as number);
    sums[entry + 1] = (sums[entry + 1] as number) + (partials[at + 1] as number);
    if (++part < parts) continue;
    part = 0;
    if (++lane < lanes) continue;
    lane = 0;
    if (++block < blocks) continue;
    block = 0;
    sample++;
  }
}

/**
 * Adds entries [from, to) of `width` sums a sample, each times its weight, to those of its set.
 * @param perAffine entries that share a weight.
 */
export function sumSets(
  { width, groups, perAffine }: { readonly width: number; readonly groups: number; readonly perAffine: number },
  sums: Float64Array,
  weight: Float64Array | null,
  totals: Float64Array,
  from: number,
  to: number,
): void {
  const perSet = width / groups;
  for (let entry = from; entry < to; entry++) {
    const set = 2 * Math.floor(entry / perSet);
    const w = weight === null ? 1 : (weight[Math.floor((entry % width) / perAffine)] as number);
    totals[set] = (totals[set] as number) + w * (sums[2 * entry] as number);
    totals[set + 1] = (totals[set + 1] as number) + w * (sums[2 * entry + 1] as number);
  }
}

/** Channels [first, first + count) of sums as pairs. */
export function packSums({ sumDy, sumDyXmu }: GradientSums, first: number, count: number): Float64Array {
  const pairs = new Float64Array(2 * count);
  for (let c = 0; c < count; c++) {
    pairs[2 * c] = sumDyXmu[first + c] as number;
    pairs[2 * c + 1] = sumDy[first + c] as number;
  }
  return pairs;
}

/** Takes the pairs of channels from `first` on. */
export function unpackSums({ sumDy, sumDyXmu }: GradientSums, first: number, pairs: Float64Array): void {
  for (let at = 0, c = first; at < pairs.length; at += 2, c++) {
    sumDyXmu[c] = pairs[at] as number;
    sumDy[c] = pairs[at + 1] as number;
  }
}
