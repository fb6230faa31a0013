// Checks of constructor arguments and parameters, shared by all layers.
import { describe, InvalidArgumentError } from "../errors.js";

/** `given` over `defaults`. Throws InvalidArgumentError on anything but an object of the defaults' keys. */
export function readOptions<T extends object>(operation: string, given: unknown, defaults: T): T {
  if (given === undefined) return defaults;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new InvalidArgumentError(operation, "options", "an object", describe(given));
  }
  const read = { ...defaults };
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(defaults, key)) {
      throw new InvalidArgumentError(operation, "options", `only ${Object.keys(defaults).join(", ")}`, describe(key));
    }
    if (value !== undefined) Object.assign(read, { [key]: value });
  }
  return read;
}

export function checkPositiveInteger(operation: string, argument: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError(operation, argument, "a positive safe integer", describe(value));
}

export function checkSize(operation: string, argument: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError(operation, argument, "a safe integer, 0 or more", describe(value));
}

export function checkBoolean(operation: string, argument: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new InvalidArgumentError(operation, argument, "true or false", describe(value));
}

export function checkEps(operation: string, value: unknown): number {
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError(operation, "eps", "a finite number, 0 or more", describe(value));
}

export function checkMomentum(operation: string, value: unknown): number | null {
  if (value === null || (typeof value === "number" && Number.isFinite(value))) return value;
  throw new InvalidArgumentError(operation, "momentum", "a finite number or null", describe(value));
}

/** A parameter or buffer as it stands at the time of a call: the caller may have assigned another. */
export function checkParameter(
  operation: string,
  argument: string,
  value: Float32Array | null,
  length: number,
): Float32Array | null {
  if (value === null) return null;
  if (!(value instanceof Float32Array)) {
    throw new InvalidArgumentError(operation, argument, "a Float32Array or null", describe(value));
  }
  if (value.length === length) return value;
  // PyTorch: "weight should contain 2 elements not 3".
  throw new InvalidArgumentError(operation, argument, `${length} elements`, String(value.length));
}
