import { types } from "node:util";
import { describe } from "../describe.js";
import { InvalidArgumentError, reading } from "../errors.js";

/**
 * An array of float64 as it came: a Float64Array of whichever realm, a plain array, or what JSON makes of either, an object of indices, with null
 * where there was NaN. Undefined where it is none of these.
 */
export function float64Of(value: unknown): Float64Array | undefined {
  if (types.isFloat64Array(value)) return value;
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return undefined;
  const entries = Array.isArray(value) ? value : indexed(value);
  if (entries === undefined) return undefined;
  // Not `every`, which goes through all the holes of an array.
  for (let i = 0; i < entries.length; i++) if (typeof entries[i] !== "number" && entries[i] !== null) return undefined;
  return Float64Array.from(entries, (entry: number | null) => entry ?? Number.NaN);
}

/** The values of keys "0", "1", ... where there are no others. */
function indexed(value: object): unknown[] | undefined {
  const keys = Object.keys(value);
  return keys.every((key, i) => key === String(i)) ? Object.values(value) : undefined;
}

/** The parts of a whole, each as `read` has it; it throws at the first that is none. Throws InvalidArgumentError where there are none. */
export function readParts<T>(operation: string, parts: unknown, read: (part: unknown) => T): T[] {
  const expected = "at least one part";
  return reading(operation, "parts", expected, () => {
    const found: T[] = [];
    if (Array.isArray(parts)) for (let i = 0; i < parts.length; i++) found.push(read(parts[i]));
    if (found.length > 0) return found;
    throw new InvalidArgumentError(operation, "parts", expected, Array.isArray(parts) ? "none" : describe(parts));
  });
}
