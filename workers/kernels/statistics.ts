// A set's deviation, and what becomes of sets that have none that is finite.
import { DEVIATION, LENGTH, NOTHING } from "./constants";
import { bytesOf } from "./lanes";
import { setCentred } from "./segment-moments";

let ofLength: bool = false;

/** What the next sets are divided by. Moments about the mean are only asked for where that is the deviation from it. */
export function setMeasure(measure: i32): void {
  setCentred(measure == DEVIATION);
  ofLength = measure == LENGTH;
}

/**
 * What n cells are multiplied by: 1 / sqrt(variance + eps), or 1 / max(length, eps). 0 where variance and eps are NOTHING: cells that are all
 * alike, of a layer that gives them their bias (InstanceNorm with an eps of 0, as torch.batch_norm has it).
 */
@inline
export function rstdOf(sumOfSquares: f64, n: f64, eps: f64): f64 {
  if (ofLength) return 1 / max<f64>(Math.sqrt(sumOfSquares), eps);
  const variance = sumOfSquares / n + eps;
  return variance == NOTHING ? 0 : 1 / Math.sqrt(variance);
}

/**
 * The share of xhat in the gradient of cells that were divided by their length, given the sum of g * x; none where that was eps, a constant
 * (torch.nn.functional.normalize's clamp_min).
 */
@inline
export function lengthShare(rstd: f64, eps: f64, products: f64): f64 {
  return rstd * eps >= 1 ? 0 : -rstd * rstd * products;
}

/** Whether float32 holds this term, and sums of it with others. NaN fails. */
@inline
export function isBounded(term: f64): bool {
  return Math.abs(term) < 1e30;
}

/** Whether float32 holds this factor, and its product with a deviation, with all digits. NaN fails. */
@inline
export function isModerate(factor: f64): bool {
  return isBounded(factor) && (Math.abs(factor) > 1e-30 || factor == 0);
}

/** Whether one of these is NaN or infinite. */
@inline
export function isAnySpecial(a: f64, b: f64, c: f64, d: f64): bool {
  return (a - a) + (b - b) + (c - c) + (d - d) != 0;
}

/** Whether one of n float64 numbers of a table is NaN or infinite. */
export function isTableSpecial(table: usize, n: usize): bool {
  let all = f64x2.splat(0);
  const end = table + (n << 3);
  for (const stop = table + ((n & ~1) << 3); table < stop; table += 16) {
    const pair = v128.load(table);
    all = f64x2.add(all, f64x2.sub(pair, pair));
  }
  let rest: f64 = 0;
  if (table < end) rest = load<f64>(table) - load<f64>(table);
  return f64x2.extract_lane(all, 0) + f64x2.extract_lane(all, 1) + rest != 0;
}

/**
 * Makes every NaN of n results the same one. Its bits hang on the order of operands, which compilers change, and on the processor: Infinity
 * times 0 is negative on x86, positive on ARM. One read, one write, of cells that are in the cache.
 */
@inline
export function settle<A>(y: usize, n: usize): void {
  const end = y + bytesOf<A>(n);
  if (sizeof<A>() == 8) {
    for (; y < end; y += 8) if (load<f64>(y) != load<f64>(y)) store<u64>(y, 0x7ff8000000000000);
  } else {
    for (; y < end; y += 4) if (load<f32>(y) != load<f32>(y)) store<u32>(y, 0x7fc00000);
  }
}
