// The sums of the backward pass; propagate.ts has the loops that need them. With xhat = (x - mean) * rstd and gw = gradOutput * weight, a set's gradient is
//   dx = rstd * (gw - avg(gw) - xhat * avg(gw * xhat)),  dweight = sum of gradOutput * xhat,  dbias = sum of gradOutput
// (as torch's native_layer_norm_backward has it). The sums are float64. Those of many float32 cells are float32 over short blocks, as in
// segment-moments.ts, where no few terms are most of them.
import { BLOCK, BLOCKS_FROM } from "./constants";
import { bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF32, pinF64, pinU32, sumLanes, widen } from "./lanes";
import { isSpread, sumOfFour } from "./segment-moments";

/** Sums over the cells since `startSums`: of g * w, and of g * w * (x - mean). */
export let gradients: f64 = 0;
export let products: f64 = 0;

/** Of float32 cells: the terms' absolute values, of g * w * (x - mean). */
export let sizes: f64 = 0;
/** Whether those sums are float32's, in which no few terms are most. */
export let areSpread: bool = true;
/**
 * Of float32 cells with weights: some sum of |g * w| * max(1, |xhat|) that is no larger than that of all, and no smaller than a |g * w| that may be too
 * large for float32.
 */
let magnitude: f64 = 0;

export function startSums(): void {
  gradients = 0;
  products = 0;
  sizes = 0;
  areSpread = true;
  magnitude = 0;
}

/** Goes on with the sums of other cells. */
export function resumeSums(newGradients: f64, newProducts: f64): void {
  gradients = newGradients;
  products = newProducts;
}

/** Whether float32 holds g * w of the n cells with weights that were summed, but of those that do not count beside the others. */
@inline
export function isHeld(n: f64): bool {
  return magnitude < 1e37 && magnitude > n * 1e-30;
}

// How a function of a type parameter W weighs cells: not at all, or each by an entry of an array of the cells' type.
export type Unweighted = u8;
export type Weighted = u16;

@inline
export function isWeighted<W>(): bool {
  return sizeof<W>() == sizeof<Weighted>();
}

@inline
function absolutes(a: v128, b: v128, c: v128, d: v128): v128 {
  return f64x2.add(f64x2.add(f64x2.abs(a), f64x2.abs(b)), f64x2.add(f64x2.abs(c), f64x2.abs(d)));
}

@inline
function sums<A, W>(x: usize, g: usize, n: usize, mean: f64, weight: usize): void {
  const m = pinF64(mean, 0);
  let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0;
  let p0 = s0, p1 = s0, p2 = s0, p3 = s0, t = s0, w = s0;
  const end = x + bytesOf<A>(n), step = sizeof<A>() << 3;
  for (const stop = x + bytesOf<A>(n & ~7); x < stop; x += step, g += step) {
    let a = pair0<A>(g), b = pair1<A>(g), c = pair2<A>(g), d = pair3<A>(g);
    if (isWeighted<W>()) {
      a = f64x2.mul(a, pair0<A>(weight));
      b = f64x2.mul(b, pair1<A>(weight));
      c = f64x2.mul(c, pair2<A>(weight));
      d = f64x2.mul(d, pair3<A>(weight));
      weight += step;
      if (sizeof<A>() == 4) w = f64x2.add(w, absolutes(a, b, c, d));
    }
    s0 = f64x2.add(s0, a);
    s1 = f64x2.add(s1, b);
    s2 = f64x2.add(s2, c);
    s3 = f64x2.add(s3, d);
    a = f64x2.mul(a, f64x2.sub(pair0<A>(x), m));
    b = f64x2.mul(b, f64x2.sub(pair1<A>(x), m));
    c = f64x2.mul(c, f64x2.sub(pair2<A>(x), m));
    d = f64x2.mul(d, f64x2.sub(pair3<A>(x), m));
    p0 = f64x2.add(p0, a);
    p1 = f64x2.add(p1, b);
    p2 = f64x2.add(p2, c);
    p3 = f64x2.add(p3, d);
    if (sizeof<A>() == 4) t = f64x2.add(t, absolutes(a, b, c, d));
  }
  let s = sumLanes(f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3)));
  let p = sumLanes(f64x2.add(f64x2.add(p0, p1), f64x2.add(p2, p3)));
  let terms = sumLanes(t), weighed = sumLanes(w);
  for (; x < end; x += sizeof<A>(), g += sizeof<A>()) {
    let gw = loadCell<A>(g);
    if (isWeighted<W>()) {
      gw *= loadCell<A>(weight);
      weight += sizeof<A>();
      weighed += Math.abs(gw);
    }
    s += gw;
    const term = gw * (loadCell<A>(x) - mean);
    p += term;
    terms += Math.abs(term);
  }
  gradients += s;
  products += p;
  sizes += terms;
  magnitude += weighed;
}

/** Adds the sums over n cells. Reads x and g. */
export function gradientF32Sums(x: usize, g: usize, n: usize, mean: f64): void {
  sums<f32, Unweighted>(x, g, n, mean, 0);
}

/** Adds the sums over n cells, each with its float32 weight. Reads x and g. */
export function gradientF32WeightedSums(x: usize, g: usize, n: usize, mean: f64, weight: usize): void {
  sums<f32, Weighted>(x, g, n, mean, weight);
}

export function gradientF64Sums(x: usize, g: usize, n: usize, mean: f64): void {
  sums<f64, Unweighted>(x, g, n, mean, 0);
}

export function gradientF64WeightedSums(x: usize, g: usize, n: usize, mean: f64, weight: usize): void {
  sums<f64, Weighted>(x, g, n, mean, weight);
}

