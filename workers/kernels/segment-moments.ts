// Moments of cells: the mean and M2 (the sum of squared deviations from it), in float64.
//
// Two ways for float32, chosen by the cells alone, so that the bits do not depend on who computes them:
//   exact  every cell widened to float64, one pass from a pivot that is a cell of the segment. With n cells
//          sum((x-p)^2) <= n * M2, so the subtraction in `finish` loses at most log2(n) of 53 bits.
//   blocks float32 lanes over blocks of 64 cells from a pivot near the mean, each block summed to float64.
//          Twice as fast. Kept only where `wellConditioned` says that nothing was lost; otherwise again from the mean that
//          they gave, or exact. Exact, too, where a few cells are most of M2, whose roundings nothing averages out: `isSpread`.
// float64 cells go the exact way, and again from the mean where the pivot was far off: here the digits lost would be the result's.
//
// Within a block four vectors are added as a tree, and four such sums in a row: each lane's sum has gone through 5 roundings,
// not 16. Cells of few values round alike, so the number of roundings is what bounds the error.
import { BLOCK, BLOCKS_FROM } from "./constants";
import { bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF32, pinF64, sumLanes, widen } from "./lanes";

/** What the square of 32 cells' sum is at most, by the sum of their squares, where their mean is near 0. At 32 / 5 it would be no good pivot. */
const NEAR_ZERO: f64 = 6;

/** Results of the last moments function, and the sums that they come from. */
export let mean: f64 = 0;
export let m2: f64 = 0;
export let sum: f64 = 0;
export let squares: f64 = 0;

/** Sum of the squares of what `squares` is the sum of, of the last sumsF32Blocks. */
let quads: f64 = 0;

/** Whether deviations are taken from the mean. If not (RMSNorm) the mean counts as 0, so M2 is the sum of squares. */
let centred: bool = true;

export function setCentred(value: bool): void {
  centred = value;
}

export function setMoments(newMean: f64, newM2: f64): void {
  mean = newMean;
  m2 = newM2;
}

export function setSums(newSum: f64, newSquares: f64): void {
  sum = newSum;
  squares = newSquares;
}

/** The exact way's pivot, from a cell. It must be finite: Infinity as pivot would turn a mean of Infinity into NaN. */
@inline
export function pivotFrom(x: f64): f64 {
  return centred && x - x == 0 ? x : 0;
}

@inline
function sumsExact<A>(x: usize, n: usize, pivot: f64): void {
  const p = pinF64(pivot, 0);
  let s0 = f64x2.splat(0), s1 = s0, q0 = s0, q1 = s0;
  let s2 = s0, s3 = s0, q2 = s0, q3 = s0;
  const end = x + bytesOf<A>(n);
  for (const stop = x + bytesOf<A>(n & ~7); x < stop; x += sizeof<A>() << 3) {
    const a = f64x2.sub(pair0<A>(x), p);
    const b = f64x2.sub(pair1<A>(x), p);
    const c = f64x2.sub(pair2<A>(x), p);
    const d = f64x2.sub(pair3<A>(x), p);
    s0 = f64x2.add(s0, a);
    s1 = f64x2.add(s1, b);
    s2 = f64x2.add(s2, c);
    s3 = f64x2.add(s3, d);
    q0 = f64x2.add(q0, f64x2.mul(a, a));
    q1 = f64x2.add(q1, f64x2.mul(b, b));
    q2 = f64x2.add(q2, f64x2.mul(c, c));
    q3 = f64x2.add(q3, f64x2.mul(d, d));
  }
  let s = sumLanes(f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3)));
  let q = sumLanes(f64x2.add(f64x2.add(q0, q1), f64x2.add(q2, q3)));
  for (; x < end; x += sizeof<A>()) {
    const d = loadCell<A>(x) - pivot;
    s += d;
    q += d * d;
  }
  sum += s;
  squares += q;
}

/** sum and squares of (x - pivot) over n cells, added to what the two globals hold. One read. Any n, 4-byte aligned. */
export function sumsF32Exact(x: usize, n: usize, pivot: f64): void {
  sumsExact<f32>(x, n, pivot);
}

