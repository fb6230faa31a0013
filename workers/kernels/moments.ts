// Moments of float32 cells: the mean and M2 (the sum of squared deviations from it), in float64.
//
// Two ways, chosen by the cells alone, so that the bits do not depend on who computes them:
//   exact  every cell widened to float64, one pass from a pivot that is a cell of the segment. With n cells
//          sum((x-p)^2) <= n * M2, so the subtraction in `finish` loses at most log2(n) of 53 bits.
//   blocks float32 lanes over blocks of 64 cells from a pivot near the mean, each block summed to float64.
//          Twice as fast. Kept only where `wellConditioned` says that nothing was lost; otherwise again from the mean that
//          they gave, or exact.
// Within a block four vectors are added as a tree, and four such sums in a row: each lane's sum has gone through 5 roundings,
// not 16. Cells of few values round alike, so the number of roundings is what bounds the error.
import { loadPair, pinF32, pinF64, sumLanes, widen } from "./lanes";

export const BLOCK: usize = 64; // cells: 16 float32 lanes of 4
/** Shorter segments are summed exactly: few blocks do not average their errors out. */
export const BLOCKS_FROM: usize = 256;
const SEGMENT: usize = 16384; // cells: SEGMENT_CELLS of src/protocol.ts

/** Results of the last moments function, and the sums that they come from. */
export let mean: f64 = 0;
export let m2: f64 = 0;
let sum: f64 = 0;
let squares: f64 = 0;

/** A pivot must be finite: Infinity as pivot would turn a mean of Infinity into NaN. */
// @ts-ignore: decorator
@inline
function finiteOrZero(x: f64): f64 {
  return x - x == 0 ? x : 0;
}

/** sum and squares of (x - pivot) over n cells, added to what the two globals hold. One read. Any n, 4-byte aligned. */
export function sumsF32Exact(x: usize, n: usize, pivot: f64): void {
  const p = pinF64(pivot, 0);
  let s0 = f64x2.splat(0), s1 = s0, q0 = s0, q1 = s0;
  let s2 = s0, s3 = s0, q2 = s0, q3 = s0;
  const end = x + (n << 2);
  for (const stop = x + ((n & ~7) << 2); x < stop; x += 32) {
    const a = f64x2.sub(f64x2.promote_low_f32x4(v128.load64_zero(x)), p);
    const b = f64x2.sub(f64x2.promote_low_f32x4(v128.load64_zero(x, 8)), p);
    const c = f64x2.sub(f64x2.promote_low_f32x4(v128.load64_zero(x, 16)), p);
    const d = f64x2.sub(f64x2.promote_low_f32x4(v128.load64_zero(x, 24)), p);
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
  for (; x < end; x += 4) {
    const d = <f64>load<f32>(x) - pivot;
    s += d;
    q += d * d;
  }
  sum += s;
  squares += q;
}

/** mean and M2 of n cells from the sums about a pivot. Rounding must not make M2 negative; NaN must stay. */
// @ts-ignore: decorator
@inline
function finish(n: f64, pivot: f64): void {
  mean = pivot + sum / n;
  const m = squares - (sum * sum) / n;
  m2 = m < 0 ? 0 : m;
}

/** Moments of n >= 1 consecutive cells by the exact way. One read. */
export function momentsF32Exact(x: usize, n: usize): void {
  sum = 0;
  squares = 0;
  const pivot = finiteOrZero(<f64>load<f32>(x));
  sumsF32Exact(x, n, pivot);
  finish(<f64>n, pivot);
}

/** The block way's pivot: the mean of the segment's first block, as float32. */
export function pivotF32(x: usize): f32 {
  let total = f64x2.splat(0);
  for (const stop = x + (BLOCK << 2); x < stop; x += 64) {
    const a = f32x4.add(v128.load(x), v128.load(x, 16));
    const b = f32x4.add(v128.load(x, 32), v128.load(x, 48));
    total = f64x2.add(total, f64x2.add(widen(a), widen(b)));
  }
  return <f32>(sumLanes(total) / <f64>BLOCK);
}

/**
 * Whether sums by blocks may be kept: the pivot is within half a deviation of the mean (so float32 sums of deviations
 * hold their digits), no square overflowed float32, and squares are far from its subnormals. NaN fails each.
 */
// @ts-ignore: decorator
@inline
function wellConditioned(n: f64): bool {
  const offset = (sum * sum) / n;
  return 4 * offset <= squares - offset && squares < 1e37 && squares > n * 1e-24;
}

// @ts-ignore: decorator
@inline
export function sumOfFour(a: v128, b: v128, c: v128, d: v128): v128 {
  return f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
}

// @ts-ignore: decorator
@inline
export function squaresOfFour(a: v128, b: v128, c: v128, d: v128): v128 {
  return f32x4.add(f32x4.add(f32x4.mul(a, a), f32x4.mul(b, b)), f32x4.add(f32x4.mul(c, c), f32x4.mul(d, d)));
}

/** sum and squares of (x - pivot) over the whole blocks of n cells. One read. */
export function sumsF32Blocks(x: usize, n: usize, pivot: f32): void {
  const p = pinF32(pivot, 0);
  let total = f64x2.splat(0), totalSquares = f64x2.splat(0);
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
    totalSquares = f64x2.add(totalSquares, widen(q));
  }
  sum = sumLanes(total);
  squares = sumLanes(totalSquares);
}

