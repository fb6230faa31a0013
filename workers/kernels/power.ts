// s^b in float64 for two lanes, without tables (a table would be a data segment) and the same on every machine: exp(b * log(s)).
// log by the series of atanh, exp by Taylor's: both run to where the next term is under 2^-54. Off by a few ulp, and by |b * log(s)| / 2 ulp.

import { pinF32, pinF64 } from "./lanes";

const LN2_HIGH: f64 = 6.93147180369123816490e-1; // 33 bits: a product with an exponent is exact
const LN2_LOW: f64 = 1.90821492927058770002e-10;

/** a + b * x. */
@inline
function linear(a: f64, b: f64, x: v128): v128 {
  return f64x2.add(f64x2.splat(a), f64x2.mul(f64x2.splat(b), x));
}

/** low + high * x. */
@inline
function joined(low: v128, high: v128, x: v128): v128 {
  return f64x2.add(low, f64x2.mul(high, x));
}

/** log of positive normal numbers, as the exponent and the logarithm of a mantissa in [1 / sqrt(2), sqrt(2)). */
@inline
function powerOfNormal(s: v128, b: v128): v128 {
  // Moved so that the exponent changes at sqrt(1/2), not at 1: near 1 there is no exponent to cancel with.
  const moved = i64x2.sub(s, i64x2.splat(0x3fe6a09e00000000));
  const bits = i64x2.shr_s(moved, 52);
  const m = i64x2.sub(s, v128.and(moved, i64x2.splat(0xfff0000000000000)));
  const e = f64x2.convert_low_i32x4_s(i32x4.shuffle(bits, bits, 0, 2, 0, 2));
  const t = f64x2.div(f64x2.sub(m, f64x2.splat(1)), f64x2.add(m, f64x2.splat(1)));
  const q = f64x2.mul(t, t);
  // Both polynomials by halves (Estrin): a chain of a dozen steps that wait for each other took three times as long.
  const q2 = f64x2.mul(q, q), q4 = f64x2.mul(q2, q2), q8 = f64x2.mul(q4, q4);
  const series = joined(
    joined(
      joined(linear(1.0 / 3.0, 1.0 / 5.0, q), linear(1.0 / 7.0, 1.0 / 9.0, q), q2),
      joined(linear(1.0 / 11.0, 1.0 / 13.0, q), linear(1.0 / 15.0, 1.0 / 17.0, q), q2),
      q4,
    ),
    joined(linear(1.0 / 19.0, 1.0 / 21.0, q), f64x2.splat(1.0 / 23.0), q2),
    q8,
  );
  const t2 = f64x2.add(t, t);
  const log = f64x2.add(t2, f64x2.mul(t2, f64x2.mul(q, series)));
  const exact = f64x2.mul(e, f64x2.splat(LN2_HIGH));
  const y = f64x2.mul(b, f64x2.add(exact, f64x2.add(log, f64x2.mul(e, f64x2.splat(LN2_LOW)))));
  // Beyond these the result is 0 or Infinity anyway, and the exponents below stay in range.
  const z = f64x2.min(f64x2.max(y, f64x2.splat(-1400)), f64x2.splat(1400));
  const n = f64x2.nearest(f64x2.mul(z, f64x2.splat(1.4426950408889634)));
  const r = f64x2.sub(f64x2.sub(z, f64x2.mul(n, f64x2.splat(LN2_HIGH))), f64x2.mul(n, f64x2.splat(LN2_LOW)));
  const r2 = f64x2.mul(r, r), r4 = f64x2.mul(r2, r2), r8 = f64x2.mul(r4, r4);
  const exp = joined(
    joined(
      joined(linear(1, 1, r), linear(0.5, 1.0 / 6.0, r), r2),
      joined(linear(1.0 / 24.0, 1.0 / 120.0, r), linear(1.0 / 720.0, 1.0 / 5040.0, r), r2),
      r4,
    ),
    joined(
      joined(linear(1.0 / 40320.0, 1.0 / 362880.0, r), linear(1.0 / 3628800.0, 1.0 / 39916800.0, r), r2),
      linear(1.0 / 479001600.0, 1.0 / 6227020800.0, r),
      r4,
    ),
    r8,
  );
  // 2^n in three factors: n may be twice what an exponent holds.
  const third = i32x4.trunc_sat_f64x2_s_zero(f64x2.nearest(f64x2.mul(n, f64x2.splat(1.0 / 3.0))));
  const rest = i32x4.sub(i32x4.trunc_sat_f64x2_s_zero(n), i32x4.add(third, third));
  const factor = twoToThe(third);
  return f64x2.mul(f64x2.mul(f64x2.mul(exp, factor), factor), twoToThe(rest));
}

