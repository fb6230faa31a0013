/** A parameter or buffer: float32, or float64 for a layer of that dtype. */
export type Parameter = Float32Array | Float64Array;

/** Whether all values are this one; of no parameter there are none. A plain loop: `every` with a closure took most of a small call's time. */
export function isFilledWith(values: Parameter | null, value: number): boolean {
  if (values !== null) for (let i = 0; i < values.length; i++) if (values[i] !== value) return false;
  return true;
}