/** As sumsF32Exact, of float64 cells. */
export function sumsF64Exact(x: usize, n: usize, pivot: f64): void {
  sumsExact<f64>(x, n, pivot);
}

@inline
export function addExact<A>(x: usize, n: usize, pivot: f64): void {
  if (sizeof<A>() == 8) sumsF64Exact(x, n, pivot);
  else sumsF32Exact(x, n, pivot);
}

/** mean and M2 of n cells from the sums about a pivot. Rounding must not make M2 negative; NaN must stay. */
@inline
export function finish(n: f64, pivot: f64): void {
  if (!centred) {
    mean = 0;
    m2 = squares;
    return;
  }
  mean = pivot + sum / n;
  const m = squares - (sum * sum) / n;
  m2 = m < 0 ? 0 : m;
}

/**
 * mean and M2 of n <= SEGMENT cells that are whole numbers of a byte, from the sums about a whole pivot, each with one rounding: up to M2 all are whole
 * numbers below 2^53. So how they were summed, and about what, does not matter.
 */
@inline
export function finishWhole(n: f64, pivot: f64 = 0): void {
  const total = sum + n * pivot, totalSquares = squares + pivot * (2 * sum + n * pivot);
  mean = centred ? total / n : 0;
  m2 = centred ? (n * totalSquares - total * total) / n : totalSquares;
}

/** Moments of n >= 1 consecutive cells by the exact way. One read. */
function momentsF32Exact(x: usize, n: usize): void {
  setSums(0, 0);
  const pivot = pivotFrom(<f64>load<f32>(x));
  sumsF32Exact(x, n, pivot);
  finish(<f64>n, pivot);
}

/**
 * The block way's pivot, from the segment's first 32 cells. Two cache lines, since the loop waits for them. Where their mean is within some half of
 * their root mean square of 0 it is 0, so that a difference from it is not rounded: of cells of few values all are rounded alike, and nothing averages
 * that out. Else it is their mean as float32.
 */
export function pivotF32(x: usize): f32 {
  if (!centred) return 0;
  const a = v128.load(x), b = v128.load(x, 16), c = v128.load(x, 32), d = v128.load(x, 48);
  const e = v128.load(x, 64), f = v128.load(x, 80), g = v128.load(x, 96), h = v128.load(x, 112);
  const sum = sumLanes(f64x2.add(widen(sumOfFour(a, b, c, d)), widen(sumOfFour(e, f, g, h))));
  const squares = sumLanes(f64x2.add(widen(squaresOfFour(a, b, c, d)), widen(squaresOfFour(e, f, g, h))));
  return sum * sum <= NEAR_ZERO * squares ? 0 : <f32>(sum / 32);
}

/**
 * Whether sums by blocks may be kept: the pivot is within half a deviation of the mean (so float32 sums of deviations
 * hold their digits), no square overflowed float32, and squares are far from its subnormals. NaN fails each.
 */
@inline
export function wellConditioned(n: f64): bool {
  const offset = centred ? (sum * sum) / n : 0;
  return 4 * offset <= squares - offset && squares < 1e37 && squares > n * 1e-24;
}

/**
 * Whether at least six of the sums by blocks that `blockSquares` is the sum of count as much as the others, by their participation ratio. A
 * cell's deviation, its square and the sums that it goes through are rounded 8 times: 4 ulp of y at worst, where it is most of M2. 256 normal cells
 * have eight such sums, and a ratio of 7.5.
 */
@inline
export function isSpread(blockSquares: f64, blockQuads: f64): bool {
  return blockSquares * blockSquares >= 6 * blockQuads;
}

@inline
export function sumOfFour(a: v128, b: v128, c: v128, d: v128): v128 {
  return f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
}

@inline
export function squaresOfFour(a: v128, b: v128, c: v128, d: v128): v128 {
  return f32x4.add(f32x4.add(f32x4.mul(a, a), f32x4.mul(b, b)), f32x4.add(f32x4.mul(c, c), f32x4.mul(d, d)));
}

