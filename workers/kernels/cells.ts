// How cells are stored: the one seam between the arithmetic, which knows float32 and float64, and every other dtype.
//
// float32 and float64 cells are computed on where they lie. float16, bfloat16 and uint8 are converted: a segment at most
// to float32 in this thread's stage, where it is computed on, and back (uint8 gives float32 results, which need no way back).
// The stage is as large as two segments, so it stays in a core's cache, and no copy of the tensor is ever made.
import { BFLOAT16, FLOAT16, FLOAT32, FLOAT64, SEGMENT, UINT8 } from "./constants";
import { pinU32 } from "./lanes";

export let stored: i32 = 0;
let stage: usize = 0;
/** log2 of the bytes of an input's and of a result's cell. */
let inputShift: usize = 2;
let outputShift: usize = 2;

/** What the next kernels' tensors hold. `at` is the address of STAGE_BYTES of this thread's own; float32 and float64 need none. */
export function setCells(dtype: i32, at: usize): void {
  stored = dtype;
  stage = at;
  inputShift = dtype == FLOAT64 ? 3 : dtype == FLOAT32 ? 2 : dtype == UINT8 ? 0 : 1;
  outputShift = dtype == UINT8 ? 2 : inputShift;
}

/** Whether cells are float16 or bfloat16: some loops of halves.ts compute on them without a stage. */
@inline
export function isHalf(): bool {
  return stored == FLOAT16 || stored == BFLOAT16;
}

/** The address of cell `index` of an input at x. */
@inline
export function inputAt(x: usize, index: usize): usize {
  return x + (index << inputShift);
}

/** The address of cell `index` of a result at y. */
@inline
export function outputAt(y: usize, index: usize): usize {
  return y + (index << outputShift);
}

/** Whether cells have to be converted before they can be computed on. */
@inline
export function converted(): bool {
  return stored >= FLOAT16;
}

/** n <= SEGMENT cells of an input at x, ready to be computed on: x itself, or the stage. */
@inline
export function loaded(x: usize, n: usize): usize {
  return stored < FLOAT16 ? x : toStage(x, stage, n);
}

/** The address of the stage's second half. */
@inline
export function beside(): usize {
  return stage + (SEGMENT << 2);
}

/** As `loaded`, of a second input beside the first. */
@inline
export function loadedBeside(g: usize, n: usize): usize {
  return stored < FLOAT16 ? g : toStage(g, beside(), n);
}

/** `rows` rows of `width` cells, `stride` cells apart, at x to `to`, where they lie side by side as float32. */
function rowsToStage(x: usize, to: usize, rows: usize, width: usize, stride: usize): usize {
  if (width == stride) return toStage(x, to, rows * width);
  for (let row: usize = 0; row < rows; row++) toStage(inputAt(x, row * stride), to + ((row * width) << 2), width);
  return to;
}

/** `rows` rows of `width` cells, `stride` cells apart, `rows` * `width` <= SEGMENT, as rows that lie side by side in the stage. */
export function loadedRows(x: usize, rows: usize, width: usize, stride: usize): usize {
  return rowsToStage(x, stage, rows, width, stride);
}

/** As `loadedRows`, of a second input beside the first. */
export function loadedRowsBeside(g: usize, rows: usize, width: usize, stride: usize): usize {
  return rowsToStage(g, beside(), rows, width, stride);
}

/** The address of the stage's part for columns. */
@inline
export function columnsRoom(): usize {
  return stage + (SEGMENT << 3);
}

/** Where the results for cells that `loaded` gave are to be written: y itself, or over them in the stage. */
@inline
export function target(y: usize, cells: usize): usize {
  return stored == FLOAT16 || stored == BFLOAT16 ? cells : y;
}

/** Takes n results from `cells`, which `target` gave, to y. */
@inline
export function finished(cells: usize, y: usize, n: usize): void {
  if (stored == FLOAT16) toF16(cells, y, n);
  else if (stored == BFLOAT16) toBF16(cells, y, n);
}

function toStage(x: usize, to: usize, n: usize): usize {
  if (stored == FLOAT16) convert<u16>(x, to, n);
  else if (stored == BFLOAT16) convert<i16>(x, to, n);
  else convert<u8>(x, to, n);
  return to;
}

// In this file a type parameter H says how a cell is stored: u16 is float16, i16 is bfloat16, u8 is uint8. The masks of a loop are pinned.

/** Four cells as float32 lanes. */
@inline
function widened<H>(x: usize, mask: v128, factor: v128, exponent: v128, infinity: v128): v128 {
  if (sizeof<H>() == 1) {
    const bytes = v128.load32_zero(x);
    return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(bytes)));
  }
  if (isSigned<H>()) return i32x4.shl(v128.load_ext<u16>(x), 16);
  return widenedHalf(v128.load_ext<i16>(x), mask, factor, exponent, infinity);
}

/** Four float16 (sign-extended to 32 bits) as float32. Its 5 bits of exponent end where float32's 8 do: times 2^112 they mean the same. */
@inline
function widenedHalf(h: v128, mask: v128, factor: v128, exponent: v128, infinity: v128): v128 {
  const bits = v128.and(i32x4.shl(h, 13), mask);
  const value = f32x4.mul(bits, factor); // float16's subnormals are exact too
  // Exponent 31 is Infinity or NaN, and must become exponent 255.
  const special = i32x4.eq(v128.and(bits, exponent), exponent);
  return v128.or(value, v128.and(special, infinity));
}

