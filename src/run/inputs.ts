import type { ParameterGradients } from "../merge/gradients.js";
import type { SetMoments } from "../merge/moments.js";
import type { RunningStatistics } from "../merge/statistics.js";
import type { GradientSums } from "../merge/sums.js";
import type { Parameter } from "../tensor/parameter.js";

/** What comes with a call beside its tensors; null where there is none. */
export interface Inputs {
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  readonly running: RunningStatistics | null;
  readonly moments: SetMoments | null;
  readonly sums: GradientSums | null;
}

export const NO_INPUTS: Inputs = { weight: null, bias: null, running: null, moments: null, sums: null };

/** Where what a call finds out goes, a stripe at a time; null where it is not wanted. */
export interface Found {
  /** Told {mean, M2} of each set from `first` on, of `count` cells. */
  readonly moments?: ((pairs: Float64Array, first: number, count: number) => void) | null;
  /** Added to. */
  readonly gradients?: ParameterGradients | null;
  /** Taken by channel. */
  readonly sums?: GradientSums | null;
}