@inline
function twoToThe(n: v128): v128 {
  return i64x2.shl(i64x2.add(i64x2.extend_low_i32x4_s(n), i64x2.splat(1023)), 52);
}

/** s^b of one number that is not positive and normal. As Math.pow has it. */
function powerOfOther(s: f64, b: f64): f64 {
  if (b == 0) return 1;
  if (s != s || b != b) return NaN;
  if (s == Infinity) return b < 0 ? 0 : Infinity;
  if (s > 0) {
    // Subnormal: 2^54 is taken out, and (2^-54)^b put back.
    const scaled = powerOfNormal(f64x2.splat(s * 18014398509481984), f64x2.splat(b));
    return f64x2.extract_lane(f64x2.mul(scaled, powerOfNormal(f64x2.splat(5.551115123125783e-17), f64x2.splat(b))), 0);
  }
  const whole = Math.trunc(b) == b, odd = whole && Math.abs(b % 2) == 1;
  if (s == 0) return b > 0 ? (odd ? s : 0) : odd ? 1 / s : Infinity;
  if (!whole) return s > -Infinity ? NaN : b < 0 ? 0 : Infinity;
  const size = powerOfOne(-s, b);
  return odd ? -size : size;
}

/** s^b of two lanes, b the same in both. The default of LocalResponseNorm needs no logarithm. */
@inline
export function power(s: v128, b: v128): v128 {
  if (f64x2.extract_lane(b, 0) == -0.75) {
    const root = f64x2.sqrt(s);
    const result = f64x2.div(f64x2.splat(1), f64x2.mul(root, f64x2.sqrt(root)));
    // -Infinity, which has no root, is as large as Infinity.
    return v128.andnot(result, f64x2.eq(s, f64x2.splat(-Infinity)));
  }
  const normal = v128.and(f64x2.ge(s, f64x2.splat(2.2250738585072014e-308)), f64x2.lt(s, f64x2.splat(Infinity)));
  if (i64x2.all_true(normal)) return powerOfNormal(s, b);
  const exponent = f64x2.extract_lane(b, 0);
  const low = f64x2.extract_lane(s, 0), high = f64x2.extract_lane(s, 1);
  const result = f64x2.splat(powerOfOne(low, exponent));
  return f64x2.replace_lane(result, 1, powerOfOne(high, exponent));
}

function powerOfOne(s: f64, b: f64): f64 {
  if (s >= 2.2250738585072014e-308 && s < Infinity) return f64x2.extract_lane(powerOfNormal(f64x2.splat(s), f64x2.splat(b)), 0);
  return powerOfOther(s, b);
}

// s^-0.75 and s^-0.5 for float32 cells, to 40 bits: square roots of four float32 numbers, which cost less than half of float64's, then one step of
// Newton's in float64.

/** Which of the two, or neither. */
export const NO_ROOTS: i32 = 0;
const HALF: i32 = 1;
const THREE_QUARTERS: i32 = 2;

export function rootsOf(beta: f64): i32 {
  return beta == 0.75 ? THREE_QUARTERS : beta == 0.5 ? HALF : NO_ROOTS;
}

/** Between these numbers and their powers are float32's with all digits. */
const LEAST: f64 = 1e-30;
const LARGEST: f64 = 1e30;

/** Which of two numbers are within the bounds. Of NaN none. */
@inline
function isWithin(s: v128, least: v128, largest: v128): v128 {
  return v128.and(f64x2.ge(s, least), f64x2.le(s, largest));
}

/** The power of four float32 numbers. Each of the four steps is rounded, so it is off by 3e-7 of itself at most. */
@inline
function rough(s: v128, one: v128, roots: i32): v128 {
  const root = f32x4.sqrt(s);
  return f32x4.div(one, roots == HALF ? root : f32x4.mul(root, f32x4.sqrt(root)));
}

