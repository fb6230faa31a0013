// Mean and deviation of sets, however they came, as the tables are filled from them.
import type { Measure } from "../plan/phase.js";
import type { Parameter } from "../tensor/parameter.js";
import type { SetMoments } from "./moments.js";

/**
 * Mean and 1 / sqrt(variance + eps) of sets, as arrays and not as functions, which took most of the time of filling a table: set s has mean
 * `means[first + s * stride]` and variance `spreads[first + s * stride] / count`.
 */
export interface Statistics {
  readonly means: Parameter;
  readonly spreads: Parameter;
  readonly first: number;
  readonly stride: number;
  readonly count: number;
  readonly eps: number;
  readonly measure: Measure;
}

/**
 * A variance and eps that together count as 0, with results of 0 and not NaN: InstanceNorm's of cells that are all alike, where its eps is 0.
 * NOTHING of workers/kernels/constants.ts.
 */
export const NOTHING = Number.MIN_VALUE;

/** What cells are multiplied by, given a sum of squares of `count` of them, as the kernels have it. */
export function rstdOf(
  sumOfSquares: number,
  { count, eps, measure }: Pick<Statistics, "count" | "eps" | "measure">,
): number {
  if (measure === "length") return 1 / Math.max(Math.sqrt(sumOfSquares), eps);
  const variance = sumOfSquares / count + eps;
  return variance === NOTHING ? 0 : 1 / Math.sqrt(variance);
}

/** Running statistics: a set is a channel. */
export interface RunningStatistics {
  readonly mean: Parameter;
  readonly variance: Parameter;
}

/** Of {mean, M2} of `count` cells each. */
export function ofPairs(pairs: Float64Array, count: number, eps: number, measure: Measure): Statistics {
  return { means: pairs, spreads: pairs.subarray(1), first: 0, stride: 2, count, eps, measure };
}

/** Of the sets from `first` on. */
export function ofMoments({ count, mean, m2 }: SetMoments, first: number, eps: number, measure: Measure): Statistics {
  return { means: mean, spreads: m2, first, stride: 1, count, eps, measure };
}

/** Of the channels from `first` on. */
export function ofRunning(
  { mean, variance }: RunningStatistics,
  first: number,
  eps: number,
  measure: Measure,
): Statistics {
  return { means: mean, spreads: variance, first, stride: 1, count: 1, eps, measure };
}
