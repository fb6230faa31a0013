// The loops of the backward pass. With xhat = (x - mean) * rstd and gw = gradOutput * weight, a set's gradient is
//   dx = rstd * (gw - avg(gw) - xhat * avg(gw * xhat)),  dweight = sum of gradOutput * xhat,  dbias = sum of gradOutput
// (as torch's native_layer_norm_backward has it). Everything is float64 from the cells on, with one rounding of dx at the end.
import {
  bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF64, putPair0, putPair1, putPair2, putPair3, storeCell, sumLanes,
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

/** Adds the sums over n cells; weight is NONE where all are 1. */
@inline
export function addSums<A>(x: usize, g: usize, n: usize, mean: f64, weight: usize): void {
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
  run<f32>(x, g, y, n, mean, a, b, c);
}

export function propagateF64Run(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64): void {
  run<f64>(x, g, y, n, mean, a, b, c);
}

@inline
export function propagateRun<A>(x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64): void {
  if (sizeof<A>() == 8) propagateF64Run(x, g, y, n, mean, a, b, c);
  else propagateF32Run(x, g, y, n, mean, a, b, c);
}

// Whether `cells` also adds to the sums of the weights' and biases' gradients.
type Silent = u8;
type Sinking = u16;

/** Adds g * (x - mean) * rstd and g to the float64 entries of two cells. */
@inline
function sink(g: v128, d: v128, rstd: v128, weights: usize, biases: usize): void {
  v128.store(weights, f64x2.add(v128.load(weights), f64x2.mul(g, f64x2.mul(d, rstd))));
  v128.store(biases, f64x2.add(v128.load(biases), g));
}

@inline
function cells<A, W, K>(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, a: f64, b: f64, c: f64, weight: usize, weights: usize, biases: usize,
): void {
  const m = pinF64(mean, 0), va = pinF64(a, 1), vb = pinF64(b, 2), vc = pinF64(c, 3), r = pinF64(rstd, 4);
  const end = x + bytesOf<A>(n), step = sizeof<A>() << 2;
  for (const stop = x + bytesOf<A>(n & ~3); x < stop; x += step, g += step, y += step) {
    const g0 = pair0<A>(g), g1 = pair1<A>(g);
    const d0 = f64x2.sub(pair0<A>(x), m), d1 = f64x2.sub(pair1<A>(x), m);
    putPair0<A>(y, f64x2.add(f64x2.add(f64x2.mul(weighed<W>(g0, weight), va), f64x2.mul(d0, vb)), vc));
    putPair1<A>(y, f64x2.add(f64x2.add(f64x2.mul(weighed<W>(g1, weight + 16), va), f64x2.mul(d1, vb)), vc));
    if (sizeof<W>() == sizeof<Weighted>()) weight += 32;
    if (sizeof<K>() == sizeof<Sinking>()) {
      sink(g0, d0, r, weights, biases);
      sink(g1, d1, r, weights + 16, biases + 16);
      weights += 32;
      biases += 32;
    }
  }
  for (; x < end; x += sizeof<A>(), g += sizeof<A>(), y += sizeof<A>()) {
    const gradient = loadCell<A>(g), d = loadCell<A>(x) - mean;
    let gw = gradient;
    if (sizeof<W>() == sizeof<Weighted>()) {
      gw *= load<f64>(weight);
      weight += 8;
    }
    storeCell<A>(y, gw * a + d * b + c);
    if (sizeof<K>() == sizeof<Sinking>()) {
      store<f64>(weights, load<f64>(weights) + gradient * (d * rstd));
      store<f64>(biases, load<f64>(biases) + gradient);
      weights += 8;
      biases += 8;
    }
  }
}

/** y = g * weight[i] * a + (x - mean) * b + c over n cells. Two reads, one write; y may be x or g. */
@inline
export function propagateCells<A>(
  x: usize, g: usize, y: usize, n: usize, mean: f64, a: f64, b: f64, c: f64, weight: usize,
): void {
  if (weight) cells<A, Weighted, Silent>(x, g, y, n, mean, 0, a, b, c, weight, 0, 0);
  else propagateRun<A>(x, g, y, n, mean, a, b, c);
}

export function propagateF32Sinking(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, a: f64, b: f64, c: f64, weights: usize, biases: usize,
): void {
  cells<f32, Unweighted, Sinking>(x, g, y, n, mean, rstd, a, b, c, 0, weights, biases);
}

export function propagateF32WeightedSinking(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, a: f64, b: f64, c: f64, weight: usize, weights: usize, biases: usize,
): void {
  cells<f32, Weighted, Sinking>(x, g, y, n, mean, rstd, a, b, c, weight, weights, biases);
}

/** As propagateCells, and the gradients of the cells' weights and biases are added to float64 entries. */
@inline
export function propagateSinking<A>(
  x: usize, g: usize, y: usize, n: usize, mean: f64, rstd: f64, a: f64, b: f64, c: f64, weight: usize, weights: usize, biases: usize,
): void {
  if (sizeof<A>() == 8) {
    if (weight) cells<f64, Weighted, Sinking>(x, g, y, n, mean, rstd, a, b, c, weight, weights, biases);
    else cells<f64, Unweighted, Sinking>(x, g, y, n, mean, rstd, a, b, c, 0, weights, biases);
  } else if (weight) propagateF32WeightedSinking(x, g, y, n, mean, rstd, a, b, c, weight, weights, biases);
  else propagateF32Sinking(x, g, y, n, mean, rstd, a, b, c, weights, biases);
}

/** The gradients of n cells' weights and biases, added to float64 entries. Reads x and g. */
@inline
export function accumulateCells<A>(x: usize, g: usize, n: usize, mean: f64, rstd: f64, weights: usize, biases: usize): void {
  const m = pinF64(mean, 0), r = pinF64(rstd, 1);
  const end = x + bytesOf<A>(n), step = sizeof<A>() << 1;
  for (const stop = x + bytesOf<A>(n & ~1); x < stop; x += step, g += step, weights += 16, biases += 16) {
    sink(pair0<A>(g), f64x2.sub(pair0<A>(x), m), r, weights, biases);
  }
  if (x < end) {
    const gradient = loadCell<A>(g);
    store<f64>(weights, load<f64>(weights) + gradient * ((loadCell<A>(x) - mean) * rstd));
    store<f64>(biases, load<f64>(biases) + gradient);
  }
}
