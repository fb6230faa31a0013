// Writing safetensors files.
import { type Complete, readOptions } from "../check.js";
import { describe, InvalidArgumentError } from "../errors.js";
import type { StateDict, StateTensor } from "../layers/state.js";
import { cellsOf } from "../tensor/shape.js";
import { writeOutput } from "./output.js";
import { formatSafetensorsHeader, LENGTH_BYTES, MAX_HEADER_BYTES, METADATA } from "./safetensors-header.js";

const OPERATION = "writeSafetensors";

export interface WriteSafetensorsOptions {
  /** Strings to keep beside the tensors, such as the `{ format: "pt" }` that some Python libraries ask for. Default: none. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/**
 * Writes a state dict as a safetensors file, which Python's `load_file` reads. A file that exists is replaced once the new one is
 * complete and on the disk, and not before; it keeps its mode, and a link stays a link.
 * @throws InvalidArgumentError naming what cannot be written, before anything is; WriteFailedError.
 */
export async function writeSafetensors(
  path: string,
  dict: StateDict,
  options?: WriteSafetensorsOptions,
): Promise<void> {
  const { metadata } = readOptions<Complete<WriteSafetensorsOptions>>(OPERATION, options, { metadata: {} });
  if (typeof path !== "string") throw new InvalidArgumentError(OPERATION, "path", "a string", describe(path));
  const tensors = entriesOf("dict", "tensors", dict);
  for (const [name, tensor] of tensors) checkTensor(name, tensor);
  const strings = entriesOf("metadata", "strings", metadata);
  for (const [key, value] of strings) checkText(`metadata[${describe(key)}]`, value);
  const header = formatSafetensorsHeader(tensors.map(placedAfter()), strings);
  if (header.length > MAX_HEADER_BYTES) {
    const expected = `names, shapes and metadata of at most ${MAX_HEADER_BYTES} bytes`;
    throw new InvalidArgumentError(OPERATION, "dict", expected, String(header.length));
  }
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(header.length));
  const parts = [length, header, ...tensors.map(([, { data }]) => data)];
  const bytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  await writeOutput(OPERATION, path, bytes, async (output) => {
    for (const part of parts) await output.write(part);
  });
}

/** Own entries of a plain object. What is none, such as a Map, has entries that Object.entries does not see. */
function entriesOf<T>(argument: string, of: string, value: Readonly<Record<string, T>>): [string, T][] {
  const prototype = typeof value === "object" && value !== null ? Object.getPrototypeOf(value) : undefined;
  // Another realm's Object.prototype is not this one's, but has no prototype either.
  const plain = prototype === null || (prototype !== undefined && Object.getPrototypeOf(prototype) === null);
  if (!plain) throw new InvalidArgumentError(OPERATION, argument, `a plain object of ${of}`, describe(value));
  const entries = Object.entries(value);
  for (const [key] of entries) checkText(`a key of ${argument}`, key);
  return entries;
}

/** Half of a surrogate pair is no text: UTF-8 has no bytes for it. */
function checkText(argument: string, value: unknown): void {
  if (typeof value === "string" && !/\p{Surrogate}/u.test(value)) return;
  throw new InvalidArgumentError(OPERATION, argument, "a well-formed string", describe(value));
}

function checkTensor(name: string, tensor: unknown): void {
  const argument = `dict[${describe(name)}]`;
  const fail = (of: string, expected: string, received: unknown) =>
    new InvalidArgumentError(OPERATION, argument + of, expected, describe(received));
  if (name === METADATA) {
    throw fail("", "a name that the format does not keep for strings (the option metadata)", name);
  }
  if (typeof tensor !== "object" || tensor === null) throw fail("", "a tensor, { shape, data },", tensor);
  const { shape, data } = tensor as Partial<StateTensor>;
  if (!(data instanceof Float32Array || data instanceof Float64Array || data instanceof BigInt64Array)) {
    throw fail(".data", "a Float32Array, Float64Array or BigInt64Array", data);
  }
  const sizes = Array.isArray(shape) && Array.from(shape).every((size) => Number.isSafeInteger(size) && size >= 0);
  if (!sizes || cellsOf(shape) !== data.length) throw fail(".shape", `sizes of ${data.length} cells`, shape);
}

/** Gives each tensor, in order, the place after the one before. */
function placedAfter() {
  let offset = 0;
  return ([name, { shape, data }]: [string, StateTensor]) => {
    const dtype = data instanceof Float32Array ? "F32" : data instanceof Float64Array ? "F64" : "I64";
    const begin = offset;
    offset += data.byteLength;
    return [name, { dtype, shape, begin, end: offset }] as const;
  };
}
