// Writing safetensors files.
import { type Complete, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, reading } from "../errors.js";
import type { StateDict, StateTensor } from "../layers/state.js";
import { cellsOf, type Shape, sizesOf } from "../tensor/shape.js";
import { bufferOf, byteOffsetOf, isGone, kindOf, lengthOf } from "../tensor/typed-arrays.js";
import { writeOutput } from "./output.js";
import { formatSafetensorsHeader } from "./safetensors-header.js";
import { checkName, entriesOf, metadataOf } from "./safetensors-text.js";

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
  const tensors = entriesOf(OPERATION, "dict", "tensors", dict).map(
    ([name, tensor]) => [name, readTensor(name, tensor)] as const,
  );
  const strings = metadataOf(OPERATION, metadata);
  const header = formatSafetensorsHeader(OPERATION, "dict", tensors.map(placedAfter()), strings);
  const parts = [header, ...tensors.map(([, { cells }]) => cells)];
  const bytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  await writeOutput(OPERATION, path, bytes, async (output) => {
    for (const part of parts) await output.write(part);
  });
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
  checkName(OPERATION, argument, name);
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
