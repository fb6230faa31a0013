// Applying statistics to float32 cells. All arithmetic is float64: the one rounding to float32 is the result's, so
// y is within half an ulp of the true result for the mean and deviation used, with any weight and bias.
//
// Each function has the fused form of normalize.ts beside it; both write the same operations, so the same bits.
import { loadPair, pinF64 } from "./lanes";

const SEGMENT: usize = 16384; // cells: SEGMENT_CELLS of src/protocol.ts
const ROW: usize = 24; // bytes of a table row: mean, scale, shift as float64

// @ts-ignore: decorator
@inline
export function applyPair(x: usize, y: usize, offset: usize, mean: v128, scale: v128, shift: v128): void {
  const z = f64x2.add(f64x2.mul(f64x2.sub(loadPair(x, offset), mean), scale), shift);
  v128.store64_lane(y + offset, f32x4.demote_f64x2_zero(z), 0);
}

// @ts-ignore: decorator
@inline
export function applyCellPair(
  x: usize, y: usize, offset: usize, mean: v128, rstd: v128, weight: usize, bias: usize,
): void {
  const z = f64x2.mul(f64x2.sub(loadPair(x, offset), mean), rstd);
  const v = f64x2.add(f64x2.mul(z, v128.load(weight + (offset << 1))), v128.load(bias + (offset << 1)));
  v128.store64_lane(y + offset, f32x4.demote_f64x2_zero(v), 0);
}

/** y = (x - mean) * scale + shift over n cells. One read, one write; y may be x. Any n, 4-byte aligned. */
export function applyF32Run(x: usize, y: usize, n: usize, mean: f64, scale: f64, shift: f64): void {
  const end = x + (n << 2);
  if (n >= 16) {
    const m = pinF64(mean, 0), a = pinF64(scale, 1), b = pinF64(shift, 2);
    for (const stop = x + ((n & ~15) << 2); x < stop; x += 64, y += 64) {
      applyPair(x, y, 0, m, a, b);
      applyPair(x, y, 8, m, a, b);
      applyPair(x, y, 16, m, a, b);
      applyPair(x, y, 24, m, a, b);
      applyPair(x, y, 32, m, a, b);
      applyPair(x, y, 40, m, a, b);
      applyPair(x, y, 48, m, a, b);
      applyPair(x, y, 56, m, a, b);
    }
  }
  for (; x < end; x += 4, y += 4) store<f32>(y, <f32>((<f64>load<f32>(x) - mean) * scale + shift));
}

/** y = (x - mean) * rstd * weight[i] + bias[i] over n cells; weight and bias are float64. One read, one write; y may be x. */
export function applyF32Cells(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: usize, bias: usize): void {
  const end = x + (n << 2);
  if (n >= 8) {
    const m = pinF64(mean, 0), a = pinF64(rstd, 1);
    for (const stop = x + ((n & ~7) << 2); x < stop; x += 32, y += 32, weight += 64, bias += 64) {
      applyCellPair(x, y, 0, m, a, weight, bias);
      applyCellPair(x, y, 8, m, a, weight, bias);
      applyCellPair(x, y, 16, m, a, weight, bias);
      applyCellPair(x, y, 24, m, a, weight, bias);
    }
  }
  for (; x < end; x += 4, y += 4, weight += 8, bias += 8) {
    store<f32>(y, <f32>((<f64>load<f32>(x) - mean) * rstd * load<f64>(weight) + load<f64>(bias)));
  }
}

/**
 * Phase `apply`, layout `runs`: segments [first, first + count) in memory order of runs of `length` cells;
 * run r takes row r % period of the table. One read, one write.
 */
export function applyF32Runs(
  x: usize, y: usize, first: usize, count: usize, length: usize, period: usize, table: usize,
): void {
  const perRun = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const run = unit / perRun, start = (unit % perRun) * SEGMENT;
    const at = (run * length + start) << 2, row = table + (run % period) * ROW;
    applyF32Run(x + at, y + at, min(SEGMENT, length - start), load<f64>(row), load<f64>(row, 8), load<f64>(row, 16));
  }
}

/**
 * Phase `apply`, layout `cells`: segments [first, first + count) in memory order of sets of `length` cells; set s takes row s of
 * the table as mean and rstd, and the weights of group s % groups. One read, one write.
 */
export function applyF32SetCells(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, table: usize, weight: usize, bias: usize,
): void {
  const perSet = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const set = unit / perSet, start = (unit % perSet) * SEGMENT;
    const at = (set * length + start) << 2, row = table + set * ROW;
    const affine = ((set % groups) * length + start) << 3;
    applyF32Cells(
      x + at, y + at, min(SEGMENT, length - start), load<f64>(row), load<f64>(row, 8), weight + affine, bias + affine,
    );
  }
}

/**
 * Phase `apply`, layout `columns`: rows [first, first + count) of `width` cells; column c takes table row c,
 * laid as three arrays mean[width], scale[width], shift[width] of float64. One read, one write.
 */
export function applyF32Columns(x: usize, y: usize, first: usize, count: usize, width: usize, table: usize): void {
  const scales = table + (width << 3), shifts = scales + (width << 3);
  const even = width & ~1, step = width << 2;
  for (let row = first; row < first + count; row++) {
    const from = x + row * step, to = y + row * step;
    for (let c: usize = 0; c < even; c += 2) {
      const at = c << 3;
      applyPair(from + (c << 2), to + (c << 2), 0, v128.load(table + at), v128.load(scales + at), v128.load(shifts + at));
    }
    if (even < width) {
      const at = even << 3, cell = even << 2;
      const d = <f64>load<f32>(from + cell) - load<f64>(table + at);
      store<f32>(to + cell, <f32>(d * load<f64>(scales + at) + load<f64>(shifts + at)));
    }
  }
}
