// The gradients of weights and biases that each cell has its own of: g * xhat and g, added to float64 entries row by row.
import { isWeighted, Unweighted, Weighted } from "./gradient";
import { bytesOf, loadCell, pair0, pinF32, pinF64 } from "./lanes";

/** Adds g * xhat and g to the float64 entries of two cells. */
@inline
function sink(g: v128, xhat: v128, weights: usize, biases: usize): void {
  v128.store(weights, f64x2.add(v128.load(weights), f64x2.mul(g, xhat)));
  v128.store(biases, f64x2.add(v128.load(biases), g));
}

/** Of n cells of a row. Reads x and g. */
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

/** float32 lanes added to four float64 entries. */
@inline
function addWide(sum: v128, entries: usize): void {
  v128.store(entries, f64x2.add(v128.load(entries), f64x2.promote_low_f32x4(sum)));
  v128.store(entries, f64x2.add(v128.load(entries, 16), f64x2.promote_low_f32x4(i64x2.shuffle(sum, sum, 1, 0))), 16);
}

// How xhat is made of a cell, by a type parameter: (x - mean) * rstd, or where float32 does not hold the mean with that and an offset.
type Plain = u8;
type Moved = u16;

@inline
function term<M>(x: usize, g: v128, center: v128, rstd: v128, offset: v128): v128 {
  const xhat = f32x4.mul(f32x4.sub(v128.load(x), center), rstd);
  return f32x4.mul(g, sizeof<M>() == sizeof<Moved>() ? f32x4.add(xhat, offset) : xhat);
}

/** What float32 has no room for of a mean, in deviations. */
@inline
function offsetOf(mean: f64, rstd: f64): f64 {
  return (<f64>(<f32>mean) - mean) * rstd;
}

@inline
function sinkFour<M>(
  x: usize, g: usize, n: usize, weights: usize, biases: usize,
  mean0: f64, mean1: f64, mean2: f64, mean3: f64, rstd0: f64, rstd1: f64, rstd2: f64, rstd3: f64,
): void {
  const c0 = pinF32(<f32>mean0, 0), c1 = pinF32(<f32>mean1, 1), c2 = pinF32(<f32>mean2, 2), c3 = pinF32(<f32>mean3, 3);
  const r0 = pinF32(<f32>rstd0, 4), r1 = pinF32(<f32>rstd1, 5), r2 = pinF32(<f32>rstd2, 6), r3 = pinF32(<f32>rstd3, 7);
  let o0 = c0, o1 = c0, o2 = c0, o3 = c0;
  if (sizeof<M>() == sizeof<Moved>()) {
    o0 = pinF32(<f32>offsetOf(mean0, rstd0), 8);
    o1 = pinF32(<f32>offsetOf(mean1, rstd1), 9);
    o2 = pinF32(<f32>offsetOf(mean2, rstd2), 10);
    o3 = pinF32(<f32>offsetOf(mean3, rstd3), 11);
  }
  const bytes = n << 2, twice = bytes << 1, end = x + bytes;
  g -= x;
  biases -= weights;
  for (const stop = x + ((n & ~3) << 2); x < stop; x += 16, weights += 32) {
    const at = x + g, below = x + twice, belowAt = at + twice;
    const g0 = v128.load(at), g1 = v128.load(at + bytes), g2 = v128.load(belowAt), g3 = v128.load(belowAt + bytes);
    const upper = f32x4.add(term<M>(x, g0, c0, r0, o0), term<M>(x + bytes, g1, c1, r1, o1));
    const lower = f32x4.add(term<M>(below, g2, c2, r2, o2), term<M>(below + bytes, g3, c3, r3, o3));
    addWide(f32x4.add(upper, lower), weights);
    addWide(f32x4.add(f32x4.add(g0, g1), f32x4.add(g2, g3)), weights + biases);
  }
  if (x < end) {
    const left = (end - x) >> 2;
    g += x;
    biases += weights;
    accumulateCells<f32>(x, g, left, mean0, rstd0, weights, biases);
    accumulateCells<f32>(x + bytes, g + bytes, left, mean1, rstd1, weights, biases);
    accumulateCells<f32>(x + twice, g + twice, left, mean2, rstd2, weights, biases);
    accumulateCells<f32>(x + twice + bytes, g + twice + bytes, left, mean3, rstd3, weights, biases);
  }
}

