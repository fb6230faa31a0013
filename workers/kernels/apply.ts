// Applying statistics to cells. All arithmetic is float64: the one rounding to float32 is the result's, so
// y is within half an ulp of the true result for the mean and deviation used, with any weight and bias.
//
// Each function has the fused form of normalize.ts beside it; both write the same operations, so the same bits.
import {
  bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF64, putPair0, putPair1, putPair2, putPair3, storeCell,
} from "./lanes";

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
export function applyEightLine<A>(x: usize, y: usize, scale: v128, offset: v128): void {
  putPair0<A>(y, appliedLine(pair0<A>(x), scale, offset));
  putPair1<A>(y, appliedLine(pair1<A>(x), scale, offset));
  putPair2<A>(y, appliedLine(pair2<A>(x), scale, offset));
  putPair3<A>(y, appliedLine(pair3<A>(x), scale, offset));
}

/** y = (x - mean) * scale of 8 cells. */
@inline
export function applyEightPlain<A>(x: usize, y: usize, mean: v128, scale: v128): void {
  putPair0<A>(y, appliedPlain(pair0<A>(x), mean, scale));
  putPair1<A>(y, appliedPlain(pair1<A>(x), mean, scale));
  putPair2<A>(y, appliedPlain(pair2<A>(x), mean, scale));
  putPair3<A>(y, appliedPlain(pair3<A>(x), mean, scale));
}

/** y = (x - mean) * rstd * weight[i] + bias[i] of 8 cells. */
@inline
export function applyEightCells<A>(x: usize, y: usize, mean: v128, rstd: v128, weight: usize, bias: usize): void {
  putPair0<A>(y, appliedCells(pair0<A>(x), mean, rstd, v128.load(weight), v128.load(bias)));
  putPair1<A>(y, appliedCells(pair1<A>(x), mean, rstd, v128.load(weight, 16), v128.load(bias, 16)));
  putPair2<A>(y, appliedCells(pair2<A>(x), mean, rstd, v128.load(weight, 32), v128.load(bias, 32)));
  putPair3<A>(y, appliedCells(pair3<A>(x), mean, rstd, v128.load(weight, 48), v128.load(bias, 48)));
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
    for (const stop = x + bytesOf<A>(n & ~7); x < stop; x += step, y += step, weight += 64, bias += 64) {
      applyEightCells<A>(x, y, m, a, weight, bias);
    }
  }
  for (; x < end; x += sizeof<A>(), y += sizeof<A>(), weight += 8, bias += 8) {
    storeCell<A>(y, (loadCell<A>(x) - mean) * rstd * load<f64>(weight) + load<f64>(bias));
  }
}

/**
 * Whether x * scale + (shift - mean * scale) will do for (x - mean) * scale + shift, an operation less: float64 has 29 digits more than the
 * float32 result, of which cells this near to their mean lose 20 at most. NaN fails.
 */
@inline
export function isLine(mean: f64, scale: f64): bool {
  return Math.abs(mean * scale) < 1048576;
}

/**
 * y = (x - mean) * scale + shift over n cells. A shift of 0 is not added, here and in normalize.ts: it would only turn -0 into 0.
 * One read, one write; y may be x. Any n, 4-byte aligned.
 */
export function applyF32Run(x: usize, y: usize, n: usize, mean: f64, scale: f64, shift: f64): void {
  if (shift == 0) applyF32Plain(x, y, n, mean, scale);
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

/** y = (x - mean) * rstd * weight[i] + bias[i] over n cells; weight and bias are float64. One read, one write; y may be x. */
export function applyF32Cells(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: usize, bias: usize): void {
  cellsOf<f32>(x, y, n, mean, rstd, weight, bias);
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
