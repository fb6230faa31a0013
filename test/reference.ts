// The oracle: every layer in plain float64 TypeScript, straight from the formulas, with nothing of normpool in it.
// Here the forward passes; reference-backward.ts has the gradients.

export interface ReferenceOptions {
  readonly eps?: number;
  readonly weight?: ArrayLike<number> | null;
  readonly bias?: ArrayLike<number> | null;
  /** Mean and variance by channel, instead of the data's own. */
  readonly given?: { readonly mean: ArrayLike<number>; readonly variance: ArrayLike<number> } | null;
  /** For layers with channels: which axis they are, 1 unless told, negative from the end. */
  readonly channelAxis?: number;
}

export interface Reference {
  readonly y: Float64Array;
  /** Mean and biased variance of each set. */
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  readonly cellsPerSet: number;
}

/** How a layer cuts its cells into the sets that share statistics. */
export interface Sets {
  readonly count: number;
  /** How many weights there are, given or not. */
  readonly affines: number;
  /** Which set a cell is in, and which weight and channel it takes. */
  of(index: number): readonly [set: number, affine: number];
}

/**
 * Two passes in float64 with compensated sums (Neumaier): the mean, then squared deviations from it. Without centring the mean is 0 by
 * definition, so that the variance is the mean square.
 */
export function moments(x: ArrayLike<number>, sets: Sets, centred = true): Omit<Reference, "y"> {
  const cellsPerSet = sets.count === 0 ? 0 : x.length / sets.count;
  const sums = new CompensatedSums(sets.count);
  if (centred) for (let i = 0; i < x.length; i++) sums.add(sets.of(i)[0], x[i] as number);
  const mean = sums.values().map((sum) => sum / cellsPerSet);
  const squares = new CompensatedSums(sets.count);
  for (let i = 0; i < x.length; i++) {
    const set = sets.of(i)[0];
    squares.add(set, ((x[i] as number) - (mean[set] as number)) ** 2);
  }
  const variance = squares.values().map((sum) => sum / cellsPerSet);
  return { mean, variance, cellsPerSet };
}

function normalizeSets(
  x: ArrayLike<number>,
  sets: Sets,
  { eps = 1e-5, weight, bias, given }: ReferenceOptions,
  centred = true,
): Reference {
  const { mean, variance, cellsPerSet } = moments(x, sets, centred);
  const y = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const [set, affine] = sets.of(i);
    const m = given ? (given.mean[affine] as number) : (mean[set] as number);
    const v = given ? (given.variance[affine] as number) : (variance[set] as number);
    const z = ((x[i] as number) - m) / Math.sqrt(v + eps);
    y[i] = z * (weight ? (weight[affine] as number) : 1) + (bias ? (bias[affine] as number) : 0);
  }
  return { y, mean, variance, cellsPerSet };
}

export class CompensatedSums {
  readonly #sum: Float64Array;
  readonly #lost: Float64Array;

  constructor(length: number) {
    this.#sum = new Float64Array(length);
    this.#lost = new Float64Array(length);
  }

  add(i: number, value: number): void {
    const before = this.#sum[i] as number;
    const after = before + value;
    const lost = Math.abs(before) >= Math.abs(value) ? before - after + value : value - after + before;
    this.#sum[i] = after;
    this.#lost[i] = (this.#lost[i] as number) + lost;
  }

  values(): Float64Array {
    return this.#sum.map((sum, i) => sum + (this.#lost[i] as number));
  }
}

