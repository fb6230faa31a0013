// Phase `normalize` for float16 and bfloat16: the same moments as of the cells widened to float32, summed while they are
// widened, and applied in float32, whose 24 bits leave the 11 or 8 of the result half an ulp and a little. Rows for which that is
// not safe (NaN, Infinity, scales near the ends of float32) go through the stage, as every other phase of halves does.
//
// float16 is computed on as float32 of the same bits, 13 further left: that is the number times 2^-112. Linear arithmetic does
// not mind, subnormals of the one are subnormals of the other, and only squares need the factor back.
import { applyCells, applyRun } from "./apply";
import { beside, finished, inputAt, loaded, outputAt, stored, target } from "./cells";
import { BLOCK, BLOCKS_FROM, FLOAT16, SEGMENT } from "./constants";
import { pinF32, pinU32, sumLanes, widen } from "./lanes";
import {
  finish, m2, mean, momentsF32Segment, pivotF32, setSums, squaresOfFour, sumOfFour, sumsF32Exact, squares, wellConditioned,
} from "./segment-moments";
import { isModerate, rstdOf, setMeasure, settle } from "./statistics";

// In this file a type parameter H says how a cell is stored: u16 is float16, i16 is bfloat16.

const TWO_112: u32 = 0x77800000;
const TWO_MINUS_112: f64 = 1.925929944387236e-34;

/** Sign, and where float16's exponent and digits come to lie. */
const WIDE_MASK: u32 = 0x8fffe000;

/** The four cells at x as float32: bfloat16 itself, float16 times 2^-112. `mask` is WIDE_MASK. */
@inline
function four<H>(x: usize, mask: v128): v128 {
  if (isSigned<H>()) return i32x4.shl(v128.load_ext<u16>(x), 16);
  return v128.and(i32x4.shl(v128.load_ext<i16>(x), 13), mask);
}

/** What `four` gives, as the numbers themselves. */
@inline
function unscaled<H>(cells: v128, factor: v128): v128 {
  return isSigned<H>() ? cells : f32x4.mul(cells, factor);
}

// Rounding to the nearest, ties to even: half an ulp less one bit is added, and one more where the last digit that stays is odd.

/** Four results as bfloat16 in the low half of each lane. None is NaN. */
@inline
function roundedB(v: v128, one: v128, half: v128): v128 {
  return i32x4.shr_u(i32x4.add(v, i32x4.add(v128.and(i32x4.shr_u(v, 16), one), half)), 16);
}

/** Four results times 2^-112 as float16 in the low half of each lane, without sign. None is NaN; from 65520 on Infinity. */
@inline
function roundedF(v: v128, magnitude: v128, infinity: v128, one: v128, half: v128): v128 {
  const bits = i32x4.min_s(v128.and(v, magnitude), infinity);
  return i32x4.shr_u(i32x4.add(bits, i32x4.add(v128.and(i32x4.shr_u(bits, 13), one), half)), 13);
}

// What a function of a type parameter C applies: one scale and shift, or a float32 weight and bias of each cell too.
type One = u8;
type Each = u16;

@inline
function packed<H>(low: v128, high: v128, one: v128, half: v128, magnitude: v128, infinity: v128, sign: v128): v128 {
  if (isSigned<H>()) return i16x8.narrow_i32x4_u(roundedB(low, one, half), roundedB(high, one, half));
  const numbers = i16x8.narrow_i32x4_u(
    roundedF(low, magnitude, infinity, one, half), roundedF(high, magnitude, infinity, one, half),
  );
  return v128.or(numbers, v128.and(i16x8.narrow_i32x4_s(i32x4.shr_s(low, 16), i32x4.shr_s(high, 16)), sign));
}

/** Eight cells of `applied`. */
@inline
function applyEight<H, C>(
  x: usize, y: usize, m: v128, a: v128, b: v128, weight: usize, bias: usize,
  mask: v128, one: v128, half: v128, magnitude: v128, infinity: v128, sign: v128,
): void {
  let low = f32x4.add(f32x4.mul(f32x4.sub(four<H>(x, mask), m), a), b);
  let high = f32x4.add(f32x4.mul(f32x4.sub(four<H>(x + 8, mask), m), a), b);
  if (sizeof<C>() == sizeof<Each>()) {
    low = f32x4.add(f32x4.mul(low, v128.load(weight)), v128.load(bias));
    high = f32x4.add(f32x4.mul(high, v128.load(weight, 16)), v128.load(bias, 16));
  }
  v128.store(y, packed<H>(low, high, one, half, magnitude, infinity, sign));
}

