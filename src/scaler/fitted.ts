// What a scaler knows of the channels, and how it comes to know more: scikit-learn's numbers by its rules, in float64.
import { mergeInto } from "../merge/moments.js";

/** By channel. */
export interface Fitted {
  /** Samples seen: cells that are not NaN. */
  readonly counts: Float64Array;
  readonly mean: Float64Array;
  /** Biased. */
  readonly variance: Float64Array;
  /** What transform divides by: the deviation, and 1 where the channel is constant. */
  readonly scale: Float64Array;
}

/** A part's cells that are not NaN: how many, and their {mean, M2}, by channel. */
export interface PartMoments {
  /** Of each channel, NaN among them. */
  readonly samples: number;
  readonly counts: Float64Array;
  readonly moments: Float64Array;
}

/**
 * Takes a part into what is fitted, by Chan's rule. M2 is the variance times the count, whoever kept them meanwhile: a scaler that was saved goes
 * on with the same bits.
 */
export function merged(fitted: Fitted | null, part: PartMoments): Fitted {
  const channels = part.counts.length;
  const table = () => new Float64Array(channels);
  const result = { counts: table(), mean: table(), variance: table(), scale: table() };
  const pair = new Float64Array(2);
  for (let c = 0; c < channels; c++) {
    const before = fitted === null ? 0 : (fitted.counts[c] as number);
    const own = part.counts[c] as number;
    if (fitted !== null && before > 0) {
      pair[0] = fitted.mean[c] as number;
      pair[1] = (fitted.variance[c] as number) * before;
    }
    if (own > 0) mergeInto(pair, 0, before, own, part.moments[2 * c] as number, part.moments[2 * c + 1] as number);
    const count = before + own;
    const mean = count === 0 ? Number.NaN : (pair[0] as number);
    const variance = count === 0 ? Number.NaN : (pair[1] as number) / count;
    result.counts[c] = count;
    result.mean[c] = mean;
    result.variance[c] = variance;
    result.scale[c] = isConstant(variance, mean, count) ? 1 : Math.sqrt(variance);
  }
  return result;
}

/**
 * scikit-learn's `_is_constant_feature`: whether a variance is no more than what rounding makes of equal numbers, by the bound of the two-pass
 * algorithm (Chan, Golub, LeVeque 1983).
 */
function isConstant(variance: number, mean: number, count: number): boolean {
  return variance <= count * Number.EPSILON * variance + (count * mean * Number.EPSILON) ** 2;
}
