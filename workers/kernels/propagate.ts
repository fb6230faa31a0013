// The gradients of the input, cell by cell, and those of weights and biases that each cell has its own of. gradient.ts has the formulas and the
// sums.
//
// Sets of float32 cells of which it is known that no digits are lost are computed on in float32, as a line in g and x (takeLine). All others in float64
// from the cells on, with one rounding at the end.
import { NEAR } from "./constants";
import { isWeighted, Unweighted, Weighted } from "./gradient";
import {
  bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF32, pinF64, putPair0, putPair1, putPair2, putPair3, storeCell,
} from "./lanes";
import { isBounded, isModerate } from "./statistics";

@inline
function propagated(x: v128, g: v128, mean: v128, a: v128, b: v128, c: v128): v128 {
  return f64x2.add(f64x2.add(f64x2.mul(g, a), f64x2.mul(f64x2.sub(x, mean), b)), c);
}

/** `propagated` with (x - mean) * b + c as x * b + offset. */
@inline
function propagatedLine(x: v128, g: v128, a: v128, b: v128, offset: v128): v128 {
  return f64x2.add(f64x2.add(f64x2.mul(g, a), f64x2.mul(x, b)), offset);
}

/** y = g * weight[i] * a + (x - mean) * b + c over n cells. Two reads, one write; y may be x or g. */
@inline
function inDouble<A, W>(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64, weight: usize): void {
  const end = x + bytesOf<A>(n), step = sizeof<A>() << 3;
  if (n >= 8) {
    const m = pinF64(mean, 0), va = pinF64(a, 1), vb = pinF64(b, 2), vc = pinF64(c, 3);
    for (const stop = x + bytesOf<A>(n & ~7); x < stop; x += step, g += step, y += step) {
      let ga = pair0<A>(g), gb = pair1<A>(g), gc = pair2<A>(g), gd = pair3<A>(g);
      if (isWeighted<W>()) {
        ga = f64x2.mul(ga, pair0<A>(weight));
        gb = f64x2.mul(gb, pair1<A>(weight));
        gc = f64x2.mul(gc, pair2<A>(weight));
        gd = f64x2.mul(gd, pair3<A>(weight));
        weight += step;
      }
      putPair0<A>(y, propagated(pair0<A>(x), ga, m, va, vb, vc));
      putPair1<A>(y, propagated(pair1<A>(x), gb, m, va, vb, vc));
      putPair2<A>(y, propagated(pair2<A>(x), gc, m, va, vb, vc));
      putPair3<A>(y, propagated(pair3<A>(x), gd, m, va, vb, vc));
    }
  }
  for (; x < end; x += sizeof<A>(), g += sizeof<A>(), y += sizeof<A>()) {
    let gradient = loadCell<A>(g);
    if (isWeighted<W>()) {
      gradient *= loadCell<A>(weight);
      weight += sizeof<A>();
    }
    storeCell<A>(y, gradient * a + (loadCell<A>(x) - mean) * b + c);
  }
}

/** The line that takeLine took last: y = g * high + ((x - center) * slope + (g * low + offset)). */
let center: f32 = 0;
let high: f32 = 0;
let low: f32 = 0;
let slope: f32 = 0;
let offset: f32 = 0;

/**
 * Takes g * a + (x - mean) * b + c as a line of float32 numbers. False where they do not hold it: then float64 is to compute it.
 *
 * For sets of which (x - mean) * b is at most half of the terms' absolute values (`isSlight`): what of it is rounded, x - mean, b, and their product,
 * counts half. g * a is most where it counts, so a is in two numbers: else all cells of a set would share its rounding. What is left of it is half an
 * ulp each of g * w, of the product, and of the result. A search finds 1.8 ulp at worst, given the sums.
 */
export function takeLine(mean: f64, a: f64, b: f64, c: f64): bool {
  center = <f32>mean;
  const moved = c - (mean - <f64>center) * b;
  const holds = isModerate(a) && isModerate(b) && isBounded(moved) && isBounded(mean);
  if (!holds) return false;
  high = <f32>a;
  low = <f32>(a - <f64>high);
  slope = <f32>b;
  // An offset of 0 leaves -0 alone.
  offset = moved == 0 ? <f32>-0.0 : <f32>moved;
  return true;
}

