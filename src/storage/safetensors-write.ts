// Writing safetensors files.
import { type Complete, readOptions } from "../check.js";
import { describe, InvalidArgumentError, reading } from "../errors.js";
import type { StateDict, StateTensor } from "../layers/state.js";
import { cellsOf, type Shape, sizesOf } from "../tensor/shape.js";
import { bufferOf, byteOffsetOf, isGone, kindOf, lengthOf } from "../tensor/typed-arrays.js";
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
  const tensors = entriesOf("dict", "tensors", dict).map(([name, tensor]) => [name, readTensor(name, tensor)] as const);
  const strings = entriesOf("metadata", "strings", metadata);
  for (const [key, value] of strings) checkText(`metadata[${describe(key)}]`, value);
  const header = formatSafetensorsHeader(tensors.map(placedAfter()), strings);
  if (header.length > MAX_HEADER_BYTES) {
    const expected = `names, shapes and metadata of at most ${MAX_HEADER_BYTES} bytes`;
    throw new InvalidArgumentError(OPERATION, "dict", expected, String(header.length));
  }
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(header.length));
  const parts = [length, header, ...tensors.map(([, { cells }]) => cells)];
  const bytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  await writeOutput(OPERATION, path, bytes, async (output) => {
    for (const part of parts) await output.write(part);
  });
}

/** Own entries of a plain object. What is none, such as a Map, has entries that Object.entries does not see. */
function entriesOf<T>(argument: string, of: string, value: Readonly<Record<string, T>>): [string, T][] {
  return reading(OPERATION, argument, `a plain object of ${of}`, () => ownEntries(argument, of, value));
}

function ownEntries<T>(argument: string, of: string, value: Readonly<Record<string, T>>): [string, T][] {
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

/** The format's names of the arrays that it has, and bytes of an element. */
const DTYPES: Readonly<Record<string, readonly [string, number]>> = {
  Float32Array: ["F32", 4],
  Float64Array: ["F64", 8],
  BigInt64Array: ["I64", 8],
};

/** A tensor as it is now. */
interface Read {
  readonly dtype: string;
  readonly shape: Shape;
  /** Where its cells are. */
  readonly cells: ArrayBufferView;
}

function readTensor(name: string, tensor: unknown): Read {
  const argument = `dict[${describe(name)}]`;
  const fail = (of: string, expected: string, received: unknown) =>
    new InvalidArgumentError(OPERATION, argument + of, expected, describe(received));
  if (name === METADATA) {
    throw fail("", "a name that the format does not keep for strings (the option metadata)", name);
  }
  const expected = "a tensor, { shape, data },";
  if (typeof tensor !== "object" || tensor === null) throw fail("", expected, tensor);
  const { shape, data } = reading(OPERATION, argument, expected, () => {
    const { shape, data } = tensor as Partial<StateTensor>;
    return { shape, data: data as ArrayBufferView };
  });
  const dtype = DTYPES[kindOf(data) ?? ""];
  if (dtype === undefined) throw fail(".data", "a Float32Array, Float64Array or BigInt64Array", data);
  if (isGone(data))
    throw new InvalidArgumentError(OPERATION, `${argument}.data`, "an array that has its buffer", "a detached one");
  const length = lengthOf(data);
  const sizes = sizesOf(shape);
  if (sizes === undefined || cellsOf(sizes) !== length) throw fail(".shape", `sizes of ${length} cells`, shape);
  const cells = { buffer: bufferOf(data), byteOffset: byteOffsetOf(data), byteLength: length * dtype[1] };
  return { dtype: dtype[0], shape: sizes, cells };
}

/** Gives each tensor, in order, the place after the one before. */
function placedAfter() {
  let offset = 0;
  return ([name, { dtype, shape, cells }]: readonly [string, Read]) => {
    const begin = offset;
    offset += cells.byteLength;
    return [name, { dtype, shape, begin, end: offset }] as const;
  };
}
