// Phase `normalize`: moments and apply of sets of consecutive cells, each set read from memory once.
//
// A core hides the latency of memory only behind work that is close by. So the moments of set s + 1 are summed in the loop
// that applies set s: loads that miss (s + 1) and stores that miss (s) overlap, and s itself is read from the cache.
import {
  applyCells, applyEight, applyEightCells, applyEightLine, applyEightPlain, applyF32Cells, applyF32Run, applyRun, isLine,
} from "./apply";
import { BFLOAT16, FLOAT16, finished, inputAt, loaded, outputAt, staged, stored, target } from "./cells";
import { BLOCK, BLOCKS_FROM, SEGMENT } from "./constants";
import { normalizeHalves, takesHalves } from "./halves";
import { bytesOf, pinF32, pinF64, sumLanes, widen } from "./lanes";
import { endMerge, mergeSegment, momentsSet, startMerge } from "./merge";
import { addTailF64, finishBlocks, finishF64, m2, mean, momentsSegment, pivotF32, pivotFrom, setCentred, setSums, squaresOfFour, sumOfFour } from "./moments";

// What fuse<AFFINE> applies: y = (x - mean) * scale, that + shift, the same as x * scale + offset, or weight and bias of each cell with
// `scale` as rstd.
type Plain = u8;
type Shifted = u16;
type Cells = u32;
type Line = u64;