function cells(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** How many channels there are, and how many cells lie between neighbouring channels of one place. */
function channelsOf(shape: readonly number[], channelAxis = 1): { axis: number; channels: number; stride: number } {
  const axis = channelAxis < 0 ? shape.length + channelAxis : channelAxis;
  const channels = shape[axis];
  if (channels === undefined) throw new RangeError(`shape [${shape}] has no axis ${channelAxis}`);
  return { axis, channels, stride: cells(shape.slice(axis + 1)) };
}

export function rowSets(x: ArrayLike<number>, normalizedShape: readonly number[]): Sets {
  const d = cells(normalizedShape);
  return { count: d === 0 ? 0 : x.length / d, affines: d, of: (i) => [Math.floor(i / d), i % d] };
}

export function groupSets(shape: readonly number[], groups: number, channelAxis?: number): Sets {
  const { axis, channels, stride } = channelsOf(shape, channelAxis);
  if (axis === 0) throw new RangeError(`the channels of [${shape}] cannot be axis 0, which is the batch`);
  const perSample = cells(shape.slice(1));
  const perGroup = channels / groups;
  const of = (i: number) => {
    const channel = Math.floor(i / stride) % channels;
    return [Math.floor(i / perSample) * groups + Math.floor(channel / perGroup), channel] as const;
  };
  return { count: (shape[0] as number) * groups, affines: channels, of };
}

/** A group to each channel. */
export function instanceSets(shape: readonly number[], channelAxis?: number): Sets {
  return groupSets(shape, channelsOf(shape, channelAxis).channels, channelAxis);
}

export function batchSets(shape: readonly number[], channelAxis?: number): Sets {
  const { channels, stride } = channelsOf(shape, channelAxis);
  const of = (i: number) => {
    const channel = Math.floor(i / stride) % channels;
    return [channel, channel] as const;
  };
  return { count: channels, affines: channels, of };
}

/** What lies along the axis is a set. */
export function axisSets(shape: readonly number[], channelAxis?: number): Sets {
  const { channels, stride } = channelsOf(shape, channelAxis);
  const of = (i: number) => {
    const [outer, place] = [Math.floor(i / (channels * stride)), i % stride];
    return [outer * stride + place, Math.floor(i / stride) % channels] as const;
  };
  return { count: cells(shape) / channels, affines: channels, of };
}

export function layerNorm(
  x: ArrayLike<number>,
  normalizedShape: readonly number[],
  options: ReferenceOptions = {},
): Reference {
  return normalizeSets(x, rowSets(x, normalizedShape), options);
}

/** LayerNorm along one axis, `channelAxis`. */
export function axisNorm(x: ArrayLike<number>, shape: readonly number[], options: ReferenceOptions): Reference {
  return normalizeSets(x, axisSets(shape, options.channelAxis), options);
}

/** PyTorch's eps of RMSNorm where none is given: float32's machine epsilon. */
export const RMS_EPS = 2 ** -23;

export function rmsNorm(
  x: ArrayLike<number>,
  normalizedShape: readonly number[],
  { eps = RMS_EPS, weight = null }: ReferenceOptions = {},
): { y: Float64Array; rstd: Float64Array } {
  const { y, variance } = normalizeSets(x, rowSets(x, normalizedShape), { eps, weight }, false);
  return { y, rstd: variance.map((meanSquare) => 1 / Math.sqrt(meanSquare + eps)) };
}

/** Rows to unit length; a length counts as `eps` at least. */
export function unitNorm(
  x: ArrayLike<number>,
  normalizedShape: readonly number[],
  { eps = 1e-12 }: ReferenceOptions = {},
): { y: Float64Array; lengths: Float64Array } {
  const { variance, cellsPerSet } = moments(x, rowSets(x, normalizedShape), false);
  const lengths = variance.map((meanSquare) => Math.max(Math.sqrt(meanSquare * cellsPerSet), eps));
  const y = Float64Array.from(x, (cell, i) => cell / (lengths[Math.floor(i / cellsPerSet)] as number));
  return { y, lengths };
}

export function groupNorm(
  x: ArrayLike<number>,
  shape: readonly number[],
  groups: number,
  options: ReferenceOptions = {},
): Reference {
  return normalizeSets(x, groupSets(shape, groups, options.channelAxis), options);
}

export function instanceNorm(
  x: ArrayLike<number>,
  shape: readonly number[],
  options: ReferenceOptions = {},
): Reference {
  return normalizeSets(x, instanceSets(shape, options.channelAxis), options);
}

export function batchNorm(x: ArrayLike<number>, shape: readonly number[], options: ReferenceOptions = {}): Reference {
  return normalizeSets(x, batchSets(shape, options.channelAxis), options);
}

export interface LocalResponseOptions {
  readonly size: number;
  readonly alpha?: number;
  readonly beta?: number;
  readonly k?: number;
  readonly channelAxis?: number;
}

/** For each cell, the sum of `term` over the cells of the same place from `below` channels under its own to `above` over it. */
export function sumNeighbours(
  shape: readonly number[],
  channelAxis: number,
  [below, above]: readonly [number, number],
  term: (index: number) => number,
): Float64Array {
  const { channels, stride } = channelsOf(shape, channelAxis);
  const length = cells(shape);
  const sums = new CompensatedSums(length);
  for (let i = 0; i < length; i++) {
    const channel = Math.floor(i / stride) % channels;
    const last = Math.min(channels - 1, channel + above);
    for (let c = Math.max(0, channel - below); c <= last; c++) sums.add(i, term(i + (c - channel) * stride));
  }
  return sums.values();
}

/** The S of y = x S^-beta: k plus alpha times the squares' sum over `size`, which divides also where the window is cut short. */
export function localResponseSums(
  x: ArrayLike<number>,
  shape: readonly number[],
  { size, alpha = 1e-4, k = 1, channelAxis = 1 }: LocalResponseOptions,
): Float64Array {
  const window = [Math.floor(size / 2), Math.floor((size - 1) / 2)] as const;
  const squares = sumNeighbours(shape, channelAxis, window, (i) => (x[i] as number) ** 2);
  return squares.map((sum) => k + (alpha / size) * sum);
}

export function localResponseNorm(
  x: ArrayLike<number>,
  shape: readonly number[],
  options: LocalResponseOptions,
): { y: Float64Array } {
  const { beta = 0.75 } = options;
  return { y: localResponseSums(x, shape, options).map((s, i) => (x[i] as number) * s ** -beta) };
}
