// A segment applied while the one after it is summed: what `normalize` does with all sets but the last of a slice.
//
// A core hides the latency of memory only behind work that is close by. So the moments of set s + 1 are summed in the loop
// that applies set s: loads that miss (s + 1) and stores that miss (s) overlap, and s itself is read from the cache.
import {
  applyCells, applyEight, applyEightCells, applyEightLine, applyEightPlain, applyF32Cells, applyF32Run, applyF32Single, applyF32SingleCells,
  applyRun, pinHigh, pinLow, pinOffset, single, singleCells,
} from "./apply";
import { BLOCK } from "./constants";
import { bytesOf, pinF32, pinF64, sumLanes, widen } from "./lanes";
import {
  addTailF64, finishBlocks, finishF64, pivotF32, pivotFrom, setSums, squaresOfFour, sumOfFour,
} from "./segment-moments";

// What fuse<AFFINE> applies: y = (x - mean) * scale, that + shift, the same as x * scale + offset, or weight and bias of each cell with
// `scale` as rstd; of float32 cells also the line that takeSingle took, alone or with weight and bias of each cell.
type Plain = u8;
type Shifted = u16;
type Cells = u32;
type Line = u64;
type Single = f32;
type SingleCells = f64;

/** One segment applied while the segment of the same length at `next` is summed by blocks, as momentsF32Segment does it. */
@inline
function fuse<AFFINE>(
  x: usize, y: usize, next: usize, n: usize, center: f64, scale: f64, shift: f64, weight: usize, bias: usize,
): void {
  const start = next;
  const pivot = pivotF32(next);
  const offset = sizeof<AFFINE>() == sizeof<Line>() ? shift - center * scale : shift;
  const m = isFloat<AFFINE>() ? pinHigh(0) : pinF64(center, 0), a = isFloat<AFFINE>() ? pinLow(1) : pinF64(scale, 1);
  const b = isFloat<AFFINE>() ? pinOffset(2) : pinF64(offset, 2), p = pinF32(pivot, 3);
  let total = f64x2.splat(0), totalSquares = f64x2.splat(0), totalQuads = f64x2.splat(0);
  for (const end = x + ((n & ~(BLOCK - 1)) << 2); x < end; ) {
    let s = f32x4.splat(0), q = s;
    for (const stop = x + (BLOCK << 2); x < stop; x += 64, y += 64, next += 64) {
      const c = f32x4.sub(v128.load(next), p);
      const d = f32x4.sub(v128.load(next, 16), p);
      const e = f32x4.sub(v128.load(next, 32), p);
      const f = f32x4.sub(v128.load(next, 48), p);
      s = f32x4.add(s, sumOfFour(c, d, e, f));
      q = f32x4.add(q, squaresOfFour(c, d, e, f));
      if (isFloat<AFFINE>() && sizeof<AFFINE>() == sizeof<SingleCells>()) {
        v128.store(y, singleCells(v128.load(x), m, a, b, v128.load(weight), v128.load(bias)));
        v128.store(y, singleCells(v128.load(x, 16), m, a, b, v128.load(weight, 16), v128.load(bias, 16)), 16);
        v128.store(y, singleCells(v128.load(x, 32), m, a, b, v128.load(weight, 32), v128.load(bias, 32)), 32);
        v128.store(y, singleCells(v128.load(x, 48), m, a, b, v128.load(weight, 48), v128.load(bias, 48)), 48);
        weight += 64;
        bias += 64;
      } else if (isFloat<AFFINE>()) {
        v128.store(y, single(v128.load(x), m, a, b));
        v128.store(y, single(v128.load(x, 16), m, a, b), 16);
        v128.store(y, single(v128.load(x, 32), m, a, b), 32);
        v128.store(y, single(v128.load(x, 48), m, a, b), 48);
      } else if (sizeof<AFFINE>() == sizeof<Cells>()) {
        applyEightCells<f32>(x, y, m, a, weight, bias);
        applyEightCells<f32>(x + 32, y + 32, m, a, weight + 32, bias + 32);
        weight += 64;
        bias += 64;
      } else if (sizeof<AFFINE>() == sizeof<Plain>()) {
        applyEightPlain<f32>(x, y, m, a);
        applyEightPlain<f32>(x + 32, y + 32, m, a);
      } else if (sizeof<AFFINE>() == sizeof<Line>()) {
        applyEightLine<f32>(x, y, a, b);
        applyEightLine<f32>(x + 32, y + 32, a, b);
      } else {
        applyEight<f32>(x, y, m, a, b);
        applyEight<f32>(x + 32, y + 32, m, a, b);
      }
    }
    total = f64x2.add(total, widen(s));
    const wide = widen(q);
    totalSquares = f64x2.add(totalSquares, wide);
    totalQuads = f64x2.add(totalQuads, f64x2.mul(wide, wide));
  }
  const tail = n & (BLOCK - 1);
  if (tail) {
    if (isFloat<AFFINE>() && sizeof<AFFINE>() == sizeof<SingleCells>()) applyF32SingleCells(x, y, tail, weight, bias);
    else if (isFloat<AFFINE>()) applyF32Single(x, y, tail);
    else if (sizeof<AFFINE>() == sizeof<Cells>()) applyF32Cells(x, y, tail, center, scale, weight, bias);
    else applyF32Run(x, y, tail, center, scale, shift);
  }
  finishBlocks(start, n, pivot, sumLanes(total), sumLanes(totalSquares), sumLanes(totalQuads));
}

