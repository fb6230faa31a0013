// The loops of the backward pass. With xhat = (x - mean) * rstd and gw = gradOutput * weight, a set's gradient is
//   dx = rstd * (gw - avg(gw) - xhat * avg(gw * xhat)),  dweight = sum of gradOutput * xhat,  dbias = sum of gradOutput
// (as torch's native_layer_norm_backward has it). dx is float64 from the cells on, with one rounding at the end. The sums of many float32
// cells are float32 over short blocks, as in moments.ts: an error of theirs is one of an average, and small beside a cell's own terms.
import { BLOCK, BLOCKS_FROM } from "./constants";
import {
  bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF32, pinF64, putPair0, putPair1, putPair2, putPair3, storeCell, sumLanes, widen,
} from "./lanes";

/** Sums over the cells since `startSums`: of g * w, and of g * w * (x - mean). */
export let gradients: f64 = 0;
export let products: f64 = 0;

export function startSums(): void {
  gradients = 0;
  products = 0;
}

// How a function of a type parameter W weighs cells: not at all, or each by an entry of an array of float64.
type Unweighted = u8;
type Weighted = u16;

@inline
function weighed<W>(g: v128, weight: usize): v128 {
  return sizeof<W>() == sizeof<Weighted>() ? f64x2.mul(g, v128.load(weight)) : g;
}

@inline
function sums<A, W>(x: usize, g: usize, n: usize, mean: f64, weight: usize): void {
  const m = pinF64(mean, 0);
  let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0;
  let p0 = s0, p1 = s0, p2 = s0, p3 = s0;
  const end = x + bytesOf<A>(n), step = sizeof<A>() << 3;
  for (const stop = x + bytesOf<A>(n & ~7); x < stop; x += step, g += step) {
    const a = weighed<W>(pair0<A>(g), weight);
    const b = weighed<W>(pair1<A>(g), weight + 16);
    const c = weighed<W>(pair2<A>(g), weight + 32);
    const d = weighed<W>(pair3<A>(g), weight + 48);
    s0 = f64x2.add(s0, a);
    s1 = f64x2.add(s1, b);
    s2 = f64x2.add(s2, c);
    s3 = f64x2.add(s3, d);
    p0 = f64x2.add(p0, f64x2.mul(a, f64x2.sub(pair0<A>(x), m)));
    p1 = f64x2.add(p1, f64x2.mul(b, f64x2.sub(pair1<A>(x), m)));
    p2 = f64x2.add(p2, f64x2.mul(c, f64x2.sub(pair2<A>(x), m)));
    p3 = f64x2.add(p3, f64x2.mul(d, f64x2.sub(pair3<A>(x), m)));
    if (sizeof<W>() == sizeof<Weighted>()) weight += 64;
  }
  let s = sumLanes(f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3)));
  let p = sumLanes(f64x2.add(f64x2.add(p0, p1), f64x2.add(p2, p3)));
  for (; x < end; x += sizeof<A>(), g += sizeof<A>()) {
    let gw = loadCell<A>(g);
    if (sizeof<W>() == sizeof<Weighted>()) {
      gw *= load<f64>(weight);
      weight += 8;
    }
    s += gw;
    p += gw * (loadCell<A>(x) - mean);
  }
  gradients += s;
  products += p;
}

/** Adds the sums over n cells. Reads x and g. */
export function gradientF32Sums(x: usize, g: usize, n: usize, mean: f64): void {
  sums<f32, Unweighted>(x, g, n, mean, 0);
}

/** Adds the sums over n cells, each with its float64 weight. Reads x and g. */
export function gradientF32WeightedSums(x: usize, g: usize, n: usize, mean: f64, weight: usize): void {
  sums<f32, Weighted>(x, g, n, mean, weight);
}

export function gradientF64Sums(x: usize, g: usize, n: usize, mean: f64): void {
  sums<f64, Unweighted>(x, g, n, mean, 0);
}

export function gradientF64WeightedSums(x: usize, g: usize, n: usize, mean: f64, weight: usize): void {
  sums<f64, Weighted>(x, g, n, mean, weight);
}

/** Sums of the last `gradientF32Blocks`: of g, of g * (x - center), and of the latter's squares. */
let blockGradients: f64 = 0;
let blockProducts: f64 = 0;
let blockSquares: f64 = 0;

/** Sums over the whole blocks of n cells, by blocks in float32. Reads x and g. */
export function gradientF32Blocks(x: usize, g: usize, n: usize, center: f32): void {
  const m = pinF32(center, 0);
  let s = f64x2.splat(0), p = s, q = s;
  for (const end = x + ((n & ~(BLOCK - 1)) << 2); x < end; ) {
    let bs = f32x4.splat(0), bp = bs, bq = bs;
    for (const stop = x + (BLOCK << 2); x < stop; x += 64, g += 64) {
      const a = v128.load(g), b = v128.load(g, 16), c = v128.load(g, 32), d = v128.load(g, 48);
      const e = f32x4.mul(a, f32x4.sub(v128.load(x), m));
      const f = f32x4.mul(b, f32x4.sub(v128.load(x, 16), m));
      const h = f32x4.mul(c, f32x4.sub(v128.load(x, 32), m));
      const i = f32x4.mul(d, f32x4.sub(v128.load(x, 48), m));
      bs = f32x4.add(bs, f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
      bp = f32x4.add(bp, f32x4.add(f32x4.add(e, f), f32x4.add(h, i)));
      bq = f32x4.add(bq, f32x4.add(f32x4.add(f32x4.mul(e, e), f32x4.mul(f, f)), f32x4.add(f32x4.mul(h, h), f32x4.mul(i, i))));
    }
    s = f64x2.add(s, widen(bs));
    p = f64x2.add(p, widen(bp));
    q = f64x2.add(q, widen(bq));
  }
  blockGradients = sumLanes(s);
  blockProducts = sumLanes(p);
  blockSquares = sumLanes(q);
}

/**
 * Adds the sums over n float32 cells by blocks. False, and nothing added, where float32 might have lost digits: a product overflowed or
 * came near its subnormals, or is NaN.
 */
function addBlocks(x: usize, g: usize, n: usize, mean: f64): bool {
  const center = <f32>mean;
  gradientF32Blocks(x, g, n, center);
  const whole = n & ~(BLOCK - 1);
  if (!(blockSquares < 1e37 && blockSquares > <f64>whole * 1e-24 && Math.abs(blockGradients) < 1e37)) return false;
  // What of the mean float32 has no room for is taken off the sum.
  gradients += blockGradients;
  products += blockProducts - (mean - <f64>center) * blockGradients;
  if (whole < n) gradientF32Sums(x + (whole << 2), g + (whole << 2), n - whole, mean);
  return true;
}

/** Adds the sums over n cells; weight is NONE where all are 1. */
@inline
export function addSums<A>(x: usize, g: usize, n: usize, mean: f64, weight: usize): void {
  if (sizeof<A>() == 4 && n >= BLOCKS_FROM && !weight && addBlocks(x, g, n, mean)) return;
  if (sizeof<A>() == 8) {
    if (weight) gradientF64WeightedSums(x, g, n, mean, weight);
    else gradientF64Sums(x, g, n, mean);
  } else if (weight) gradientF32WeightedSums(x, g, n, mean, weight);
  else gradientF32Sums(x, g, n, mean);
}

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
  return Math.abs(mean * rstd) < 65536 && offset - offset == 0;
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