const WIDE_MASK: u32 = 0x8fffe000; // sign, and where float16's exponent and digits come to lie
const TWO_112: u32 = 0x77800000;
const HALF_EXPONENT: u32 = 0x0f800000;
const INFINITY: u32 = 0x7f800000;

/** n cells at x as float32 at `to`. One read; the write stays in the cache. */
@inline
function convert<H>(x: usize, to: usize, n: usize): void {
  const mask = pinU32(WIDE_MASK, 0), factor = pinU32(TWO_112, 1);
  const exponent = pinU32(HALF_EXPONENT, 2), infinity = pinU32(INFINITY, 3);
  const end = to + (n << 2);
  for (const stop = to + ((n & ~7) << 2); to < stop; to += 32, x += sizeof<H>() << 3) {
    v128.store(to, widened<H>(x, mask, factor, exponent, infinity));
    v128.store(to, widened<H>(x + (sizeof<H>() << 2), mask, factor, exponent, infinity), 16);
  }
  for (; to < end; to += 4, x += sizeof<H>()) {
    // One cell and no more is read: what lies beyond a tensor is not ours.
    if (sizeof<H>() == 1) store<f32>(to, <f32>load<u8>(x));
    else if (isSigned<H>()) store<u32>(to, <u32>load<u16>(x) << 16);
    else {
      const cell = i32x4.splat(<i32>load<i16>(x));
      store<f32>(to, f32x4.extract_lane(widenedHalf(cell, mask, factor, exponent, infinity), 0));
    }
  }
}

/** float32 lanes as bfloat16 in the low 16 bits of each, to the nearest, ties to even. A NaN stays one. */
@inline
function narrowedB(v: v128, one: v128, half: v128, nan: v128): v128 {
  const odd = v128.and(i32x4.shr_u(v, 16), one);
  const rounded = i32x4.shr_u(i32x4.add(v, i32x4.add(odd, half)), 16);
  return v128.bitselect(rounded, nan, f32x4.eq(v, v));
}

/**
 * float32 lanes as float16 in the low 16 bits of each, to the nearest, ties to even (as M. Dukhan's FP16 does it): to four times the value a
 * power of 2 is added of which the last bit is the result's, so that float32's own rounding is float16's, subnormals too. From 65520 on
 * Infinity: the first product overflows. A NaN stays one.
 */
@inline
function narrowedF(
  v: v128, magnitude: v128, up: v128, down: v128, infinity: v128, least: v128, bias: v128, exponent: v128, digits: v128, nan: v128,
): v128 {
  const size = v128.and(v, magnitude);
  const base = f32x4.mul(f32x4.mul(size, up), down);
  const power = i32x4.add(i32x4.max_s(v128.and(size, infinity), least), bias);
  const bits = f32x4.add(power, base);
  const result = i32x4.add(v128.and(i32x4.shr_u(bits, 13), exponent), v128.and(bits, digits));
  const sign = i32x4.shl(i32x4.shr_u(v, 31), 15);
  return v128.or(v128.bitselect(result, nan, f32x4.eq(v, v)), sign);
}

/** n float32 at `from` as float16 at y. The read comes from the cache; one write. */
function toF16(from: usize, y: usize, n: usize): void {
  const magnitude = pinU32(0x7fffffff, 0), up = pinU32(TWO_112, 1), down = pinU32(0x08800000, 2); // 2^-110
  const infinity = pinU32(INFINITY, 3), least = pinU32(0x38800000, 4), bias = pinU32(0x07800000, 5);
  const exponent = pinU32(0x7c00, 6), digits = pinU32(0x0fff, 7), nan = pinU32(0x7e00, 8);
  const end = from + (n << 2);
  for (const stop = from + ((n & ~7) << 2); from < stop; from += 32, y += 16) {
    const low = narrowedF(v128.load(from), magnitude, up, down, infinity, least, bias, exponent, digits, nan);
    const high = narrowedF(v128.load(from, 16), magnitude, up, down, infinity, least, bias, exponent, digits, nan);
    v128.store(y, i16x8.narrow_i32x4_u(low, high));
  }
  for (; from < end; from += 4, y += 2) {
    const cell = narrowedF(v128.load32_splat(from), magnitude, up, down, infinity, least, bias, exponent, digits, nan);
    store<u16>(y, <u16>i32x4.extract_lane(cell, 0));
  }
}

/** n float32 at `from` as bfloat16 at y. The read comes from the cache; one write. */
function toBF16(from: usize, y: usize, n: usize): void {
  const one = pinU32(1, 0), half = pinU32(0x7fff, 1), nan = pinU32(0x7fc0, 2);
  const end = from + (n << 2);
  for (const stop = from + ((n & ~7) << 2); from < stop; from += 32, y += 16) {
    const low = narrowedB(v128.load(from), one, half, nan);
    v128.store(y, i16x8.narrow_i32x4_u(low, narrowedB(v128.load(from, 16), one, half, nan)));
  }
  for (; from < end; from += 4, y += 2) {
    store<u16>(y, <u16>i32x4.extract_lane(narrowedB(v128.load32_splat(from), one, half, nan), 0));
  }
}