/** y = ((x - high) - low) * scale + shift over n cells, a multiple of 8; with Each that times weight[i] plus bias[i]. */
@inline
function applied<H, C>(x: usize, y: usize, n: usize, center: f64, scale: f64, shift: f64, weight: usize, bias: usize): void {
  const unit: f64 = isSigned<H>() ? 1 : TWO_MINUS_112;
  // What of the center float32 has no room for is in the shift: also what a subnormal one, of small float16, is rounded by.
  const nearest = <f32>(center * unit);
  const m = pinF32(nearest, 0), a = pinF32(<f32>scale, 1);
  const b = pinF32(<f32>((shift - (center - <f64>nearest / unit) * scale) * unit), 2);
  const mask = pinU32(WIDE_MASK, 3), one = pinU32(1, 4), half = pinU32(isSigned<H>() ? 0x7fff : 0x0fff, 5);
  const magnitude = pinU32(0x7fffffff, 6), infinity = pinU32(0x0f800000, 7), sign = pinU32(0x80008000, 8);
  for (const end = x + (n << 1); x < end; x += 16, y += 16) {
    applyEight<H, C>(x, y, m, a, b, weight, bias, mask, one, half, magnitude, infinity, sign);
    if (sizeof<C>() == sizeof<Each>()) {
      weight += 32;
      bias += 32;
    }
  }
}

export function applyF16(x: usize, y: usize, n: usize, center: f64, scale: f64, shift: f64): void {
  applied<u16, One>(x, y, n, center, scale, shift, 0, 0);
}

export function applyBF16(x: usize, y: usize, n: usize, center: f64, scale: f64, shift: f64): void {
  applied<i16, One>(x, y, n, center, scale, shift, 0, 0);
}

export function applyF16Cells(x: usize, y: usize, n: usize, center: f64, rstd: f64, weight: usize, bias: usize): void {
  applied<u16, Each>(x, y, n, center, rstd, 0, weight, bias);
}

export function applyBF16Cells(x: usize, y: usize, n: usize, center: f64, rstd: f64, weight: usize, bias: usize): void {
  applied<i16, Each>(x, y, n, center, rstd, 0, weight, bias);
}

/** The whole blocks of n cells summed, as sumsF32Blocks sums them. */
@inline
function sums<H>(x: usize, n: usize, pivot: f32): void {
  const p = pinF32(pivot, 0), mask = pinU32(WIDE_MASK, 1), factor = pinU32(TWO_112, 2);
  let total = f64x2.splat(0), totalSquares = f64x2.splat(0);
  for (const end = x + ((n & ~(BLOCK - 1)) << 1); x < end; ) {
    let s = f32x4.splat(0), q = s;
    for (const stop = x + (BLOCK << 1); x < stop; x += 32) {
      const c = f32x4.sub(unscaled<H>(four<H>(x, mask), factor), p);
      const d = f32x4.sub(unscaled<H>(four<H>(x + 8, mask), factor), p);
      const e = f32x4.sub(unscaled<H>(four<H>(x + 16, mask), factor), p);
      const f = f32x4.sub(unscaled<H>(four<H>(x + 24, mask), factor), p);
      s = f32x4.add(s, sumOfFour(c, d, e, f));
      q = f32x4.add(q, squaresOfFour(c, d, e, f));
    }
    total = f64x2.add(total, widen(s));
    totalSquares = f64x2.add(totalSquares, widen(q));
  }
  setSums(sumLanes(total), sumLanes(totalSquares));
}

export function sumsF16(x: usize, n: usize, pivot: f32): void {
  sums<u16>(x, n, pivot);
}

export function sumsBF16(x: usize, n: usize, pivot: f32): void {
  sums<i16>(x, n, pivot);
}

/** Whether some of n float16 cells are Infinity or NaN. */
function anySpecialF16(x: usize, n: usize): bool {
  const positive = pinU32(0x7fff7fff, 11);
  let largest = i16x8.splat(0);
  const end = x + (n << 1);
  for (const stop = x + ((n & ~7) << 1); x < stop; x += 16) largest = i16x8.max_u(largest, v128.and(v128.load(x), positive));
  for (; x < end; x += 2) largest = i16x8.max_u(largest, v128.and(v128.load16_splat(x), positive));
  return v128.any_true(i16x8.ge_u(largest, i16x8.splat(0x7c00)));
}

/**
 * Ends a segment whose blocks are summed about `pivot`: moments as momentsF32Segment has them. False where a cell is not finite. As float32
 * with another exponent such a float16 is 2^16 or more: where the squares are too small for one, none has to be looked for.
 */
function finishHalves(x: usize, n: usize, pivot: f32, isF16: bool): bool {
  const tail = n & (BLOCK - 1);
  if (tail) sumsF32Exact(loaded(x + ((n - tail) << 1), tail), tail, <f64>pivot);
  const least: f64 = 65000 - Math.abs(<f64>pivot);
  const finite = isF16 ? (least > 0 && squares < least * least) || !anySpecialF16(x, n) : squares - squares == 0;
  if (finite && wellConditioned(<f64>n)) finish(<f64>n, <f64>pivot);
  else momentsF32Segment(loaded(x, n), n);
  return finite;
}

