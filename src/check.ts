// Checks of arguments, for whatever the public face takes.
import { describe } from "./describe.js";
import { InvalidArgumentError, reading } from "./errors.js";

/** Options with each one said: what callers may leave out, or give as undefined, is there. */
export type Complete<T> = { readonly [K in keyof T]-?: Exclude<T[K], undefined> };

/** `given` over `defaults`. Throws InvalidArgumentError on anything but an object of the defaults' keys. */
export function readOptions<T extends object>(operation: string, given: unknown, defaults: T, argument = "options"): T {
  if (given === undefined) return defaults;
  return reading(operation, argument, "an object", () => readGiven(operation, given, defaults, argument));
}

function readGiven<T extends object>(operation: string, given: unknown, defaults: T, argument: string): T {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new InvalidArgumentError(operation, argument, "an object", describe(given));
  }
  const read = { ...defaults };
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(defaults, key)) {
      throw new InvalidArgumentError(operation, argument, `only ${Object.keys(defaults).join(", ")}`, describe(key));
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

/** A finite number, `least` or more. */
export function checkAtLeast(operation: string, argument: string, value: unknown, least: number): number {
  if (typeof value === "number" && value >= least && value < Number.POSITIVE_INFINITY) return value;
  throw new InvalidArgumentError(operation, argument, `a finite number, ${least} or more,`, describe(value));
}

export function checkBoolean(operation: string, argument: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new InvalidArgumentError(operation, argument, "true or false", describe(value));
}
