/** A parameter or buffer: float32, or float64 for a layer of that dtype. */
export type Parameter = Float32Array | Float64Array;

/** From so many on values are compared as bytes, ten times as fast: a loop over millions would hold up the event loop. */
const MANY = 16_384;

/** Whether all values are this one; of no parameter there are none. A plain loop: `every` with a closure took most of a small call's time. */
export function isFilledWith(values: Parameter | null, value: number): boolean {
  if (values !== null && values.length >= MANY) {
    const { buffer, byteOffset, byteLength, BYTES_PER_ELEMENT } = values;
    const bytes = Buffer.from(buffer, byteOffset, byteLength);
    // Each is the one before it.
    return values[0] === value && bytes.subarray(BYTES_PER_ELEMENT).equals(bytes.subarray(0, -BYTES_PER_ELEMENT));
  }
  if (values !== null) for (let i = 0; i < values.length; i++) if (values[i] !== value) return false;
  return true;
}
