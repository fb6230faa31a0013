import { types } from "node:util";

/**
 * An array of float64 as it came: a Float64Array of whichever realm, a plain array, or what JSON makes of either, an object of indices, with null
 * where there was NaN. Undefined where it is none of these.
 */
export function float64Of(value: unknown): Float64Array | undefined {
  if (types.isFloat64Array(value)) return value;
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return undefined;
  const entries = Array.isArray(value) ? value : indexed(value);
  if (!entries?.every((entry) => typeof entry === "number" || entry === null)) return undefined;
  return Float64Array.from(entries, (entry: number | null) => entry ?? Number.NaN);
}

/** The values of keys "0", "1", ... where there are no others. */
function indexed(value: object): unknown[] | undefined {
  const keys = Object.keys(value);
  return keys.every((key, i) => key === String(i)) ? Object.values(value) : undefined;
}
