// The oracle: every layer in plain float64 TypeScript, straight from the formulas, with nothing of normpool in it.

export interface ReferenceOptions {
  readonly eps?: number;
  readonly weight?: ArrayLike<number> | null;
  readonly bias?: ArrayLike<number> | null;
  /** Mean and variance by channel, instead of the data's own. */
  readonly given?: { readonly mean: ArrayLike<number>; readonly variance: ArrayLike<number> } | null;
}

export interface Reference {
  readonly y: Float64Array;
  /** Mean and biased variance of each set. */
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  readonly cellsPerSet: number;
}

/** Which set a cell is in, and which weight and channel it takes. */
type Membership = (index: number) => readonly [set: number, affine: number];

/** Two passes in float64 with compensated sums (Neumaier): the mean, then squared deviations from it. */
function normalizeSets(
  x: ArrayLike<number>,
  sets: number,
  member: Membership,
  { eps = 1e-5, weight, bias, given }: ReferenceOptions,
): Reference {
  const cellsPerSet = sets === 0 ? 0 : x.length / sets;
  const sums = new CompensatedSums(sets);
  for (let i = 0; i < x.length; i++) sums.add(member(i)[0], x[i] as number);
  const mean = sums.values().map((sum) => sum / cellsPerSet);
  const squares = new CompensatedSums(sets);
  for (let i = 0; i < x.length; i++) {
    const set = member(i)[0];
    squares.add(set, ((x[i] as number) - (mean[set] as number)) ** 2);
  }
  const variance = squares.values().map((sum) => sum / cellsPerSet);
  const y = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const [set, affine] = member(i);
    const m = given ? (given.mean[affine] as number) : (mean[set] as number);
    const v = given ? (given.variance[affine] as number) : (variance[set] as number);
    const z = ((x[i] as number) - m) / Math.sqrt(v + eps);
    y[i] = z * (weight ? (weight[affine] as number) : 1) + (bias ? (bias[affine] as number) : 0);
  }
  return { y, mean, variance, cellsPerSet };
}

class CompensatedSums {
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

export function layerNorm(
  x: ArrayLike<number>,
  normalizedShape: readonly number[],
  options: ReferenceOptions = {},
): Reference {
  const d = cells(normalizedShape);
  return normalizeSets(x, x.length / d, (i) => [Math.floor(i / d), i % d], options);
}

/** Mean 0 by definition, so that the variance is the mean square. */
export function rmsNorm(
  x: ArrayLike<number>,
  normalizedShape: readonly number[],
  { eps = 2 ** -23, weight = null }: ReferenceOptions = {},
): { y: Float64Array } {
  const d = cells(normalizedShape);
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += d) {
    const squares = new CompensatedSums(1);
    for (let i = row; i < row + d; i++) squares.add(0, (x[i] as number) ** 2);
    const scale = 1 / Math.sqrt((squares.values()[0] as number) / d + eps);
    for (let i = row; i < row + d; i++) y[i] = (x[i] as number) * scale * (weight ? (weight[i - row] as number) : 1);
  }
  return { y };
}

export function groupNorm(
  x: ArrayLike<number>,
  shape: readonly number[],
  groups: number,
  options: ReferenceOptions = {},
): Reference {
  const [n, c, ...space] = shape as [number, number, ...number[]];
  const s = cells(space);
  const perGroup = (c / groups) * s;
  return normalizeSets(x, n * groups, (i) => [Math.floor(i / perGroup), Math.floor(i / s) % c], options);
}

export function instanceNorm(
  x: ArrayLike<number>,
  shape: readonly number[],
  options: ReferenceOptions = {},
): Reference {
  const [n, c, ...space] = shape as [number, number, ...number[]];
  const s = cells(space);
  return normalizeSets(x, n * c, (i) => [Math.floor(i / s), Math.floor(i / s) % c], options);
}

export function batchNorm(x: ArrayLike<number>, shape: readonly number[], options: ReferenceOptions = {}): Reference {
  const [, c, ...space] = shape as [number, number, ...number[]];
  const s = cells(space);
  return normalizeSets(x, c, (i) => [Math.floor(i / s) % c, Math.floor(i / s) % c], options);
}