/** A rough power p of s made exact to 3e-13: the step is that of p^-2 - s, or p^-4 - s^3. `more` and `less` are 1.5 and 0.5, or 1.25 and 0.25. */
@inline
function refined(s: v128, p: v128, more: v128, less: v128, roots: i32): v128 {
  const product = f64x2.mul(f64x2.mul(p, p), s);
  const one = roots == HALF ? product : f64x2.mul(f64x2.mul(product, product), s);
  return f64x2.mul(p, f64x2.sub(more, f64x2.mul(less, one)));
}

@inline
function pinLess(roots: i32, slot: usize): v128 {
  return pinF64(roots == HALF ? 0.5 : 0.25, slot);
}

@inline
function pinMore(roots: i32, slot: usize): v128 {
  return pinF64(roots == HALF ? 1.5 : 1.25, slot);
}

/** powerRow where all are within the bounds; up to three more are read and written. Whether they are. */
@inline
function rootsInRow(sums: usize, powers: usize, n: usize, factor: f64, k: f64, roots: i32): bool {
  const f = pinF64(factor, 0), base = pinF64(k, 1), least = pinF64(LEAST, 2), largest = pinF64(LARGEST, 3);
  const less = pinLess(roots, 4), more = pinMore(roots, 5), one = pinF32(1, 12);
  let within = f64x2.eq(more, more);
  for (const end = sums + (n << 3); sums < end; sums += 32, powers += 32) {
    const a = f64x2.add(base, f64x2.mul(f, v128.load(sums))), b = f64x2.add(base, f64x2.mul(f, v128.load(sums, 16)));
    v128.store(sums, a);
    v128.store(sums, b, 16);
    within = v128.and(within, v128.and(isWithin(a, least, largest), isWithin(b, least, largest)));
    const p = rough(v128.shuffle<f64>(f32x4.demote_f64x2_zero(a), f32x4.demote_f64x2_zero(b), 0, 2), one, roots);
    v128.store(powers, refined(a, f64x2.promote_low_f32x4(p), more, less, roots));
    v128.store(powers, refined(b, f64x2.promote_low_f32x4(i64x2.shuffle(p, p, 1, 0)), more, less, roots), 16);
  }
  return i64x2.all_true(within);
}

/**
 * Of n `sums`, sums = k + factor * sums and powers = sums^-beta; of odd ones one more. Whether all are of roots; those that are have the same bits, whatever
 * the others.
 */
export function powerRow(sums: usize, powers: usize, n: usize, factor: f64, k: f64, beta: f64, roots: i32): bool {
  const even = (n + 1) & ~1;
  // Rows are taken by fours: what fills up the last has to have a power, too.
  if (even & 2) memory.fill(sums + (even << 3), 0, 16);
  if (roots == HALF && rootsInRow(sums, powers, even, factor, k, HALF)) return true;
  if (roots == THREE_QUARTERS && rootsInRow(sums, powers, even, factor, k, THREE_QUARTERS)) return true;
  const exponent = pinF64(-beta, 0), f = pinF64(factor, 3), base = pinF64(k, 4);
  const one = f32x4.splat(1), less = pinLess(roots, 1), more = pinMore(roots, 2), least = f64x2.splat(LEAST), largest = f64x2.splat(LARGEST);
  for (const end = sums + (even << 3); sums < end; sums += 16, powers += 16) {
    let s = v128.load(sums);
    if (roots == NO_ROOTS) {
      s = f64x2.add(base, f64x2.mul(f, s));
      v128.store(sums, s);
    }
    const other = power(s, exponent);
    if (roots == NO_ROOTS) {
      v128.store(powers, other);
      continue;
    }
    const p = f64x2.promote_low_f32x4(rough(f32x4.demote_f64x2_zero(s), one, roots));
    v128.store(powers, v128.bitselect(refined(s, p, more, less, roots), other, isWithin(s, least, largest)));
  }
  return false;
}

/** 1 / s, of s within the bounds and its power. */
@inline
export function inverted(s: v128, p: v128, roots: i32): v128 {
  const square = f64x2.mul(p, p), root = f64x2.mul(square, s);
  return roots == HALF ? square : f64x2.mul(root, root);
}

/** product / s, where the power of s is p; within the bounds by `inverted`. */
@inline
export function divided(product: v128, s: v128, p: v128, roots: i32): v128 {
  const other = f64x2.div(product, s);
  if (roots == NO_ROOTS) return other;
  return v128.bitselect(f64x2.mul(product, inverted(s, p, roots)), other, isWithin(s, f64x2.splat(LEAST), f64x2.splat(LARGEST)));
}