/** sum and squares of (x - pivot) over the whole blocks of n cells. One read. */
export function sumsF32Blocks(x: usize, n: usize, pivot: f32): void {
  const p = pinF32(pivot, 0);
  let total = f64x2.splat(0), totalSquares = f64x2.splat(0), totalQuads = f64x2.splat(0);
  for (const end = x + ((n & ~(BLOCK - 1)) << 2); x < end; ) {
    let s = f32x4.splat(0), q = s;
    for (const stop = x + (BLOCK << 2); x < stop; x += 64) {
      const a = f32x4.sub(v128.load(x), p);
      const b = f32x4.sub(v128.load(x, 16), p);
      const c = f32x4.sub(v128.load(x, 32), p);
      const d = f32x4.sub(v128.load(x, 48), p);
      s = f32x4.add(s, sumOfFour(a, b, c, d));
      q = f32x4.add(q, squaresOfFour(a, b, c, d));
    }
    total = f64x2.add(total, widen(s));
    const wide = widen(q);
    totalSquares = f64x2.add(totalSquares, wide);
    totalQuads = f64x2.add(totalQuads, f64x2.mul(wide, wide));
  }
  setSums(sumLanes(total), sumLanes(totalSquares));
  quads = sumLanes(totalQuads);
}

/** Adds the cells after the last whole block to the sums. */
@inline
function addTail(x: usize, n: usize, pivot: f32): void {
  const tail = n & (BLOCK - 1);
  if (tail) sumsF32Exact(x + ((n - tail) << 2), tail, <f64>pivot);
}

/**
 * Ends a segment whose blocks are summed. Where the pivot was too far off, as in cells that rise from end to end, the sums at
 * least say where the mean is: a second pass from there, over cells that are in the cache by now. Then exact.
 */
function finishBlocks(x: usize, n: usize, pivot: f32): void {
  let blockSquares = squares, blockQuads = quads;
  addTail(x, n, pivot);
  let good = wellConditioned(<f64>n);
  if (!good && centred) {
    pivot = <f32>(<f64>pivot + sum / <f64>n);
    sumsF32Blocks(x, n, pivot);
    blockSquares = squares;
    blockQuads = quads;
    addTail(x, n, pivot);
    good = wellConditioned(<f64>n);
  }
  if (good && isSpread(blockSquares, blockQuads)) finish(<f64>n, <f64>pivot);
  else momentsF32Exact(x, n);
}

/**
 * A better pivot for n float64 cells whose sums about `pivot` are there; `pivot` itself where the sums hold all digits that float64 can, since it
 * is within half a deviation of the mean.
 */
@inline
export function betterPivot(n: f64, pivot: f64): f64 {
  const offset = (sum * sum) / n;
  if (!centred || 4 * offset <= squares - offset) return pivot;
  const better = pivot + sum / n;
  return better - better == 0 ? better : pivot;
}

/** Moments of n consecutive float64 cells, 1 <= n <= SEGMENT. One read, or two where the first cell is far from the mean. */
function momentsF64Segment(x: usize, n: usize): void {
  const pivot = pivotFrom(load<f64>(x));
  setSums(0, 0);
  sumsF64Exact(x, n, pivot);
  const better = betterPivot(<f64>n, pivot);
  if (better != pivot) {
    setSums(0, 0);
    sumsF64Exact(x, n, better);
  }
  finish(<f64>n, better);
}

/** Moments of one segment: n consecutive cells, 1 <= n <= SEGMENT, aligned to their size. One read. */
@inline
export function momentsSegment<A>(x: usize, n: usize): void {
  if (sizeof<A>() == 8) momentsF64Segment(x, n);
  else momentsF32Segment(x, n);
}

/** Moments of one segment: n consecutive cells, 1 <= n <= SEGMENT, 4-byte aligned. One read. */
export function momentsF32Segment(x: usize, n: usize): void {
  if (n < BLOCKS_FROM) {
    momentsF32Exact(x, n);
    return;
  }
  const pivot = pivotF32(x);
  sumsF32Blocks(x, n, pivot);
  finishBlocks(x, n, pivot);
}
