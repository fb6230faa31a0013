// The sums of the backward pass; propagate.ts has the loops that need them. With xhat = (x - mean) * rstd and gw = gradOutput * weight, a set's gradient is
//   dx = rstd * (gw - avg(gw) - xhat * avg(gw * xhat)),  dweight = sum of gradOutput * xhat,  dbias = sum of gradOutput
// (as torch's native_layer_norm_backward has it). dx is float64 from the cells on, with one rounding at the end. The sums of many float32
// cells are float32 over short blocks, as in moments.ts: an error of theirs is one of an average, and small beside a cell's own terms.
import { BLOCK, BLOCKS_FROM } from "./constants";
import { bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF32, pinF64, sumLanes, widen } from "./lanes";

/** Sums over the cells since `startSums`: of g * w, and of g * w * (x - mean). */
export let gradients: f64 = 0;
export let products: f64 = 0;

export function startSums(): void {
  gradients = 0;
  products = 0;
}

// How a function of a type parameter W weighs cells: not at all, or each by an entry of an array of float64.
export type Unweighted = u8;
export type Weighted = u16;

@inline
export function weighed<W>(g: v128, weight: usize): v128 {
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
