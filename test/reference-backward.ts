// The oracle's gradients: for each layer of reference.ts, those of sum(y * g), in float64 from the formulas and not by differentiation.
// With xhat = (x - mean) * rstd, gw = g * weight, and `avg` over the set:
//   dx = rstd * (gw - avg(gw) - xhat * avg(gw * xhat)), dweight = sum of g * xhat, dbias = sum of g.
import {
  axisSets,
  batchSets,
  CompensatedSums,
  groupSets,
  instanceSets,
  type LocalResponseOptions,
  localResponseSums,
  moments,
  type ReferenceOptions,
  RMS_EPS,
  rowSets,
  type Sets,
  sumNeighbours,
  unitNorm,
} from "./reference.js";

interface InputGradient {
  readonly gradInput: Float64Array;
  /** For each cell the sum of the absolute values of the terms of its gradient, which is what rounding errors are relative to. */
  readonly scale: Float64Array;
}

interface WeightGradients extends InputGradient {
  /** By weight, as if it were 1 where there is none; `weightScale` is the sum of its terms' absolute values. */
  readonly gradWeight: Float64Array;
  readonly weightScale: Float64Array;
}

export interface ReferenceGradients extends WeightGradients {
  readonly gradBias: Float64Array;
  readonly biasScale: Float64Array;
}

/** Sums, and beside each the sum of its terms' absolute values. */
class SumsWithScale {
  readonly #sums: CompensatedSums;
  readonly #scales: CompensatedSums;

  constructor(length: number) {
    this.#sums = new CompensatedSums(length);
    this.#scales = new CompensatedSums(length);
  }

  add(i: number, value: number): void {
    this.#sums.add(i, value);
    this.#scales.add(i, Math.abs(value));
  }

  values(): Float64Array {
    return this.#sums.values();
  }

  scales(): Float64Array {
    return this.#scales.values();
  }
}

function backwardOfSets(
  x: ArrayLike<number>,
  g: ArrayLike<number>,
  sets: Sets,
  { eps = 1e-5, weight, given }: ReferenceOptions,
  centred = true,
): ReferenceGradients {
  const own = moments(x, sets, centred);
  const mean = given ? given.mean : own.mean;
  const rstd = Float64Array.from(given ? given.variance : own.variance, (v) => 1 / Math.sqrt(v + eps));
  const xhat = new Float64Array(x.length);
  const gw = new Float64Array(x.length);
  // A mean that is given, or 0 by definition, does not move with x, nor does a variance that is given: their sums stay empty.
  const throughMean = new SumsWithScale(sets.count);
  const throughVariance = new SumsWithScale(sets.count);
  const toWeight = new SumsWithScale(sets.affines);
  const toBias = new SumsWithScale(sets.affines);
  for (let i = 0; i < x.length; i++) {
    const [set, affine] = sets.of(i);
    const statistic = given ? affine : set;
    const gradient = g[i] as number;
    const z = ((x[i] as number) - (mean[statistic] as number)) * (rstd[statistic] as number);
    const weighted = gradient * (weight ? (weight[affine] as number) : 1);
    xhat[i] = z;
    gw[i] = weighted;
    if (centred && !given) throughMean.add(set, weighted);
    if (!given) throughVariance.add(set, weighted * z);
    toWeight.add(affine, gradient * z);
    toBias.add(affine, gradient);
  }
  const average = (sums: Float64Array) => sums.map((sum) => sum / own.cellsPerSet);
  const [meanTerm, meanScale] = [average(throughMean.values()), average(throughMean.scales())];
  const [varianceTerm, varianceScale] = [average(throughVariance.values()), average(throughVariance.scales())];
  const gradInput = new Float64Array(x.length);
  const scale = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const [set, affine] = sets.of(i);
    const r = rstd[given ? affine : set] as number;
    const z = xhat[i] as number;
    const weighted = gw[i] as number;
    gradInput[i] = r * (weighted - (meanTerm[set] as number) - z * (varianceTerm[set] as number));
    scale[i] = r * (Math.abs(weighted) + (meanScale[set] as number) + Math.abs(z) * (varianceScale[set] as number));
  }
  return {
    gradInput,
    scale,
    gradWeight: toWeight.values(),
    weightScale: toWeight.scales(),
    gradBias: toBias.values(),
    biasScale: toBias.scales(),
  };
}

