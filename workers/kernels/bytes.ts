// uint8 cells, of which nothing is rounded before the result: a segment's sums are those of whole numbers, and a difference from the whole number
// nearest to the mean is exact as float32. So a cell is never widened into the stage, but where its factors are beyond float32.
import { applyCells, applyRun } from "./apply";
import { loaded, stored } from "./cells";
import { UINT8 } from "./constants";
import { pinF32, pinU32 } from "./lanes";
import { finishWhole, setSums } from "./segment-moments";
import { isBounded, isModerate, settle } from "./statistics";

@inline
export function isBytes(): bool {
  return stored == UINT8;
}

/** The line that takeBytes took: y = t * high + (t * low + offset), where t = x - center. */
export let center: i32 = 0;
export let high: f32 = 0;
export let low: f32 = 0;
export let offset: f32 = 0;

/** A cell less such a mean is a whole number of 13 binary digits. */
const FARTHEST: f64 = 4096;
/** The sign, the exponent, and 11 digits of a float32: times t that is exact. */
const HIGH: u32 = 0xffffe000;

/**
 * Takes (x - mean) * scale + shift as a line of float32 numbers. False where they do not hold it: then float64 is to compute it.
 *
 * What is rounded is the offset, twice, and the result. Without a shift the offset is no larger than a result, since a whole t is no nearer to the mean
 * than `center` is: y is within 1.5 ulp.
 */
export function takeBytes(mean: f64, scale: f64, shift: f64): bool {
  // As what has to hold: NaN fails.
  const holds = Math.abs(mean) < FARTHEST && isModerate(scale) && isBounded(shift);
  if (!holds) return false;
  center = <i32>Math.round(mean);
  high = reinterpret<f32>(reinterpret<u32>(<f32>scale) & HIGH);
  low = <f32>(scale - <f64>high);
  offset = <f32>(shift + (<f64>center - mean) * scale);
  return true;
}

// What a function of a type parameter C applies: the line, or a float32 weight and bias of each cell too.
type One = u8;
type Each = u16;

@inline
function fourOf<C>(t: v128, high: v128, low: v128, offset: v128, weight: usize, bias: usize): v128 {
  const cells = f32x4.convert_i32x4_s(t);
  const xhat = f32x4.add(f32x4.mul(cells, high), f32x4.add(f32x4.mul(cells, low), offset));
  return sizeof<C>() == sizeof<Each>() ? f32x4.add(f32x4.mul(xhat, v128.load(weight)), v128.load(bias)) : xhat;
}

@inline
function sumFour(v: v128): f64 {
  const pairs = i64x2.add(i64x2.extend_low_i32x4_u(v), i64x2.extend_high_i32x4_u(v));
  return <f64>(i64x2.extract_lane(pairs, 0) + i64x2.extract_lane(pairs, 1));
}

/** Sums of 16 cells' pairs, added to four. */
@inline
function addSums(sums: v128, cells: v128): v128 {
  return i32x4.add(sums, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(cells)));
}

/** Squares of 16 cells, added to four sums: of a segment each is below 2^29. */
@inline
function addSquares(squares: v128, cells: v128): v128 {
  const low = i16x8.extend_low_i8x16_u(cells), high = i16x8.extend_high_i8x16_u(cells);
  return i32x4.add(squares, i32x4.add(i32x4.dot_i16x8_s(low, low), i32x4.dot_i16x8_s(high, high)));
}

/** The line over n <= SEGMENT cells. */
@inline
function apply<C>(x: usize, y: usize, n: usize, weight: usize, bias: usize): void {
  const c = pinU32(center << 16 | (center & 0xffff), 0), h = pinF32(high, 1), l = pinF32(low, 2), o = pinF32(offset, 3);
  const end = x + n;
  for (const stop = x + (n & ~15); x < stop; x += 16, y += 64) {
    const cells = v128.load(x);
    const first = i16x8.sub(i16x8.extend_low_i8x16_u(cells), c), second = i16x8.sub(i16x8.extend_high_i8x16_u(cells), c);
    v128.store(y, fourOf<C>(i32x4.extend_low_i16x8_s(first), h, l, o, weight, bias));
    v128.store(y, fourOf<C>(i32x4.extend_high_i16x8_s(first), h, l, o, weight + 16, bias + 16), 16);
    v128.store(y, fourOf<C>(i32x4.extend_low_i16x8_s(second), h, l, o, weight + 32, bias + 32), 32);
    v128.store(y, fourOf<C>(i32x4.extend_high_i16x8_s(second), h, l, o, weight + 48, bias + 48), 48);
    if (sizeof<C>() == sizeof<Each>()) {
      weight += 64;
      bias += 64;
    }
  }
  for (; x < end; x++, y += 4) {
    const t = <f32>(<i32>load<u8>(x) - center);
    let result = t * high + (t * low + offset);
    if (sizeof<C>() == sizeof<Each>()) {
      result = result * load<f32>(weight) + load<f32>(bias);
      weight += 4;
      bias += 4;
    }
    store<f32>(y, result);
  }
}

/** The line that takeBytes took, over n cells. One read, one write, of four times as many bytes. Any alignment of x. */
export function applyU8(x: usize, y: usize, n: usize): void {
  apply<One>(x, y, n, 0, 0);
}

/** As applyU8, times a float32 weight plus a bias of each cell. */
export function applyU8Cells(x: usize, y: usize, n: usize, weight: usize, bias: usize): void {
  apply<Each>(x, y, n, weight, bias);
}

export function sumsU8(x: usize, n: usize): void {
  let s = i32x4.splat(0), q = s;
  const end = x + n;
  for (const stop = x + (n & ~15); x < stop; x += 16) {
    const cells = v128.load(x);
    s = addSums(s, cells);
    q = addSquares(q, cells);
  }
  let sum = sumFour(s), squares = sumFour(q);
  for (; x < end; x++) {
    const cell = <f64>load<u8>(x);
    sum += cell;
    squares += cell * cell;
  }
  setSums(sum, squares);
}

/** Moments of n <= SEGMENT cells, exact but for one rounding each. One read. */
export function momentsOfBytes(x: usize, n: usize): void {
  sumsU8(x, n);
  finishWhole(<f64>n);
}

/** y = (x - mean) * scale + shift over n <= SEGMENT cells. One read, one write. */
export function applyBytes(x: usize, y: usize, n: usize, mean: f64, scale: f64, shift: f64): void {
  if (takeBytes(mean, scale, shift)) {
    applyU8(x, y, n);
    return;
  }
  applyRun<f32>(loaded(x, n), y, n, mean, scale, shift);
  settle<f32>(y, n);
}

/** y = (x - mean) * rstd * weight[i] + bias[i] over n <= SEGMENT cells. One read, one write. */
export function applyBytesCells(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: usize, bias: usize): void {
  if (takeBytes(mean, rstd, 0)) {
    applyU8Cells(x, y, n, weight, bias);
    return;
  }
  applyCells<f32>(loaded(x, n), y, n, mean, rstd, weight, bias);
  settle<f32>(y, n);
}
