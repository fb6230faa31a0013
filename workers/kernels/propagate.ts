// The gradients of the input, cell by cell, and beside them those of weights and biases that each cell has its own of. gradient.ts has the
// formulas and the sums. Float64 from the cells on, with one rounding at the end.
import { NEAR } from "./constants";
import { Unweighted, Weighted, weighed } from "./gradient";
import { bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF64, putPair0, putPair1, putPair2, putPair3, storeCell } from "./lanes";

@inline
function propagated(x: v128, g: v128, mean: v128, a: v128, b: v128, c: v128): v128 {
  return f64x2.add(f64x2.add(f64x2.mul(g, a), f64x2.mul(f64x2.sub(x, mean), b)), c);
}

/** `propagated` with (x - mean) * b + c as x * b + offset. */
@inline
function propagatedLine(x: v128, g: v128, a: v128, b: v128, offset: v128): v128 {
  return f64x2.add(f64x2.add(f64x2.mul(g, a), f64x2.mul(x, b)), offset);
}

@inline
function run<A>(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64): void {
  const end = x + bytesOf<A>(n), step = sizeof<A>() << 3;
  if (n >= 8) {
    const m = pinF64(mean, 0), va = pinF64(a, 1), vb = pinF64(b, 2), vc = pinF64(c, 3);
    for (const stop = x + bytesOf<A>(n & ~7); x < stop; x += step, g += step, y += step) {
      putPair0<A>(y, propagated(pair0<A>(x), pair0<A>(g), m, va, vb, vc));
      putPair1<A>(y, propagated(pair1<A>(x), pair1<A>(g), m, va, vb, vc));
      putPair2<A>(y, propagated(pair2<A>(x), pair2<A>(g), m, va, vb, vc));
      putPair3<A>(y, propagated(pair3<A>(x), pair3<A>(g), m, va, vb, vc));
    }
  }
  for (; x < end; x += sizeof<A>(), g += sizeof<A>(), y += sizeof<A>()) {
    storeCell<A>(y, loadCell<A>(g) * a + (loadCell<A>(x) - mean) * b + c);
  }
}

/** y = g * a + (x - mean) * b + c over n cells. Two reads, one write; y may be x or g. */
export function propagateF32Run(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64): void {
  if (mean == 0) propagateF32Line(x, g, y, n, a, b, c);
  else run<f32>(x, g, y, n, mean, a, b, c);
}

/**
 * Whether x * b + offset, where that is c - mean * b, will do for (x - mean) * b + c, an operation less: of the 29 digits that float64 has more than
 * the float32 result, cells this near to their mean lose 16 at most. Infinities must stay what they are.
 */
@inline
export function isNear(mean: f64, rstd: f64, offset: f64): bool {
  return Math.abs(mean * rstd) < NEAR && offset - offset == 0;
}

/** y = g * a + x * b + offset over n cells. As propagateF32Run. */
export function propagateF32Line(x: usize, g: usize, y: usize, n: usize, a: f64, b: f64, offset: f64): void {
  const end = x + (n << 2);
  if (n >= 8) {
    const va = pinF64(a, 0), vb = pinF64(b, 1), vc = pinF64(offset, 2);
    for (const stop = x + ((n & ~7) << 2); x < stop; x += 32, g += 32, y += 32) {
      putPair0<f32>(y, propagatedLine(pair0<f32>(x), pair0<f32>(g), va, vb, vc));
      putPair1<f32>(y, propagatedLine(pair1<f32>(x), pair1<f32>(g), va, vb, vc));
      putPair2<f32>(y, propagatedLine(pair2<f32>(x), pair2<f32>(g), va, vb, vc));
      putPair3<f32>(y, propagatedLine(pair3<f32>(x), pair3<f32>(g), va, vb, vc));
    }
  }
  for (; x < end; x += 4, g += 4, y += 4) storeCell<f32>(y, loadCell<f32>(g) * a + loadCell<f32>(x) * b + offset);
}

export function propagateF64Run(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64): void {
  run<f64>(x, g, y, n, mean, a, b, c);
}

@inline
export function propagateRun<A>(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64): void {
  if (sizeof<A>() == 8) propagateF64Run(x, g, y, n, mean, a, b, c);
  else propagateF32Run(x, g, y, n, mean, a, b, c);
}

@inline
function weightedCells<A>(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64, weight: usize): void {
  const m = pinF64(mean, 0), va = pinF64(a, 1), vb = pinF64(b, 2), vc = pinF64(c, 3);
  const end = x + bytesOf<A>(n), step = sizeof<A>() << 2;
  for (const stop = x + bytesOf<A>(n & ~3); x < stop; x += step, g += step, y += step, weight += 32) {
    putPair0<A>(y, propagated(pair0<A>(x), f64x2.mul(pair0<A>(g), v128.load(weight)), m, va, vb, vc));
    putPair1<A>(y, propagated(pair1<A>(x), f64x2.mul(pair1<A>(g), v128.load(weight, 16)), m, va, vb, vc));
  }
  for (; x < end; x += sizeof<A>(), g += sizeof<A>(), y += sizeof<A>(), weight += 8) {
    storeCell<A>(y, loadCell<A>(g) * load<f64>(weight) * a + (loadCell<A>(x) - mean) * b + c);
  }
}