/** Sums of the last blocks: of g * w, of the terms g * w * (x - center), of their absolute values, and of the squares of what the latter is the sum of. */
let blockGradients: f64 = 0;
let blockProducts: f64 = 0;
let blockSizes: f64 = 0;
let blockSquares: f64 = 0;

@inline
function blocks<W>(x: usize, g: usize, n: usize, center: f32, weight: usize): void {
  const m = pinF32(center, 0), unsigned = pinU32(0x7fffffff, 1);
  let s = f64x2.splat(0), p = s, t = s, tt = s;
  // Distances from x: one counter.
  g -= x;
  if (isWeighted<W>()) weight -= x;
  for (const end = x + ((n & ~(BLOCK - 1)) << 2); x < end; ) {
    let bs = f32x4.splat(0), bp = bs, bt = bs;
    for (const stop = x + (BLOCK << 2); x < stop; x += 64) {
      const at = x + g;
      let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48);
      // Without weights nothing is loaded there: it would be address 0, where threads write their constants.
      if (isWeighted<W>()) {
        const by = x + weight;
        a = f32x4.mul(a, v128.load(by));
        b = f32x4.mul(b, v128.load(by, 16));
        c = f32x4.mul(c, v128.load(by, 32));
        d = f32x4.mul(d, v128.load(by, 48));
      }
      const e = f32x4.mul(a, f32x4.sub(v128.load(x), m));
      const f = f32x4.mul(b, f32x4.sub(v128.load(x, 16), m));
      const h = f32x4.mul(c, f32x4.sub(v128.load(x, 32), m));
      const i = f32x4.mul(d, f32x4.sub(v128.load(x, 48), m));
      bs = f32x4.add(bs, sumOfFour(a, b, c, d));
      bp = f32x4.add(bp, sumOfFour(e, f, h, i));
      bt = f32x4.add(bt, sumOfFour(v128.and(e, unsigned), v128.and(f, unsigned), v128.and(h, unsigned), v128.and(i, unsigned)));
    }
    s = f64x2.add(s, widen(bs));
    p = f64x2.add(p, widen(bp));
    const wide = widen(bt);
    t = f64x2.add(t, wide);
    tt = f64x2.add(tt, f64x2.mul(wide, wide));
  }
  blockGradients = sumLanes(s);
  blockProducts = sumLanes(p);
  blockSizes = sumLanes(t);
  blockSquares = sumLanes(tt);
}

/** Sums over the whole blocks of n cells, by blocks in float32. Reads x and g. */
export function gradientF32Blocks(x: usize, g: usize, n: usize, center: f32): void {
  blocks<Unweighted>(x, g, n, center, 0);
}

/** As gradientF32Blocks, each cell with its float32 weight. */
export function gradientF32WeightedBlocks(x: usize, g: usize, n: usize, center: f32, weight: usize): void {
  blocks<Weighted>(x, g, n, center, weight);
}

/** Whether sums by blocks over n cells lost no digits: of g * w, of the terms' absolute values, and of the squares of what those are the sum of. */
@inline
export function isGood(gradients: f64, sizes: f64, squares: f64, n: f64): bool {
  return sizes < 1e37 && sizes > n * 1e-30 && Math.abs(gradients) < 1e37 && isSpread(sizes, squares);
}

/**
 * Adds the sums over n float32 cells by blocks. False, and nothing added, where float32 might have lost digits: a term overflowed or
 * came near its subnormals, or is NaN, or a few terms are most of all.
 *
 * A term and the sums of its block are rounded 8 times at most: x - center, g * w, their product, two additions of the tree and one in each turn of
 * four, some of them in the scale of the block. All together are off by 8 * 2^-24 of the terms' absolute values at most, 4 ulp, if all roundings go
 * the same way; and where `isSpread` holds, so that no few terms are most, by a fraction of one.
 */
function addBlocks(x: usize, g: usize, n: usize, mean: f64, rstd: f64, weight: usize): bool {
  const center = <f32>mean;
  if (weight) gradientF32WeightedBlocks(x, g, n, center, weight);
  else gradientF32Blocks(x, g, n, center);
  const whole = n & ~(BLOCK - 1);
  if (!isGood(blockGradients, blockSizes, blockSquares, <f64>whole)) return false;
  // What of the mean float32 has no room for is taken off the sum.
  gradients += blockGradients;
  products += blockProducts - (mean - <f64>center) * blockGradients;
  sizes += blockSizes;
  magnitude += blockSizes * rstd;
  if (whole < n) addExact<f32>(x + (whole << 2), g + (whole << 2), n - whole, mean, weight ? weight + (whole << 2) : 0);
  return true;
}

@inline
function addExact<A>(x: usize, g: usize, n: usize, mean: f64, weight: usize): void {
  if (sizeof<A>() == 8) {
    if (weight) gradientF64WeightedSums(x, g, n, mean, weight);
    else gradientF64Sums(x, g, n, mean);
  } else if (weight) gradientF32WeightedSums(x, g, n, mean, weight);
  else gradientF32Sums(x, g, n, mean);
}

/** Adds the sums over n cells, given their mean and 1 / deviation; weight is NONE where all are 1, else one of the cells' type each. */
@inline
export function addSums<A>(x: usize, g: usize, n: usize, mean: f64, rstd: f64, weight: usize): void {
  if (sizeof<A>() == 4 && n >= BLOCKS_FROM && addBlocks(x, g, n, mean, rstd, weight)) return;
  areSpread = false;
  addExact<A>(x, g, n, mean, weight);
}
