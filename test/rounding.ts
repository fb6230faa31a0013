// How finely the floating point types divide the numbers, and how far results are off.

/** Bits of a fraction, the exponent of the smallest number, and that of the one after the largest. */
const FORMATS = {
  float32: [23, -149, 128],
  float64: [52, -1074, 1024],
  float16: [10, -24, 16],
  bfloat16: [7, -133, 128],
} as const;

export type FloatDtype = keyof typeof FORMATS;

/** The distance of neighbouring numbers of the type at a magnitude. */
export function spacing(dtype: FloatDtype, magnitude: number): number {
  const [fraction, smallest] = FORMATS[dtype];
  return 2 ** Math.max(smallest, Math.floor(Math.log2(magnitude)) - fraction);
}

/** Whether the type rounds the value to an infinity, which ends half a step over the largest number. */
export function overflows(dtype: FloatDtype, value: number): boolean {
  const [fraction, , end] = FORMATS[dtype];
  return Math.abs(value) >= (1 - 2 ** -(fraction + 2)) * 2 ** end;
}

/** The number of the type nearest to `value`, of two the one whose last bit is 0. */
export function nearest(dtype: FloatDtype, value: number): number {
  if (overflows(dtype, value)) return Math.sign(value) * Infinity;
  const step = spacing(dtype, Math.abs(value));
  // Both are exact: a step is a power of 2, and of a float64 there are no more than 2^53 steps.
  const steps = value / step;
  const below = Math.floor(steps);
  const over = steps - below;
  const up = over > 0.5 || (over === 0.5 && below % 2 !== 0);
  const rounded = (up ? below + 1 : below) * step;
  return rounded === 0 && (value < 0 || Object.is(value, -0)) ? -0 : rounded;
}

/** The largest error of a tensor; infinite where a cell is NaN that should not be. */
export function worstError(actual: ArrayLike<number>, reference: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < reference.length; i++) {
    const error = Math.abs((actual[i] as number) - (reference[i] as number));
    if (!(error <= worst)) worst = Number.isNaN(error) ? Infinity : error;
  }
  return worst;
}

/** The largest magnitude; 0 of nothing. */
export function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i] as number));
  return most;
}
