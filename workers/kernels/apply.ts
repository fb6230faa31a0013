// Applying statistics to cells. float32 cells whose mean is 0, or was folded into the shift, are computed on in float32 (takeSingle): y is within
// 1.6 ulp of the true result for the mean and deviation used. All others are in float64: the one rounding to float32 is the result's, so
// y is within half an ulp; where each cell has a weight, that of xhat. A difference from a mean in float32 would be rounded in the scale of
// the deviation.
import { CENTRED } from "./constants";
import {
  bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF32, pinF64, putPair0, putPair1, putPair2, putPair3, storeCell,
} from "./lanes";
import { isBounded, isModerate } from "./statistics";

@inline
export function applied(cells: v128, mean: v128, scale: v128, shift: v128): v128 {
  return f64x2.add(f64x2.mul(f64x2.sub(cells, mean), scale), shift);
}

@inline
function appliedLine(cells: v128, scale: v128, offset: v128): v128 {
  return f64x2.add(f64x2.mul(cells, scale), offset);
}

@inline
function appliedPlain(cells: v128, mean: v128, scale: v128): v128 {
  return f64x2.mul(f64x2.sub(cells, mean), scale);
}

@inline
function appliedCells(cells: v128, mean: v128, rstd: v128, weight: v128, bias: v128): v128 {
  return f64x2.add(f64x2.mul(f64x2.mul(f64x2.sub(cells, mean), rstd), weight), bias);
}

/** y = (x - mean) * scale + shift of 8 cells. */
@inline
export function applyEight<A>(x: usize, y: usize, mean: v128, scale: v128, shift: v128): void {
  putPair0<A>(y, applied(pair0<A>(x), mean, scale, shift));
  putPair1<A>(y, applied(pair1<A>(x), mean, scale, shift));
  putPair2<A>(y, applied(pair2<A>(x), mean, scale, shift));
  putPair3<A>(y, applied(pair3<A>(x), mean, scale, shift));
}

/** y = x * scale + offset of 8 cells. */
@inline
function applyEightLine<A>(x: usize, y: usize, scale: v128, offset: v128): void {
  putPair0<A>(y, appliedLine(pair0<A>(x), scale, offset));
  putPair1<A>(y, appliedLine(pair1<A>(x), scale, offset));
  putPair2<A>(y, appliedLine(pair2<A>(x), scale, offset));
  putPair3<A>(y, appliedLine(pair3<A>(x), scale, offset));
}

/** y = (x - mean) * scale of 8 cells. */
@inline
function applyEightPlain<A>(x: usize, y: usize, mean: v128, scale: v128): void {
  putPair0<A>(y, appliedPlain(pair0<A>(x), mean, scale));
  putPair1<A>(y, appliedPlain(pair1<A>(x), mean, scale));
  putPair2<A>(y, appliedPlain(pair2<A>(x), mean, scale));
  putPair3<A>(y, appliedPlain(pair3<A>(x), mean, scale));
}

/**
 * y = (x - mean) * rstd * weight + bias of four float32 cells: their xhat is float64's, rounded, and the rest float32. A weight each as float64 would
 * have to be converted first.
 */
@inline
function weighedFour(x: usize, y: usize, mean: v128, rstd: v128, weight: usize, bias: usize): void {
  const first = f32x4.demote_f64x2_zero(appliedPlain(pair0<f32>(x), mean, rstd));
  const second = f32x4.demote_f64x2_zero(appliedPlain(pair1<f32>(x), mean, rstd));
  const xhat = v128.shuffle<f64>(first, second, 0, 2);
  v128.store(y, f32x4.add(f32x4.mul(xhat, v128.load(weight)), v128.load(bias)));
}

/** y = (x - mean) * rstd * weight[i] + bias[i] of 8 cells. */
@inline
function applyEightCells<A>(x: usize, y: usize, mean: v128, rstd: v128, weight: usize, bias: usize): void {
  if (sizeof<A>() == 4) {
    weighedFour(x, y, mean, rstd, weight, bias);
    weighedFour(x + 16, y + 16, mean, rstd, weight + 16, bias + 16);
    return;
  }
  putPair0<A>(y, appliedCells(pair0<A>(x), mean, rstd, pair0<A>(weight), pair0<A>(bias)));
  putPair1<A>(y, appliedCells(pair1<A>(x), mean, rstd, pair1<A>(weight), pair1<A>(bias)));
  putPair2<A>(y, appliedCells(pair2<A>(x), mean, rstd, pair2<A>(weight), pair2<A>(bias)));
  putPair3<A>(y, appliedCells(pair3<A>(x), mean, rstd, pair3<A>(weight), pair3<A>(bias)));
}