/** y = g * weight[i] * a + (x - mean) * b + c over n cells. Two reads, one write; y may be x or g. */
export function propagateF32Cells(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64, weight: usize): void {
  weightedCells<f32>(x, g, y, n, mean, a, b, c, weight);
}

/** As propagateF32Cells, where weight is NONE if all are 1. */
@inline
export function propagateCells<A>(
  x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64, weight: usize,
): void {
  if (!weight) propagateRun<A>(x, g, y, n, mean, a, b, c);
  else if (sizeof<A>() == 8) weightedCells<f64>(x, g, y, n, mean, a, b, c, weight);
  else propagateF32Cells(x, g, y, n, mean, a, b, c, weight);
}

/** Adds g * xhat and g to the float64 entries of two cells. */
@inline
function sink(g: v128, xhat: v128, weights: usize, biases: usize): void {
  v128.store(weights, f64x2.add(v128.load(weights), f64x2.mul(g, xhat)));
  v128.store(biases, f64x2.add(v128.load(biases), g));
}

@inline
function sinking<A, W>(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, b: f64, c: f64, weight: usize, weights: usize, biases: usize,
): void {
  const m = pinF64(mean, 0), r = pinF64(rstd, 1), vb = pinF64(b, 2), vc = pinF64(c, 3);
  const end = x + bytesOf<A>(n), step = sizeof<A>() << 2;
  for (const stop = x + bytesOf<A>(n & ~3); x < stop; x += step, g += step, y += step, weights += 32, biases += 32) {
    const g0 = pair0<A>(g), g1 = pair1<A>(g);
    const h0 = f64x2.mul(f64x2.sub(pair0<A>(x), m), r), h1 = f64x2.mul(f64x2.sub(pair1<A>(x), m), r);
    putPair0<A>(y, f64x2.add(f64x2.add(f64x2.mul(weighed<W>(g0, weight), r), f64x2.mul(h0, vb)), vc));
    putPair1<A>(y, f64x2.add(f64x2.add(f64x2.mul(weighed<W>(g1, weight + 16), r), f64x2.mul(h1, vb)), vc));
    if (sizeof<W>() == sizeof<Weighted>()) weight += 32;
    sink(g0, h0, weights, biases);
    sink(g1, h1, weights + 16, biases + 16);
  }
  for (; x < end; x += sizeof<A>(), g += sizeof<A>(), y += sizeof<A>(), weights += 8, biases += 8) {
    const gradient = loadCell<A>(g), xhat = (loadCell<A>(x) - mean) * rstd;
    let gw = gradient;
    if (sizeof<W>() == sizeof<Weighted>()) {
      gw *= load<f64>(weight);
      weight += 8;
    }
    storeCell<A>(y, gw * rstd + xhat * b + c);
    store<f64>(weights, load<f64>(weights) + gradient * xhat);
    store<f64>(biases, load<f64>(biases) + gradient);
  }
}

export function propagateF32Sinking(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, b: f64, c: f64, weights: usize, biases: usize,
): void {
  sinking<f32, Unweighted>(x, g, y, n, mean, rstd, b, c, 0, weights, biases);
}

export function propagateF32WeightedSinking(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, b: f64, c: f64, weight: usize, weights: usize, biases: usize,
): void {
  sinking<f32, Weighted>(x, g, y, n, mean, rstd, b, c, weight, weights, biases);
}

/**
 * y = g * weight[i] * rstd + xhat * b + c over n cells, xhat = (x - mean) * rstd, and g * xhat and g are added to float64 entries, the
 * gradients of the cells' weights and biases. weight is NONE where all are 1. Two reads, one write; y may be x or g.
 */
@inline
export function propagateSinking<A>(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, b: f64, c: f64, weight: usize, weights: usize, biases: usize,
): void {
  if (sizeof<A>() == 8) {
    if (weight) sinking<f64, Weighted>(x, g, y, n, mean, rstd, b, c, weight, weights, biases);
    else sinking<f64, Unweighted>(x, g, y, n, mean, rstd, b, c, 0, weights, biases);
  } else if (weight) propagateF32WeightedSinking(x, g, y, n, mean, rstd, b, c, weight, weights, biases);
  else propagateF32Sinking(x, g, y, n, mean, rstd, b, c, weights, biases);
}

/** The gradients of n cells' weights and biases, added to float64 entries. Reads x and g. */
@inline
export function accumulateCells<A>(x: usize, g: usize, n: usize, mean: f64, rstd: f64, weights: usize, biases: usize): void {
  const m = pinF64(mean, 0), r = pinF64(rstd, 1);
  const end = x + bytesOf<A>(n), step = sizeof<A>() << 1;
  for (const stop = x + bytesOf<A>(n & ~1); x < stop; x += step, g += step, weights += 16, biases += 16) {
    sink(pair0<A>(g), f64x2.mul(f64x2.sub(pair0<A>(x), m), r), weights, biases);
  }
  if (x < end) {
    const gradient = loadCell<A>(g);
    store<f64>(weights, load<f64>(weights) + gradient * ((loadCell<A>(x) - mean) * rstd));
    store<f64>(biases, load<f64>(biases) + gradient);
  }
}