/**
 * Of SINK_ROWS rows of n float32 cells that lie one after the other, each with its mean and 1 / deviation. Reads x and g.
 *
 * A term is rounded 4 times, or 5, and twice in the tree: together 4 ulp of it at worst, where it is all of its column. So no row should be more than the
 * others together, and rows should be many.
 */
export function sinkF32Rows(
  x: usize, g: usize, n: usize, weights: usize, biases: usize,
  mean0: f64, mean1: f64, mean2: f64, mean3: f64, rstd0: f64, rstd1: f64, rstd2: f64, rstd3: f64,
): void {
  sinkFour<Plain>(x, g, n, weights, biases, mean0, mean1, mean2, mean3, rstd0, rstd1, rstd2, rstd3);
}

/** As sinkF32Rows, of means that float32 does not hold. */
export function sinkF32MovedRows(
  x: usize, g: usize, n: usize, weights: usize, biases: usize,
  mean0: f64, mean1: f64, mean2: f64, mean3: f64, rstd0: f64, rstd1: f64, rstd2: f64, rstd3: f64,
): void {
  sinkFour<Moved>(x, g, n, weights, biases, mean0, mean1, mean2, mean3, rstd0, rstd1, rstd2, rstd3);
}

/** Whether float32 holds a mean: what is lost moves xhat by less than a quarter of the last digit of 1. */
@inline
export function holdsMean(mean: f64, rstd: f64): bool {
  return Math.abs(offsetOf(mean, rstd)) <= 1.4901161193847656e-8;
}

@inline
function weighed<W>(g: v128, weight: usize): v128 {
  return isWeighted<W>() ? f64x2.mul(g, v128.load(weight)) : g;
}

@inline
function propagateAndSink<W>(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, b: f64, c: f64, weight: usize, weights: usize, biases: usize,
): void {
  const m = pinF64(mean, 0), r = pinF64(rstd, 1), vb = pinF64(b, 2), vc = pinF64(c, 3);
  const end = x + (n << 3);
  for (const stop = x + ((n & ~3) << 3); x < stop; x += 32, g += 32, y += 32, weights += 32, biases += 32) {
    const g0 = v128.load(g), g1 = v128.load(g, 16);
    const h0 = f64x2.mul(f64x2.sub(v128.load(x), m), r), h1 = f64x2.mul(f64x2.sub(v128.load(x, 16), m), r);
    v128.store(y, f64x2.add(f64x2.add(f64x2.mul(weighed<W>(g0, weight), r), f64x2.mul(h0, vb)), vc));
    v128.store(y, f64x2.add(f64x2.add(f64x2.mul(weighed<W>(g1, weight + 16), r), f64x2.mul(h1, vb)), vc), 16);
    if (isWeighted<W>()) weight += 32;
    sink(g0, h0, weights, biases);
    sink(g1, h1, weights + 16, biases + 16);
  }
  for (; x < end; x += 8, g += 8, y += 8, weights += 8, biases += 8) {
    const gradient = load<f64>(g), xhat = (load<f64>(x) - mean) * rstd;
    let gw = gradient;
    if (isWeighted<W>()) {
      gw *= load<f64>(weight);
      weight += 8;
    }
    store<f64>(y, gw * rstd + xhat * b + c);
    store<f64>(weights, load<f64>(weights) + gradient * xhat);
    store<f64>(biases, load<f64>(biases) + gradient);
  }
}

/**
 * y = g * weight[i] * rstd + xhat * b + c over n float64 cells, xhat = (x - mean) * rstd, and the cells' gradients of weights and biases. weight is NONE
 * where all are 1. Two reads, one write; y may be x or g.
 */
export function sinkF64Cells(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, b: f64, c: f64, weight: usize, weights: usize, biases: usize,
): void {
  if (weight) propagateAndSink<Weighted>(x, g, y, n, mean, rstd, b, c, weight, weights, biases);
  else propagateAndSink<Unweighted>(x, g, y, n, mean, rstd, b, c, 0, weights, biases);
}