/** Whether the sums of a set, of terms and of their absolute values, are those that takeLine is for. NaN is not. */
@inline
export function isSlight(products: f64, sizes: f64): bool {
  return 2 * Math.abs(products) <= sizes;
}

/** Four cells on the line. */
@inline
function onLine(x: v128, g: v128, center: v128, high: v128, low: v128, slope: v128, offset: v128): v128 {
  const rest = f32x4.add(f32x4.mul(g, low), offset);
  return f32x4.add(f32x4.mul(g, high), f32x4.add(f32x4.mul(f32x4.sub(x, center), slope), rest));
}

@inline
function inSingle<W>(x: usize, g: usize, y: usize, n: usize, weight: usize): void {
  const end = x + (n << 2);
  // Distances from x: one counter. With four the loop took a third longer.
  g -= x;
  y -= x;
  if (isWeighted<W>()) weight -= x;
  if (n >= 8) {
    const m = pinF32(center, 0), a = pinF32(high, 1), l = pinF32(low, 2), b = pinF32(slope, 3), c = pinF32(offset, 4);
    for (const stop = x + ((n & ~7) << 2); x < stop; x += 32) {
      const at = x + g, to = x + y;
      let g0 = v128.load(at), g1 = v128.load(at, 16);
      if (isWeighted<W>()) {
        const by = x + weight;
        g0 = f32x4.mul(g0, v128.load(by));
        g1 = f32x4.mul(g1, v128.load(by, 16));
      }
      const y0 = onLine(v128.load(x), g0, m, a, l, b, c);
      const y1 = onLine(v128.load(x, 16), g1, m, a, l, b, c);
      v128.store(to, y0);
      v128.store(to, y1, 16);
    }
  }
  for (; x < end; x += 4) {
    let gw = load<f32>(x + g);
    if (isWeighted<W>()) gw *= load<f32>(x + weight);
    store<f32>(x + y, gw * high + ((load<f32>(x) - center) * slope + (gw * low + offset)));
  }
}

/** n cells on the line that takeLine took. Two reads, one write; y may be x or g. */
export function propagateF32Single(x: usize, g: usize, y: usize, n: usize): void {
  inSingle<Unweighted>(x, g, y, n, 0);
}

/** As propagateF32Single, g times the float32 weight of its cell. */
export function propagateF32SingleCells(x: usize, g: usize, y: usize, n: usize, weight: usize): void {
  inSingle<Weighted>(x, g, y, n, weight);
}

/** y = g * a + (x - mean) * b + c over n cells. Two reads, one write; y may be x or g. */
export function propagateF32Run(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64): void {
  if (mean == 0) propagateF32Line(x, g, y, n, a, b, c);
  else inDouble<f32, Unweighted>(x, g, y, n, mean, a, b, c, 0);
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
  inDouble<f64, Unweighted>(x, g, y, n, mean, a, b, c, 0);
}

@inline
export function propagateRun<A>(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64): void {
  if (sizeof<A>() == 8) propagateF64Run(x, g, y, n, mean, a, b, c);
  else propagateF32Run(x, g, y, n, mean, a, b, c);
}

/** y = g * weight[i] * a + (x - mean) * b + c over n cells; weight is of the cells' type. Two reads, one write; y may be x or g. */
export function propagateF32Cells(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64, weight: usize): void {
  inDouble<f32, Weighted>(x, g, y, n, mean, a, b, c, weight);
}

/** As propagateF32Cells, where weight is NONE if all are 1. */
@inline
export function propagateCells<A>(
  x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64, weight: usize,
): void {
  if (!weight) propagateRun<A>(x, g, y, n, mean, a, b, c);
  else if (sizeof<A>() == 8) inDouble<f64, Weighted>(x, g, y, n, mean, a, b, c, weight);
  else propagateF32Cells(x, g, y, n, mean, a, b, c, weight);
}