/** Moments of one segment of n >= BLOCKS_FROM cells. As finishHalves. */
function momentsByBlocks(x: usize, n: usize, isF16: bool): bool {
  const pivot = pivotF32(loaded(x, 32));
  if (isF16) sumsF16(x, n, pivot);
  else sumsBF16(x, n, pivot);
  return finishHalves(x, n, pivot, isF16);
}

/** Moments of one segment of n cells, as momentsF32Segment has them of the same cells. */
export function momentsOfHalves(x: usize, n: usize): void {
  if (n < BLOCKS_FROM) momentsF32Segment(loaded(x, n), n);
  else momentsByBlocks(x, n, stored == FLOAT16);
}

/** y = (x - center) * scale + shift over n <= SEGMENT cells, any of which may be NaN or Infinity. */
export function applyHalves(x: usize, y: usize, n: usize, center: f64, scale: f64, shift: f64): void {
  const isF16 = stored == FLOAT16;
  const whole = n & ~7;
  // A center far from float32's ends keeps differences from it from overflowing.
  // A scale of 0 may be an infinite length's, of cells of which some are infinite.
  const factors = scale != 0 && isModerate(scale) && isModerate(shift);
  const safe = factors && Math.abs(center) < 1e36 && !(isF16 && anySpecialF16(x, n));
  if (!safe || whole == 0) {
    applyConverted(x, y, n, center, scale, shift, 0, 0);
    return;
  }
  if (whole < n) applyConverted(x + (whole << 1), y + (whole << 1), n - whole, center, scale, shift, 0, 0);
  if (isF16) applyF16(x, y, whole, center, scale, shift);
  else applyBF16(x, y, whole, center, scale, shift);
}

/** Whether normalizeHalves takes sets of this kind; the others are converted. */
export function takesHalves(length: usize, groups: usize, run: usize, weight: usize): bool {
  if (length < BLOCKS_FROM || length > SEGMENT) return false;
  if (weight == 0 || run == length) return true;
  // A weight and a bias for each cell, as float32, share the half of the stage that forward phases do not need.
  return run == 1 && groups == 1 && length <= SEGMENT / 2;
}

/** normalizeF32Sets of float16 or bfloat16 cells, where takesHalves. */
export function normalizeHalves(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, momentsAt: usize, measure: i32,
): void {
  setMeasure(measure);
  const isF16 = stored == FLOAT16;
  const byCell = weight != 0 && run < length;
  const weights = beside(), biases = weights + (length << 2);
  let moderate = true;
  if (byCell) {
    for (let i: usize = 0; i < length; i++) {
      const w = <f64>load<f32>(weight + (i << 2)), b = <f64>load<f32>(bias + (i << 2));
      store<f32>(weights + (i << 2), <f32>w);
      // In float16's arithmetic every term is times 2^-112.
      store<f32>(biases + (i << 2), <f32>(isF16 ? b * TWO_MINUS_112 : b));
      moderate = moderate && isModerate(w) && isModerate(b);
    }
  }
  const whole = length & ~7;
  const step = length << 1;
  let at = inputAt(x, first * length);
  for (let set = first, end = first + count; set < end; set++, at += step) {
    const finite = momentsByBlocks(at, length, isF16);
    if (momentsAt) {
      store<f64>(momentsAt + (set << 4), mean);
      store<f64>(momentsAt + (set << 4), m2, 8);
    }
    const to = outputAt(y, set * length);
    const center = mean, rstd = rstdOf(m2, <f64>length, eps);
    const bySet = weight != 0 && !byCell;
    const scale = bySet ? rstd * load<f64>(weight + ((set % groups) << 3)) : rstd;
    const shift = bySet ? load<f64>(bias + ((set % groups) << 3)) : 0;
    if (!finite || !moderate || !isModerate(rstd) || !isModerate(scale) || !isModerate(shift)) {
      applyConverted(at, to, length, center, scale, shift, byCell ? weight : 0, bias);
      continue;
    }
    if (whole < length) {
      const rest = whole << 1, entry = whole << 2;
      applyConverted(at + rest, to + rest, length - whole, center, scale, shift, byCell ? weight + entry : 0, bias + entry);
    }
    if (byCell && isF16) applyF16Cells(at, to, whole, center, rstd, weights, biases);
    else if (byCell) applyBF16Cells(at, to, whole, center, rstd, weights, biases);
    else if (isF16) applyF16(at, to, whole, center, scale, shift);
    else applyBF16(at, to, whole, center, scale, shift);
  }
}

/** n cells in float64, by way of the stage, any of which may be NaN or Infinity. */
function applyConverted(from: usize, to: usize, n: usize, center: f64, scale: f64, shift: f64, weight: usize, bias: usize): void {
  const cells = loaded(from, n), results = target(to, cells);
  if (weight) applyCells<f32>(cells, results, n, center, scale, weight, bias);
  else applyRun<f32>(cells, results, n, center, scale, shift);
  settle<f32>(results, n);
  finished(results, to, n);
}