/** fuse with one scale and no shift. Two reads (x from cache), one write. BLOCKS_FROM <= n <= SEGMENT. */
export function fuseF32Plain(x: usize, y: usize, next: usize, n: usize, center: f64, scale: f64): void {
  fuse<Plain>(x, y, next, n, center, scale, 0, 0, 0);
}

/** fuse with one scale and shift. Two reads (x from cache), one write. BLOCKS_FROM <= n <= SEGMENT. */
export function fuseF32Run(x: usize, y: usize, next: usize, n: usize, center: f64, scale: f64, shift: f64): void {
  fuse<Shifted>(x, y, next, n, center, scale, shift, 0, 0);
}

/** fuseF32Run where isLine. */
export function fuseF32Line(x: usize, y: usize, next: usize, n: usize, center: f64, scale: f64, shift: f64): void {
  fuse<Line>(x, y, next, n, center, scale, shift, 0, 0);
}

/** fuse with the line that takeSingle took. As above. */
export function fuseF32Single(x: usize, y: usize, next: usize, n: usize): void {
  fuse<Single>(x, y, next, n, 0, 0, 0, 0, 0);
}

/** fuse with the line that takeSingle took, and a weight and bias per cell. As above. */
export function fuseF32SingleCells(x: usize, y: usize, next: usize, n: usize, weight: usize, bias: usize): void {
  fuse<SingleCells>(x, y, next, n, 0, 0, 0, weight, bias);
}

/** fuse with a weight and bias per cell. As above. */
export function fuseF32Cells(
  x: usize, y: usize, next: usize, n: usize, center: f64, rstd: f64, weight: usize, bias: usize,
): void {
  fuse<Cells>(x, y, next, n, center, rstd, 0, weight, bias);
}

@inline
function fuseExact<AFFINE>(
  x: usize, y: usize, next: usize, n: usize, center: f64, scale: f64, shift: f64, weight: usize, bias: usize,
): void {
  const start = next;
  const pivot = pivotFrom(load<f64>(next));
  const m = pinF64(center, 0), a = pinF64(scale, 1), b = pinF64(shift, 2), p = pinF64(pivot, 3);
  let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0;
  let q0 = s0, q1 = s0, q2 = s0, q3 = s0;
  for (const stop = x + ((n & ~7) << 3); x < stop; x += 64, y += 64, next += 64) {
    const c = f64x2.sub(v128.load(next), p);
    const d = f64x2.sub(v128.load(next, 16), p);
    const e = f64x2.sub(v128.load(next, 32), p);
    const f = f64x2.sub(v128.load(next, 48), p);
    s0 = f64x2.add(s0, c);
    s1 = f64x2.add(s1, d);
    s2 = f64x2.add(s2, e);
    s3 = f64x2.add(s3, f);
    q0 = f64x2.add(q0, f64x2.mul(c, c));
    q1 = f64x2.add(q1, f64x2.mul(d, d));
    q2 = f64x2.add(q2, f64x2.mul(e, e));
    q3 = f64x2.add(q3, f64x2.mul(f, f));
    if (sizeof<AFFINE>() == sizeof<Cells>()) {
      applyEightCells<f64>(x, y, m, a, weight, bias);
      weight += 64;
      bias += 64;
    } else if (sizeof<AFFINE>() == sizeof<Plain>()) applyEightPlain<f64>(x, y, m, a);
    else applyEight<f64>(x, y, m, a, b);
  }
  const tail = n & 7;
  if (tail) {
    if (sizeof<AFFINE>() == sizeof<Cells>()) applyCells<f64>(x, y, tail, center, scale, weight, bias);
    else applyRun<f64>(x, y, tail, center, scale, shift);
  }
  setSums(sumLanes(f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3))), sumLanes(f64x2.add(f64x2.add(q0, q1), f64x2.add(q2, q3))));
  addTailF64(next, tail, pivot);
  finishF64(start, n, pivot);
}

export function fuseF64Plain(x: usize, y: usize, next: usize, n: usize, center: f64, scale: f64): void {
  fuseExact<Plain>(x, y, next, n, center, scale, 0, 0, 0);
}

export function fuseF64Run(x: usize, y: usize, next: usize, n: usize, center: f64, scale: f64, shift: f64): void {
  fuseExact<Shifted>(x, y, next, n, center, scale, shift, 0, 0);
}

export function fuseF64Cells(
  x: usize, y: usize, next: usize, n: usize, center: f64, rstd: f64, weight: usize, bias: usize,
): void {
  fuseExact<Cells>(x, y, next, n, center, rstd, 0, weight, bias);
}