/** Adds the cells after the last whole block to the sums. */
// @ts-ignore: decorator
@inline
function addTail(x: usize, n: usize, pivot: f32): void {
  const tail = n & (BLOCK - 1);
  if (tail) sumsF32Exact(x + ((n - tail) << 2), tail, <f64>pivot);
}

/**
 * Ends a segment whose blocks are summed. Where the pivot was too far off, as in cells that rise from end to end, the sums at
 * least say where the mean is: a second pass from there, over cells that are in the cache by now. Then exact.
 */
export function finishBlocks(x: usize, n: usize, pivot: f32, blockSum: f64, blockSquares: f64): void {
  sum = blockSum;
  squares = blockSquares;
  addTail(x, n, pivot);
  if (!wellConditioned(<f64>n)) {
    pivot = <f32>(<f64>pivot + sum / <f64>n);
    sumsF32Blocks(x, n, pivot);
    addTail(x, n, pivot);
    if (!wellConditioned(<f64>n)) {
      momentsF32Exact(x, n);
      return;
    }
  }
  finish(<f64>n, <f64>pivot);
}

/** Moments of one segment: n consecutive cells, 1 <= n <= SEGMENT, 4-byte aligned. One read. */
export function momentsF32Segment(x: usize, n: usize): void {
  if (n < BLOCKS_FROM) {
    momentsF32Exact(x, n);
    return;
  }
  const pivot = pivotF32(x);
  sumsF32Blocks(x, n, pivot);
  finishBlocks(x, n, pivot, sum, squares);
}

/** Moments gathered so far over several segments, merged in order. */
let mergedCount: f64 = 0;
let mergedMean: f64 = 0;
let mergedM2: f64 = 0;

export function startMerge(): void {
  mergedCount = 0;
}

/** Takes in the last segment's moments by Chan's rule; the same operations in the same order as src/moments.ts. */
export function mergeSegment(n: f64): void {
  if (mergedCount == 0) {
    mergedCount = n;
    mergedMean = mean;
    mergedM2 = m2;
    return;
  }
  const count = mergedCount + n;
  const delta = mean - mergedMean;
  if (delta - delta != 0) {
    // A mean is infinite or NaN: as a plain sum would have it.
    mergedMean += mean;
    mergedM2 = NaN;
    mergedCount = count;
    return;
  }
  mergedMean = mergedMean + delta * (n / count);
  mergedM2 = mergedM2 + m2 + delta * delta * ((mergedCount * n) / count);
  mergedCount = count;
}

/** Puts the merged moments where the last segment's were. */
export function endMerge(): void {
  mean = mergedMean;
  m2 = mergedM2;
}

/** Moments of one set of n consecutive cells: its segments, merged in order. One read. */
export function momentsF32Set(x: usize, n: usize): void {
  if (n <= SEGMENT) {
    momentsF32Segment(x, n);
    return;
  }
  startMerge();
  for (let done: usize = 0; done < n; done += SEGMENT) {
    const cells = min(SEGMENT, n - done);
    momentsF32Segment(x + (done << 2), cells);
    mergeSegment(<f64>cells);
  }
  endMerge();
}

/**
 * Phase `moments`, layout `sets`: segments [first, first + count) in memory order of sets of `length` consecutive cells.
 * Writes {mean, M2} as two float64 at partials + 16 * segment. One read.
 */