export function layerNormBackward(
  x: ArrayLike<number>,
  g: ArrayLike<number>,
  normalizedShape: readonly number[],
  options: ReferenceOptions = {},
): ReferenceGradients {
  return backwardOfSets(x, g, rowSets(x, normalizedShape), options);
}

export function axisNormBackward(
  x: ArrayLike<number>,
  g: ArrayLike<number>,
  shape: readonly number[],
  options: ReferenceOptions,
): ReferenceGradients {
  return backwardOfSets(x, g, axisSets(shape, options.channelAxis), options);
}

/** There is no bias, and dx has no avg(gw). */
export function rmsNormBackward(
  x: ArrayLike<number>,
  g: ArrayLike<number>,
  normalizedShape: readonly number[],
  { eps = RMS_EPS, weight = null }: ReferenceOptions = {},
): WeightGradients {
  const gradients = backwardOfSets(x, g, rowSets(x, normalizedShape), { eps, weight }, false);
  const { gradInput, scale, gradWeight, weightScale } = gradients;
  return { gradInput, scale, gradWeight, weightScale };
}

/** dx = (g - y * sum of g * y) / ||x||; where eps is more than that, g / eps. */
export function unitNormBackward(
  x: ArrayLike<number>,
  g: ArrayLike<number>,
  normalizedShape: readonly number[],
  { eps = 1e-12 }: ReferenceOptions = {},
): Pick<ReferenceGradients, "gradInput" | "scale"> {
  const { y, lengths } = unitNorm(x, normalizedShape, { eps });
  const width = normalizedShape.reduce((a, b) => a * b, 1);
  const sums = new SumsWithScale(lengths.length);
  for (let i = 0; i < y.length; i++) sums.add(Math.floor(i / width), (g[i] as number) * (y[i] as number));
  const [products, scales] = [sums.values(), sums.scales()];
  const gradInput = new Float64Array(y.length);
  const scale = new Float64Array(y.length);
  for (let i = 0; i < y.length; i++) {
    const row = Math.floor(i / width);
    const length = lengths[row] as number;
    const through = length > eps ? (y[i] as number) : 0;
    gradInput[i] = ((g[i] as number) - through * (products[row] as number)) / length;
    scale[i] = (Math.abs(g[i] as number) + Math.abs(through) * (scales[row] as number)) / length;
  }
  return { gradInput, scale };
}

export function groupNormBackward(
  x: ArrayLike<number>,
  g: ArrayLike<number>,
  shape: readonly number[],
  groups: number,
  options: ReferenceOptions = {},
): ReferenceGradients {
  return backwardOfSets(x, g, groupSets(shape, groups, options.channelAxis), options);
}

export function instanceNormBackward(
  x: ArrayLike<number>,
  g: ArrayLike<number>,
  shape: readonly number[],
  options: ReferenceOptions = {},
): ReferenceGradients {
  return backwardOfSets(x, g, instanceSets(shape, options.channelAxis), options);
}

export function batchNormBackward(
  x: ArrayLike<number>,
  g: ArrayLike<number>,
  shape: readonly number[],
  options: ReferenceOptions = {},
): ReferenceGradients {
  return backwardOfSets(x, g, batchSets(shape, options.channelAxis), options);
}

/**
 * dx = g S^-beta - (2 alpha beta / size) x times the sum of g x S^(-beta-1) over the cells whose windows hold this one: the window of
 * the forward pass turned about, which for an even size is another.
 */
export function localResponseNormBackward(
  x: ArrayLike<number>,
  g: ArrayLike<number>,
  shape: readonly number[],
  options: LocalResponseOptions,
): InputGradient {
  const { size, alpha = 1e-4, beta = 0.75, channelAxis = 1 } = options;
  const s = localResponseSums(x, shape, options);
  const window = [Math.floor((size - 1) / 2), Math.floor(size / 2)] as const;
  const term = (i: number) => (g[i] as number) * (x[i] as number) * (s[i] as number) ** (-beta - 1);
  const sums = sumNeighbours(shape, channelAxis, window, term);
  const scales = sumNeighbours(shape, channelAxis, window, (i) => Math.abs(term(i)));
  const factor = (2 * alpha * beta) / size;
  const own = s.map((value, i) => (g[i] as number) * value ** -beta);
  return {
    gradInput: own.map((value, i) => value - factor * (x[i] as number) * (sums[i] as number)),
    scale: own.map((value, i) => Math.abs(value) + Math.abs(factor * (x[i] as number)) * (scales[i] as number)),
  };
}
