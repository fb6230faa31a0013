// Applying statistics to float32 cells. All arithmetic is float64: the one rounding to float32 is the result's, so
// y is within half an ulp of the true result for the mean and deviation used, with any weight and bias.
//
// Each function has the fused form of normalize.ts beside it; both write the same operations, so the same bits.
import { SEGMENT } from "./constants";
import { pinF64 } from "./lanes";

const ROW: usize = 24; // bytes of a table row: mean, scale, shift as float64

@inline
function applied(cells: v128, mean: v128, scale: v128, shift: v128): v128 {
  const z = f64x2.mul(f64x2.sub(f64x2.promote_low_f32x4(cells), mean), scale);
  return f32x4.demote_f64x2_zero(f64x2.add(z, shift));
}

@inline
function appliedPlain(cells: v128, mean: v128, scale: v128): v128 {
  return f32x4.demote_f64x2_zero(f64x2.mul(f64x2.sub(f64x2.promote_low_f32x4(cells), mean), scale));
}

@inline
function appliedCells(cells: v128, mean: v128, rstd: v128, weight: v128, bias: v128): v128 {
  const z = f64x2.mul(f64x2.sub(f64x2.promote_low_f32x4(cells), mean), rstd);
  return f32x4.demote_f64x2_zero(f64x2.add(f64x2.mul(z, weight), bias));
}

/** y = (x - mean) * scale + shift of 8 cells. Literal offsets: computed ones cost an instruction for each access. */
@inline
export function applyEight(x: usize, y: usize, mean: v128, scale: v128, shift: v128): void {
  v128.store64_lane(y, applied(v128.load64_zero(x), mean, scale, shift), 0);
  v128.store64_lane(y, applied(v128.load64_zero(x, 8), mean, scale, shift), 0, 8);
  v128.store64_lane(y, applied(v128.load64_zero(x, 16), mean, scale, shift), 0, 16);
  v128.store64_lane(y, applied(v128.load64_zero(x, 24), mean, scale, shift), 0, 24);
}

/** y = (x - mean) * scale of 8 cells. */
@inline
export function applyEightPlain(x: usize, y: usize, mean: v128, scale: v128): void {
  v128.store64_lane(y, appliedPlain(v128.load64_zero(x), mean, scale), 0);
  v128.store64_lane(y, appliedPlain(v128.load64_zero(x, 8), mean, scale), 0, 8);
  v128.store64_lane(y, appliedPlain(v128.load64_zero(x, 16), mean, scale), 0, 16);
  v128.store64_lane(y, appliedPlain(v128.load64_zero(x, 24), mean, scale), 0, 24);
}

/** y = (x - mean) * rstd * weight[i] + bias[i] of 8 cells. */
@inline
export function applyEightCells(x: usize, y: usize, mean: v128, rstd: v128, weight: usize, bias: usize): void {
  v128.store64_lane(y, appliedCells(v128.load64_zero(x), mean, rstd, v128.load(weight), v128.load(bias)), 0);
  v128.store64_lane(y, appliedCells(v128.load64_zero(x, 8), mean, rstd, v128.load(weight, 16), v128.load(bias, 16)), 0, 8);
  v128.store64_lane(y, appliedCells(v128.load64_zero(x, 16), mean, rstd, v128.load(weight, 32), v128.load(bias, 32)), 0, 16);
  v128.store64_lane(y, appliedCells(v128.load64_zero(x, 24), mean, rstd, v128.load(weight, 48), v128.load(bias, 48)), 0, 24);
}

/**
 * y = (x - mean) * scale + shift over n cells. A shift of 0 is not added, here and in normalize.ts: it would only turn -0 into 0.
 * One read, one write; y may be x. Any n, 4-byte aligned.
 */
export function applyF32Run(x: usize, y: usize, n: usize, mean: f64, scale: f64, shift: f64): void {
  if (shift == 0) {
    applyF32Plain(x, y, n, mean, scale);
    return;
  }
  const end = x + (n << 2);
  if (n >= 8) {
    const m = pinF64(mean, 0), a = pinF64(scale, 1), b = pinF64(shift, 2);
    for (const stop = x + ((n & ~7) << 2); x < stop; x += 32, y += 32) applyEight(x, y, m, a, b);
  }
  for (; x < end; x += 4, y += 4) store<f32>(y, <f32>((<f64>load<f32>(x) - mean) * scale + shift));
}

/** y = (x - mean) * scale over n cells. As applyF32Run. */
export function applyF32Plain(x: usize, y: usize, n: usize, mean: f64, scale: f64): void {
  const end = x + (n << 2);
  if (n >= 8) {
    const m = pinF64(mean, 0), a = pinF64(scale, 1);
    for (const stop = x + ((n & ~7) << 2); x < stop; x += 32, y += 32) applyEightPlain(x, y, m, a);
  }
  for (; x < end; x += 4, y += 4) store<f32>(y, <f32>((<f64>load<f32>(x) - mean) * scale));
}

/** y = (x - mean) * rstd * weight[i] + bias[i] over n cells; weight and bias are float64. One read, one write; y may be x. */
export function applyF32Cells(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: usize, bias: usize): void {
  const end = x + (n << 2);
  if (n >= 8) {
    const m = pinF64(mean, 0), a = pinF64(rstd, 1);
    for (const stop = x + ((n & ~7) << 2); x < stop; x += 32, y += 32, weight += 64, bias += 64) {
      applyEightCells(x, y, m, a, weight, bias);
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
      const cells = v128.load64_zero(from + (c << 2));
      const y = applied(cells, v128.load(table + at), v128.load(scales + at), v128.load(shifts + at));
      v128.store64_lane(to + (c << 2), y, 0);
    }
    if (even < width) {
      const at = even << 3, cell = even << 2;
      const d = <f64>load<f32>(from + cell) - load<f64>(table + at);
      store<f32>(to + cell, <f32>(d * load<f64>(scales + at) + load<f64>(shifts + at)));
    }
  }
}