/** One segment applied while the segment of the same length at `next` is summed by blocks, as momentsF32Segment does it. */
@inline
function fuse<AFFINE>(
  x: usize, y: usize, next: usize, n: usize, center: f64, scale: f64, shift: f64, weight: usize, bias: usize,
): void {
  const start = next;
  const pivot = pivotF32(next);
  const offset = sizeof<AFFINE>() == sizeof<Line>() ? shift - center * scale : shift;
  const m = pinF64(center, 0), a = pinF64(scale, 1), b = pinF64(offset, 2), p = pinF32(pivot, 3);
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
      if (sizeof<AFFINE>() == sizeof<Cells>()) {
        applyEightCells<f32>(x, y, m, a, weight, bias);
        applyEightCells<f32>(x + 32, y + 32, m, a, weight + 64, bias + 64);
        weight += 128;
        bias += 128;
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
    if (sizeof<AFFINE>() == sizeof<Cells>()) applyF32Cells(x, y, tail, center, scale, weight, bias);
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

/** fuse with a weight and bias per cell. As above. */
export function fuseF32Cells(
  x: usize, y: usize, next: usize, n: usize, center: f64, rstd: f64, weight: usize, bias: usize,
): void {
  fuse<Cells>(x, y, next, n, center, rstd, 0, weight, bias);
}

/** Cells [start, start + n) of a set that are at `cells`, applied to `results`: with a weight a run of `run` cells, or none. */
@inline
function applyPart<A>(
  cells: usize, results: usize, start: usize, n: usize, run: usize, center: f64, rstd: f64, weight: usize, bias: usize,
): void {
  if (weight == 0) applyRun<A>(cells, results, n, center, rstd, 0);
  else if (run == 1) applyCells<A>(cells, results, n, center, rstd, weight + (start << 3), bias + (start << 3));
  else {
    for (let done: usize = 0; done < n; ) {
      const entry = (start + done) / run, cut = min(n, (entry + 1) * run - start);
      const at = bytesOf<A>(done);
      const scale = rstd * load<f64>(weight + (entry << 3));
      applyRun<A>(cells + at, results + at, cut - done, center, scale, load<f64>(bias + (entry << 3)));
      done = cut;
    }
  }
}

/** Any dtype: moments, then apply, a set after the other; of a staged set that fits the stage the conversion serves both. */
@inline
function normalizeSets<A>(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, centred: bool,
): void {
  setCentred(centred);
  const entries = length / run;
  const whole = length <= SEGMENT;
  let cells: usize = 0;
  for (let set = first, end = first + count; set < end; set++) {
    if (whole) {
      cells = loaded(inputAt(x, set * length), length);
      momentsSegment<A>(cells, length);
    } else momentsSet<A>(inputAt(x, set * length), length);
    if (moments) {
      store<f64>(moments + (set << 4), mean);
      store<f64>(moments + (set << 4), m2, 8);
    }
    const center = mean, rstd = 1 / Math.sqrt(m2 / <f64>length + eps);
    const affine = ((set % groups) * entries) << 3;
    const weights = weight ? weight + affine : 0, biases = bias + affine;
    for (let start: usize = 0; start < length; start += SEGMENT) {
      const n = min(SEGMENT, length - start), at = set * length + start, to = outputAt(y, at);
      if (!whole) cells = loaded(inputAt(x, at), n);
      const results = target(to, cells);
      applyPart<A>(cells, results, start, n, run, center, rstd, weights, biases);
      finished(results, to, n);
    }
  }
}

/** As fuse, of float64 cells, whose sums are exact ones. n <= SEGMENT. */
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

/** As normalizeF32Sets, of float64 cells. */
export function normalizeF64Sets(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, centred: bool,
): void {
  const perCell = weight != 0 && run == 1 && length > 1;
  const perSet = weight == 0 || run == length;
  if (length < 8 || length > SEGMENT || !(perCell || perSet)) {
    normalizeSets<f64>(x, y, first, count, length, groups, run, weight, bias, eps, moments, centred);
    return;
  }
  setCentred(centred);
  const bytes = length << 3, entries = length / run;
  x += first * bytes;
  y += first * bytes;
  momentsSegment<f64>(x, length);
  for (let set = first, end = first + count; set < end; set++, x += bytes, y += bytes) {
    if (moments) {
      store<f64>(moments + (set << 4), mean);
      store<f64>(moments + (set << 4), m2, 8);
    }
    const center = mean, rstd = 1 / Math.sqrt(m2 / <f64>length + eps);
    const affine = weight + (((set % groups) * entries) << 3), shifts = bias + (affine - weight);
    const scale = perSet && weight ? rstd * load<f64>(affine) : rstd;
    const shift = perSet && weight ? load<f64>(shifts) : 0;
    if (set + 1 == end) {
      if (perCell) applyCells<f64>(x, y, length, center, rstd, affine, shifts);
      else applyRun<f64>(x, y, length, center, scale, shift);
    } else if (perCell) fuseF64Cells(x, y, x + bytes, length, center, rstd, affine, shifts);
    else if (shift == 0) fuseF64Plain(x, y, x + bytes, length, center, scale);
    else fuseF64Run(x, y, x + bytes, length, center, scale, shift);
  }
}

/**
 * Sets [first, first + count) of `length` consecutive cells. weight and bias are float64, or both 0 for none; they have
 * one entry a run of `run` cells, and set s takes those of group s % groups. Where `moments` is not 0,
 * {mean, M2} of set s go to moments + 16 * s. Not centred, the mean counts as 0. One read, one write; y may be x. Any length >= 1, 4-byte aligned.
 */
export function normalizeF32Sets(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, centred: bool,
): void {
  if (stored == FLOAT16 || stored == BFLOAT16) {
    if (takesHalves(length, groups, run, weight)) {
      normalizeHalves(x, y, first, count, length, groups, run, weight, bias, eps, moments, centred);
      return;
    }
  }
  if (staged()) {
    normalizeSets<f32>(x, y, first, count, length, groups, run, weight, bias, eps, moments, centred);
    return;
  }
  setCentred(centred);
  const n = <f64>length;
  const bytes = length << 2;
  const entries = length / run;
  const perCell = weight != 0 && run == 1 && length > 1;
  const perSet = weight == 0 || run == length;
  const fused = length >= BLOCKS_FROM && (perCell || perSet);
  x += first * bytes;
  y += first * bytes;
  momentsSet<f32>(x, length);
  for (let set = first, end = first + count; set < end; set++, x += bytes, y += bytes) {
    if (moments) {
      store<f64>(moments + (set << 4), mean);
      store<f64>(moments + (set << 4), m2, 8);
    }
    const center = mean;
    const rstd = 1 / Math.sqrt(m2 / n + eps);
    const affine = weight + (((set % groups) * entries) << 3);
    const shifts = bias + (affine - weight);
    const scale = perSet && weight ? rstd * load<f64>(affine) : rstd;
    const shift = perSet && weight ? load<f64>(shifts) : 0;
    if (fused && set + 1 < end) {
      startMerge();
      for (let done: usize = 0; done < length; done += SEGMENT) {
        const cells = min(SEGMENT, length - done), at = done << 2;
        if (cells < BLOCKS_FROM) {
          // Only a last segment is so short: its moments are exact ones.
          if (perCell) applyF32Cells(x + at, y + at, cells, center, rstd, affine + (done << 3), shifts + (done << 3));
          else applyF32Run(x + at, y + at, cells, center, scale, shift);
          momentsSet<f32>(x + bytes + at, cells);
        } else if (perCell) {
          fuseF32Cells(x + at, y + at, x + bytes + at, cells, center, rstd, affine + (done << 3), shifts + (done << 3));
        } else if (shift == 0) {
          fuseF32Plain(x + at, y + at, x + bytes + at, cells, center, scale);
        } else if (isLine(center, scale)) {
          fuseF32Line(x + at, y + at, x + bytes + at, cells, center, scale, shift);
        } else {
          fuseF32Run(x + at, y + at, x + bytes + at, cells, center, scale, shift);
        }
        mergeSegment(<f64>cells);
      }
      endMerge();
      continue;
    }
    if (perCell) applyF32Cells(x, y, length, center, rstd, affine, shifts);
    else if (perSet) applyF32Run(x, y, length, center, scale, shift);
    else {
      for (let i: usize = 0; i < entries; i++) {
        const at = (i * run) << 2;
        applyF32Run(x + at, y + at, run, center, rstd * load<f64>(affine + (i << 3)), load<f64>(shifts + (i << 3)));
      }
    }
    if (set + 1 < end) momentsSet<f32>(x + bytes, length);
  }
}

/** y = 2x: the least that any normalisation must move. The bench's ruler. One read, one write; y may be x. n a multiple of 16. */
export function doubleF32Run(x: usize, y: usize, n: usize): void {
  const two = f32x4.splat(2);
  for (const end = x + (n << 2); x < end; x += 64, y += 64) {
    v128.store(y, f32x4.mul(v128.load(x), two));
    v128.store(y, f32x4.mul(v128.load(x, 16), two), 16);
    v128.store(y, f32x4.mul(v128.load(x, 32), two), 32);
    v128.store(y, f32x4.mul(v128.load(x, 48), two), 48);
  }
}
