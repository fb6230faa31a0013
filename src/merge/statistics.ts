// Mean and deviation of sets, however they came, as the tables are filled from them.
import type { Parameter } from "../tensor/parameter.js";
import type { SetMoments } from "./moments.js";

/** Mean and 1 / sqrt(variance + eps) of a set. */
export interface Statistics {
  mean(set: number): number;
  rstd(set: number): number;
}

/** Running statistics: a set is a channel. */
export interface RunningStatistics {
  readonly mean: Parameter;
  readonly variance: Parameter;
}

/** Of {mean, M2} of `count` cells each. */
export function ofPairs(pairs: Float64Array, count: number, eps: number): Statistics {
  return {
    mean: (set) => pairs[2 * set] as number,
    rstd: (set) => 1 / Math.sqrt((pairs[2 * set + 1] as number) / count + eps),
  };
}

/** Of the sets from `first` on. */
export function ofMoments({ count, mean, m2 }: SetMoments, first: number, eps: number): Statistics {
  return {
    mean: (set) => mean[first + set] as number,
    rstd: (set) => 1 / Math.sqrt((m2[first + set] as number) / count + eps),
  };
}

/** Of the channels from `first` on. */
export function ofRunning({ mean, variance }: RunningStatistics, first: number, eps: number): Statistics {
  return {
    mean: (set) => mean[first + set] as number,
    rstd: (set) => 1 / Math.sqrt((variance[first + set] as number) + eps),
  };
}
