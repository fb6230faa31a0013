// `pool.open` and `pool.create`: tensors whose cells are in files.
import { checkBoolean, checkSize, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError } from "../errors.js";
import { type CreateOptions, createTensor, type OpenOptions, openTensor } from "../storage/file-tensor.js";
import { FORMATS, OUTPUT_FORMATS } from "../storage/format.js";
import { checkDtype, type Dtype } from "../tensor/dtype.js";
import type { OutputTensor } from "../tensor/output-tensor.js";
import { checkShape, type Shape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";

const NO_OPEN_OPTIONS: { readonly [O in keyof Required<OpenOptions>]: OpenOptions[O] } = {
  format: undefined,
  key: undefined,
  member: undefined,
  dtype: undefined,
  shape: undefined,
  offset: undefined,
  as: undefined,
  writable: undefined,
};
const NO_CREATE_OPTIONS: { readonly [O in keyof Required<CreateOptions>]: CreateOptions[O] } = {
  format: undefined,
  key: undefined,
  storedAs: undefined,
  metadata: undefined,
  journal: undefined,
};

export async function open(path: unknown, given: unknown): Promise<Tensor> {
  const operation = "pool.open";
  const options = readOpenOptions(operation, given);
  return openTensor(operation, checkString(operation, "path", path), options);
}

/** Throws InvalidArgumentError, UnsupportedDtypeError, InvalidShapeError. */
export function readOpenOptions(operation: string, given: unknown): OpenOptions {
  const options = readOptions<OpenOptions>(operation, given, NO_OPEN_OPTIONS);
  const { format, key, member, dtype, shape, offset, as, writable } = options;
  checkFormat(operation, FORMATS, format);
  if (key !== undefined) checkString(operation, "key", key);
  if (member !== undefined) checkString(operation, "member", member);
  if (dtype !== undefined) checkDtype(operation, dtype);
  if (as !== undefined) checkDtype(operation, as);
  if (offset !== undefined) checkSize(operation, "offset", offset);
  if (writable !== undefined) checkBoolean(operation, "writable", writable);
  return shape === undefined ? options : { ...options, shape: checkShape(operation, shape) };
}

export async function create<D extends Dtype>(
  path: unknown,
  dtype: D,
  shape: Shape,
  given: unknown,
): Promise<OutputTensor<D>> {
  const operation = "pool.create";
  const options = readCreateOptions(operation, given);
  checkDtype(operation, dtype);
  return createTensor(operation, checkString(operation, "path", path), dtype, checkShape(operation, shape), options);
}

/** Throws InvalidArgumentError, UnsupportedDtypeError. */
export function readCreateOptions(operation: string, given: unknown): CreateOptions {
  const options = readOptions<CreateOptions>(operation, given, NO_CREATE_OPTIONS);
  const { format, key, storedAs, journal } = options;
  checkFormat(operation, OUTPUT_FORMATS, format);
  if (key !== undefined) checkString(operation, "key", key);
  if (journal !== undefined && journal !== "begin" && journal !== "resume") {
    throw new InvalidArgumentError(operation, "journal", '"begin" or "resume"', describe(journal));
  }
  if (storedAs !== undefined) checkDtype(operation, storedAs);
  return options;
}

function checkString(operation: string, argument: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw new InvalidArgumentError(operation, argument, "a string", describe(value));
}

function checkFormat(operation: string, formats: readonly string[], value: unknown): void {
  if (value === undefined || formats.includes(value as string)) return;
  throw new InvalidArgumentError(operation, "format", `one of ${formats.join(", ")}`, describe(value));
}
