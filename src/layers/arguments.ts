// Checks of constructor arguments and parameters, shared by all layers.
import { types } from "node:util";
import { checkSize } from "../check.js";
import { describe, isArray } from "../describe.js";
import { InvalidArgumentError, UnsupportedDtypeError } from "../errors.js";
import type { Dtype } from "../tensor/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { lengthOf } from "../tensor/typed-arrays.js";

export function checkEps(operation: string, value: unknown): number {
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError(operation, "eps", "a finite number, 0 or more", describe(value));
}

export function checkMomentum(operation: string, value: unknown): number | null {
  if (value === null || (typeof value === "number" && Number.isFinite(value))) return value;
  throw new InvalidArgumentError(operation, "momentum", "a finite number or null", describe(value));
}

/** The type of a layer's parameters and buffers. */
export type ParameterDtype = "float32" | "float64";

const PARAMETER_ARRAYS = { float32: Float32Array, float64: Float64Array } as const;

export function checkParameterDtype(operation: string, value: unknown): ParameterDtype {
  if (value === "float32" || value === "float64") return value;
  throw new InvalidArgumentError(operation, "dtype", '"float32" or "float64"', describe(value));
}

/** A parameter or buffer of `length` entries of `value`. Throws InvalidArgumentError where there cannot be one. */
export function makeParameter(
  operation: string,
  argument: string,
  dtype: ParameterDtype,
  length: number,
  value: number,
): Parameter {
  const Parameters = PARAMETER_ARRAYS[dtype];
  try {
    return new Parameters(length).fill(value);
  } catch (cause) {
    const expected = `a size whose parameters fit in a ${Parameters.name}`;
    throw new InvalidArgumentError(operation, argument, expected, String(length), { cause });
  }
}

/** A parameter or buffer as it stands at the time of a call: the caller may have assigned another. */
export function checkParameter(
  operation: string,
  argument: string,
  value: Parameter | null,
  dtype: ParameterDtype,
  length: number,
): Parameter | null {
  if (value === null) return null;
  // By kind, not by class: test runners and vm contexts have typed arrays of their own.
  if (!(dtype === "float64" ? types.isFloat64Array(value) : types.isFloat32Array(value))) {
    const { name } = PARAMETER_ARRAYS[dtype];
    const expected = isArray(value) ? `a ${name} (${name}.from makes one) or null` : `a ${name} or null`;
    throw new InvalidArgumentError(operation, argument, expected, describe(value));
  }
  checkLength(operation, argument, value, length);
  return value;
}

/** PyTorch: "weight should contain 2 elements not 3". Throws InvalidArgumentError, also where the buffer has been detached since it was checked. */
export function checkLength(operation: string, argument: string, value: Parameter, length: number): void {
  const found = lengthOf(value);
  if (found !== length) throw new InvalidArgumentError(operation, argument, `${length} elements`, String(found));
}

/** A count of batches as it stands; none is 0. Throws InvalidArgumentError. */
export function checkCount(operation: string, value: unknown): number {
  if (value === null) return 0;
  return checkSize(operation, "numBatchesTracked", value);
}

/**
 * Throws UnsupportedDtypeError unless input and parameters (if there are any) go together, as in PyTorch: both float64, or parameters of
 * float32 with input of that or a smaller type.
 */
export function checkInputDtype(
  operation: string,
  input: Dtype,
  dtype: ParameterDtype,
  parameters: readonly (Parameter | null)[],
): void {
  if (parameters.every((parameter) => parameter === null) || (input === "float64") === (dtype === "float64")) return;
  const expected = dtype === "float64" ? "float64" : "float32, float16, bfloat16 or uint8";
  throw new UnsupportedDtypeError(operation, `${expected} as input of a layer whose dtype is ${dtype}`, input);
}
