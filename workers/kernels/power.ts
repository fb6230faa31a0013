// s^b in float64 for two lanes, without tables (a table would be a data segment) and the same on every machine: exp(b * log(s)).
// log by the series of atanh, exp by Taylor's: both run to where the next term is under 2^-54. Off by a few ulp, and by |b * log(s)| / 2 ulp.

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