export function momentsF32Sets(x: usize, partials: usize, first: usize, count: usize, length: usize): void {
  const perSet = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const set = unit / perSet, start = (unit % perSet) * SEGMENT;
    momentsF32Segment(x + ((set * length + start) << 2), min(SEGMENT, length - start));
    store<f64>(partials + (unit << 4), mean);
    store<f64>(partials + (unit << 4), m2, 8);
  }
}

/** Runs at least this long get moments of their own, merged; shorter ones share a pivot. */
const LONG_RUN: usize = 1024;

/**
 * Phase `moments`, layout `runs`: a segment is `perSegment` runs of `length` cells, one from each sample, of one of `groups`
 * channels: segment = block * groups + group. `samples` may leave the last block short. {mean, M2} as above. One read.
 */
export function momentsF32Runs(
  x: usize, partials: usize, first: usize, count: usize, length: usize, groups: usize, samples: usize, perSegment: usize,
): void {
  const stride = (groups * length) << 2;
  for (let unit = first; unit < first + count; unit++) {
    const group = unit % groups, sample = (unit / groups) * perSegment;
    const runs = min(perSegment, samples - sample);
    let run = x + sample * stride + ((group * length) << 2);
    if (length >= LONG_RUN) {
      startMerge();
      for (let i: usize = 0; i < runs; i++, run += stride) {
        momentsF32Segment(run, length);
        mergeSegment(<f64>length);
      }
      endMerge();
    } else {
      sum = 0;
      squares = 0;
      const pivot = finiteOrZero(<f64>load<f32>(run));
      for (let i: usize = 0; i < runs; i++, run += stride) sumsF32Exact(run, length, pivot);
      finish(<f64>(runs * length), pivot);
    }
    store<f64>(partials + (unit << 4), mean);
    store<f64>(partials + (unit << 4), m2, 8);
  }
}

/** Rows taken in one sweep over the columns: their sums stay in registers for that many loads. */
const SWEEP: usize = 8;

/** As finiteOrZero, for two lanes. */
// @ts-ignore: decorator
@inline
function finiteLanes(v: v128): v128 {
  return v128.and(v, f64x2.eq(f64x2.sub(v, v), f64x2.splat(0)));
}

/**
 * Moments of each of `width` columns over `rows` rows that lie `stride` cells apart, by the exact way, the first row as pivot.
 * {mean, M2} of column c at partials + 16 * c; the sums are kept there until the last row is in. One read.
 */
export function momentsF32Columns(x: usize, partials: usize, rows: usize, width: usize, stride: usize): void {
  memory.fill(partials, 0, width << 4);
  const step = stride << 2;
  const even = width & ~1;
  for (let row: usize = 0; row < rows; row += SWEEP) {
    const top = x + row * step;
    const bottom = top + min(SWEEP, rows - row) * step;
    for (let c: usize = 0; c < even; c += 2) {
      const p = finiteLanes(loadPair(x + (c << 2)));
      const out = partials + (c << 4);
      const a = v128.load(out), b = v128.load(out, 16); // (sum, squares) of the two columns
      let s = i64x2.shuffle(a, b, 0, 2), q = i64x2.shuffle(a, b, 1, 3);
      for (let cell = top + (c << 2), end = bottom + (c << 2); cell < end; cell += step) {
        const d = f64x2.sub(loadPair(cell), p);
        s = f64x2.add(s, d);
        q = f64x2.add(q, f64x2.mul(d, d));
      }
      v128.store(out, i64x2.shuffle(s, q, 0, 2));
      v128.store(out, i64x2.shuffle(s, q, 1, 3), 16);
    }
    if (even < width) {
      const out = partials + (even << 4);
      const p = finiteOrZero(<f64>load<f32>(x + (even << 2)));
      let s = load<f64>(out), q = load<f64>(out, 8);
      for (let cell = top + (even << 2), end = bottom + (even << 2); cell < end; cell += step) {
        const d = <f64>load<f32>(cell) - p;
        s += d;
        q += d * d;
      }
      store<f64>(out, s);
      store<f64>(out, q, 8);
    }
  }
  for (let c: usize = 0; c < width; c++) {
    const out = partials + (c << 4);
    sum = load<f64>(out);
    squares = load<f64>(out, 8);
    finish(<f64>rows, finiteOrZero(<f64>load<f32>(x + (c << 2))));
    store<f64>(out, mean);
    store<f64>(out, m2, 8);
  }
}