@inline
function runOf<A>(x: usize, y: usize, n: usize, mean: f64, scale: f64, shift: f64): void {
  const end = x + bytesOf<A>(n);
  if (n >= 8) {
    const m = pinF64(mean, 0), a = pinF64(scale, 1), b = pinF64(shift, 2);
    const step = sizeof<A>() << 3;
    for (const stop = x + bytesOf<A>(n & ~7); x < stop; x += step, y += step) applyEight<A>(x, y, m, a, b);
  }
  for (; x < end; x += sizeof<A>(), y += sizeof<A>()) storeCell<A>(y, (loadCell<A>(x) - mean) * scale + shift);
}

@inline
function plainOf<A>(x: usize, y: usize, n: usize, mean: f64, scale: f64): void {
  const end = x + bytesOf<A>(n);
  if (n >= 8) {
    const m = pinF64(mean, 0), a = pinF64(scale, 1);
    const step = sizeof<A>() << 3;
    for (const stop = x + bytesOf<A>(n & ~7); x < stop; x += step, y += step) applyEightPlain<A>(x, y, m, a);
  }
  for (; x < end; x += sizeof<A>(), y += sizeof<A>()) storeCell<A>(y, (loadCell<A>(x) - mean) * scale);
}

@inline
function cellsOf<A>(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: usize, bias: usize): void {
  const end = x + bytesOf<A>(n);
  if (n >= 8) {
    const m = pinF64(mean, 0), a = pinF64(rstd, 1);
    const step = sizeof<A>() << 3;
    for (const stop = x + bytesOf<A>(n & ~7); x < stop; x += step, y += step, weight += step, bias += step) {
      applyEightCells<A>(x, y, m, a, weight, bias);
    }
  }
  for (; x < end; x += sizeof<A>(), y += sizeof<A>(), weight += sizeof<A>(), bias += sizeof<A>()) {
    const xhat = (loadCell<A>(x) - mean) * rstd;
    if (sizeof<A>() == 4) store<f32>(y, <f32>xhat * load<f32>(weight) + load<f32>(bias));
    else storeCell<A>(y, xhat * loadCell<A>(weight) + loadCell<A>(bias));
  }
}

/**
 * Whether x * scale + (shift - mean * scale) will do for (x - mean) * scale + shift, an operation less: float64 has 29 digits more than the
 * float32 result, of which cells this near to their mean lose 20 at most. NaN fails.
 */
@inline
function isLine(mean: f64, scale: f64): bool {
  return Math.abs(mean * scale) < 1048576;
}

/** The line that takeSingle took last: y = x * high + (x * low + offset). */
let high: f32 = 0;
let low: f32 = 0;
let offset: f32 = 0;

/**
 * Takes x * scale + shift as a line of float32 numbers. False where they do not hold it: then float64 is to compute it.
 *
 * `high` is the power of two below the scale, so that the product with it is exact; `low` is the rest, less than half of the scale. So what is rounded
 * is half as large as the result, but for the result itself. `low` has the sign of the scale and is never 0, so that an infinite cell is the same
 * Infinity twice. An offset of 0 is -0, which leaves a y of -0 alone.
 */
function takeSingle(scale: f64, shift: f64): bool {
  // As what has to hold: NaN fails.
  const holds = isModerate(scale) && isBounded(shift);
  if (!holds) return false;
  // The sign and the exponent.
  high = <f32>reinterpret<f64>(reinterpret<u64>(scale) & 0xfff0000000000000);
  low = <f32>(scale - <f64>high);
  if (low == 0) {
    high /= 2;
    low = high;
  }
  offset = shift == 0 ? <f32>-0.0 : <f32>shift;
  return true;
}

/** Four cells on the line. */
@inline
function single(cells: v128, high: v128, low: v128, offset: v128): v128 {
  return f32x4.add(f32x4.mul(cells, high), f32x4.add(f32x4.mul(cells, low), offset));
}

/** n cells on the line that takeSingle took. One read, one write; y may be x. Any n, 4-byte aligned. */
export function applyF32Single(x: usize, y: usize, n: usize): void {
  const end = x + (n << 2);
  if (n >= 8) {
    const a = pinF32(high, 0), r = pinF32(low, 1), b = pinF32(offset, 2);
    for (const stop = x + ((n & ~7) << 2); x < stop; x += 32, y += 32) {
      v128.store(y, single(v128.load(x), a, r, b));
      v128.store(y, single(v128.load(x, 16), a, r, b), 16);
    }
  }
  for (; x < end; x += 4, y += 4) {
    const cell = load<f32>(x);
    store<f32>(y, cell * high + (cell * low + offset));
  }
}

/** Whether a mean is so near to 0 that it is folded into the shift. NaN fails. */
@inline
function isCentred(mean: f64, rstd: f64): bool {
  return Math.abs(mean * rstd) <= CENTRED;
}

