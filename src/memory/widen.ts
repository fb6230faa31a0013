import type { Parameter } from "../tensor/parameter.js";
import { lengthOf } from "../tensor/typed-arrays.js";

/**
 * Entries [first, first + count) of a parameter as float64, or as the float32 that it is, or where there is none `absent`, each `repeat` times. The copy also fixes their values
 * for a call.
 */
export function widenInto(
  target: Parameter,
  source: Parameter | null,
  first: number,
  count: number,
  absent: number,
  repeat: number,
): void {
  if (source === null) target.fill(absent, 0, count * repeat);
  else if (repeat === 1)
    target.set(first === 0 && count === lengthOf(source) ? source : source.subarray(first, first + count));
  else {
    for (let i = 0; i < count; i++) target.fill(source[first + i] as number, i * repeat, (i + 1) * repeat);
  }
}

/** The memory of float64 numbers, for float32 ones. */
export function packedIn({ buffer, byteOffset, length }: Float64Array): Float32Array {
  return new Float32Array(buffer, byteOffset, length);
}
