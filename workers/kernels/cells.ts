// How cells are stored: the one seam between the arithmetic, which knows float32 and float64, and every other dtype.
//
// float32 and float64 cells are computed on where they lie. float16, bfloat16 and uint8 are staged: a segment at most is converted
// to float32 in this thread's stage, computed on there, and converted back (uint8 gives float32 results, which need no way back).
// The stage is as large as two segments, so it stays in a core's cache, and no copy of the tensor is ever made.
import { SEGMENT } from "./constants";

// CELLS of src/protocol.ts.
export const FLOAT32: i32 = 0;
export const FLOAT64: i32 = 1;
export const FLOAT16: i32 = 2;
export const BFLOAT16: i32 = 3;
export const UINT8: i32 = 4;

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
export function staged(): bool {
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

/** `rows` rows of `width` cells, `stride` cells apart, `rows` * `width` <= SEGMENT, as rows that lie side by side in the stage. */
export function loadedRows(x: usize, rows: usize, width: usize, stride: usize): usize {
  for (let row: usize = 0; row < rows; row++) toStage(inputAt(x, row * stride), stage + ((row * width) << 2), width);
  return stage;
}

/** As `loadedRows`, of a second input beside the first. */
export function loadedRowsBeside(g: usize, rows: usize, width: usize, stride: usize): usize {
  for (let row: usize = 0; row < rows; row++) toStage(inputAt(g, row * stride), beside() + ((row * width) << 2), width);
  return beside();
}

/** Where the results for cells that `loaded` gave are to be written: y itself, or over them in the stage. */
@inline
export function target(y: usize, cells: usize): usize {
  return stored == FLOAT16 || stored == BFLOAT16 ? cells : y;
}

/** Takes n results from `cells`, which `target` gave, to y. */
@inline
export function finished(cells: usize, y: usize, n: usize): void {
  if (stored == FLOAT16) fromStage<u16>(cells, y, n);
  else if (stored == BFLOAT16) fromStage<i16>(cells, y, n);
}

function toStage(x: usize, to: usize, n: usize): usize {
  if (stored == FLOAT16) convert<u16>(x, to, n);
  else if (stored == BFLOAT16) convert<i16>(x, to, n);
  else convert<u8>(x, to, n);
  return to;
}

// In this file a type parameter H says how a cell is stored: u16 is float16, i16 is bfloat16, u8 is uint8.

/** Four cells as float32 lanes. */
@inline
function widened<H>(x: usize): v128 {
  if (sizeof<H>() == 1) {
    const bytes = v128.load32_zero(x);
    return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(bytes)));
  }
  if (isSigned<H>()) return i32x4.shl(v128.load_ext<u16>(x), 16);
  return widenedHalf(v128.load_ext<i16>(x));
}

/** Four float16 (sign-extended to 32 bits) as float32. Its 5 bits of exponent end where float32's 8 do: times 2^112 they mean the same. */
@inline
function widenedHalf(h: v128): v128 {
  const bits = v128.and(i32x4.shl(h, 13), i32x4.splat(0x8fffe000));
  const value = f32x4.mul(bits, i32x4.splat(0x77800000)); // 2^112; float16's subnormals are exact too
  // Exponent 31 is Infinity or NaN, and must become exponent 255.
  const special = i32x4.eq(v128.and(bits, i32x4.splat(0x0f800000)), i32x4.splat(0x0f800000));
  return v128.or(value, v128.and(special, i32x4.splat(0x7f800000)));
}

/** n cells at x as float32 at `to`. One read; the write stays in the cache. */
@inline
function convert<H>(x: usize, to: usize, n: usize): void {
  const end = to + (n << 2);
  for (const stop = to + ((n & ~7) << 2); to < stop; to += 32) {
    v128.store(to, widened<H>(x));
    v128.store(to, widened<H>(x + (sizeof<H>() << 2)), 16);
    x += sizeof<H>() << 3;
  }
  for (; to < end; to += 4, x += sizeof<H>()) store<f32>(to, widenedCell<H>(x));
}

/** One cell. Two bytes and no more are read: what lies beyond a tensor is not ours. */
@inline
function widenedCell<H>(x: usize): f32 {
  if (sizeof<H>() == 1) return <f32>load<u8>(x);
  if (isSigned<H>()) return reinterpret<f32>(<u32>load<u16>(x) << 16);
  return f32x4.extract_lane(widenedHalf(i32x4.splat(<i32>load<i16>(x))), 0);
}

/** float32 lanes as bfloat16 in the low 16 bits of each, to the nearest, ties to even. A NaN stays one. */
@inline
function narrowedB(v: v128): v128 {
  const odd = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(v, i32x4.add(odd, i32x4.splat(0x7fff))), 16);
  return v128.bitselect(rounded, i32x4.splat(0x7fc0), f32x4.eq(v, v));
}

/**
 * float32 lanes as float16 in the low 16 bits of each, to the nearest, ties to even, without branches. Adding a power of 2 that
 * is 2^13 ulp above the result's lets float32's own rounding drop the bits that float16 has no room for, subnormals too; beyond
 * 65504 the first product overflows to Infinity, which comes out as Infinity. A NaN stays one.
 */
@inline
function narrowedHalf(v: v128): v128 {
  const magnitude = v128.and(v, i32x4.splat(0x7fffffff));
  // * 2^112 * 2^-110: four times the value, or Infinity from 2^16 on.
  const base = f32x4.mul(f32x4.mul(magnitude, i32x4.splat(0x77800000)), i32x4.splat(0x08800000));
  const exponent = i32x4.max_u(v128.and(magnitude, i32x4.splat(0x7f800000)), i32x4.splat(0x38800000));
  const bits = f32x4.add(i32x4.add(exponent, i32x4.splat(0x07800000)), base);
  const result = i32x4.add(v128.and(i32x4.shr_u(bits, 13), i32x4.splat(0x7c00)), v128.and(bits, i32x4.splat(0x0fff)));
  const number = v128.bitselect(result, i32x4.splat(0x7e00), f32x4.eq(v, v));
  return v128.or(number, v128.and(i32x4.shr_u(v, 16), i32x4.splat(0x8000)));
}

/** Two vectors of float32 lanes as eight cells. */
@inline
function narrowed<H>(a: v128, b: v128): v128 {
  if (isSigned<H>()) return i16x8.narrow_i32x4_u(narrowedB(a), narrowedB(b));
  return i16x8.narrow_i32x4_u(narrowedHalf(a), narrowedHalf(b));
}

/** n float32 at `from` as cells at y, rounded to the nearest, ties to even. The read comes from the cache; one write. */
function fromStage<H>(from: usize, y: usize, n: usize): void {
  const end = from + (n << 2);
  for (const stop = from + ((n & ~7) << 2); from < stop; from += 32, y += 16) {
    v128.store(y, narrowed<H>(v128.load(from), v128.load(from, 16)));
  }
  for (; from < end; from += 4, y += 2) {
    const cell = v128.load32_splat(from);
    store<u16>(y, <u16>i16x8.extract_lane_u(narrowed<H>(cell, cell), 0));
  }
}