/** y = (x - mean) * rstd * weight + bias over n cells of a set. As applyF32Run. */
export function applyF32Weighted(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: f64, bias: f64): void {
  const scale = rstd * weight;
  if (isCentred(mean, rstd)) applyF32Run(x, y, n, 0, scale, bias - mean * scale);
  else applyF32Run(x, y, n, mean, scale, bias);
}

/**
 * y = (x - mean) * scale + shift over n cells. A shift of 0 is not added, here and in normalize.ts: it would only turn -0 into 0.
 * One read, one write; y may be x. Any n, 4-byte aligned.
 */
export function applyF32Run(x: usize, y: usize, n: usize, mean: f64, scale: f64, shift: f64): void {
  if (mean == 0 && takeSingle(scale, shift)) applyF32Single(x, y, n);
  else if (shift == 0) applyF32Plain(x, y, n, mean, scale);
  else if (isLine(mean, scale)) applyF32Line(x, y, n, scale, shift - mean * scale);
  else runOf<f32>(x, y, n, mean, scale, shift);
}

/** y = x * scale + offset over n cells. As applyF32Run. */
export function applyF32Line(x: usize, y: usize, n: usize, scale: f64, offset: f64): void {
  const end = x + (n << 2);
  if (n >= 8) {
    const a = pinF64(scale, 0), b = pinF64(offset, 1);
    for (const stop = x + ((n & ~7) << 2); x < stop; x += 32, y += 32) applyEightLine<f32>(x, y, a, b);
  }
  for (; x < end; x += 4, y += 4) storeCell<f32>(y, loadCell<f32>(x) * scale + offset);
}

/** y = (x - mean) * scale over n cells. As applyF32Run. */
export function applyF32Plain(x: usize, y: usize, n: usize, mean: f64, scale: f64): void {
  plainOf<f32>(x, y, n, mean, scale);
}

/** Four cells on the line, times weights, plus biases. */
@inline
function singleCells(cells: v128, high: v128, low: v128, offset: v128, weight: v128, bias: v128): v128 {
  return f32x4.add(f32x4.mul(single(cells, high, low, offset), weight), bias);
}

/** n cells on the line that takeSingle took, each times a weight plus a bias. One read, one write; y may be x. Any n, 4-byte aligned. */
export function applyF32SingleCells(x: usize, y: usize, n: usize, weight: usize, bias: usize): void {
  const end = x + (n << 2);
  if (n >= 8) {
    const a = pinF32(high, 0), r = pinF32(low, 1), b = pinF32(offset, 2);
    for (const stop = x + ((n & ~7) << 2); x < stop; x += 32, y += 32, weight += 32, bias += 32) {
      v128.store(y, singleCells(v128.load(x), a, r, b, v128.load(weight), v128.load(bias)));
      v128.store(y, singleCells(v128.load(x, 16), a, r, b, v128.load(weight, 16), v128.load(bias, 16)), 16);
    }
  }
  for (; x < end; x += 4, y += 4, weight += 4, bias += 4) {
    const cell = load<f32>(x);
    store<f32>(y, (cell * high + (cell * low + offset)) * load<f32>(weight) + load<f32>(bias));
  }
}

/** takeSingle of (x - mean) * rstd, where the mean is near 0. */
@inline
function takeCentred(mean: f64, rstd: f64): bool {
  return isCentred(mean, rstd) && takeSingle(rstd, -mean * rstd);
}

/** y = (x - mean) * rstd * weight[i] + bias[i] over n cells; weight and bias are of the cells' type. One read, one write; y may be x. */
export function applyF32Cells(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: usize, bias: usize): void {
  if (takeCentred(mean, rstd)) applyF32SingleCells(x, y, n, weight, bias);
  else cellsOf<f32>(x, y, n, mean, rstd, weight, bias);
}

/** As applyF32Run, of float64 cells. */
export function applyF64Run(x: usize, y: usize, n: usize, mean: f64, scale: f64, shift: f64): void {
  if (shift == 0) plainOf<f64>(x, y, n, mean, scale);
  else runOf<f64>(x, y, n, mean, scale, shift);
}

/** As applyF32Cells, of float64 cells. */
export function applyF64Cells(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: usize, bias: usize): void {
  cellsOf<f64>(x, y, n, mean, rstd, weight, bias);
}

@inline
export function applyRun<A>(x: usize, y: usize, n: usize, mean: f64, scale: f64, shift: f64): void {
  if (sizeof<A>() == 8) applyF64Run(x, y, n, mean, scale, shift);
  else applyF32Run(x, y, n, mean, scale, shift);
}

@inline
export function applyCells<A>(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: usize, bias: usize): void {
  if (sizeof<A>() == 8) applyF64Cells(x, y, n, mean, rstd, weight, bias);
  else applyF32Cells(x, y, n, mean, rstd, weight, bias);
}
