// Where the cells of a tensor lie in a file, as its header says, whatever its format.
import { describe } from "../describe.js";
import { FileFormatError, InvalidArgumentError, InvalidShapeError, UnsupportedDtypeError } from "../errors.js";
import { CELL_BYTES, type Dtype } from "../tensor/dtype.js";
import { cellsOf, checkShape, formatShape, type Shape } from "../tensor/shape.js";
import { type FileFormat, formatOf } from "./format.js";
import type { Input } from "./input.js";
import type { Found, Located } from "./located.js";
import { locateNpy } from "./npy-cells.js";
import { locateNpz } from "./npz.js";
import { readHeader } from "./safetensors.js";
import { SAFETENSORS_DTYPES } from "./safetensors-dtypes.js";

/** What a file's header does not say, or which of its tensors is meant. */
export interface LocateOptions {
  /** Default: what the file's first bytes, and its name, say. */
  readonly format?: FileFormat | undefined;
  /** The tensor's name in a safetensors file. Default: that of its only one. */
  readonly key?: string | undefined;
  /** The array's name in an .npz file. Default: that of its only one. */
  readonly member?: string | undefined;
  /** Of raw cells; of other formats the dtype that they have to have. */
  readonly dtype?: Dtype | undefined;
  /** Of raw cells; of other formats another shape for the same number of cells. */
  readonly shape?: Shape | undefined;
  /** Of raw cells: the byte at which they begin. Default 0. */
  readonly offset?: number | undefined;
}

/** @throws FileFormatError, and on options that the file does not fit InvalidArgumentError, InvalidShapeError, UnsupportedDtypeError */
export async function locate(
  operation: string,
  input: Input,
  options: LocateOptions & { readonly of?: readonly FileFormat[] },
): Promise<Found> {
  const { dtype, shape } = options;
  let format = options.format ?? (await formatOf(operation, input, dtype !== undefined && shape !== undefined));
  // As .npy it says what it is not, and what it seems to be.
  if (options.of?.includes(format) === false) format = "npy";
  for (const [option, only] of [
    ["key", "safetensors"],
    ["member", "npz"],
    ["offset", "raw"],
  ] as const) {
    if (options[option] === undefined || format === only) continue;
    throw new InvalidArgumentError(operation, option, `none for ${format}`, describe(options[option]));
  }
  const located = await LOCATORS[format](operation, input, options);
  if (dtype !== undefined && dtype !== located.dtype) {
    throw new UnsupportedDtypeError(operation, `${located.dtype}, as ${input.path} has,`, dtype);
  }
  const end = located.offset + cellsOf(located.shape) * CELL_BYTES[located.dtype];
  const found = { ...located, format, leftOver: format === "npy" || format === "raw" ? input.size - end : 0 };
  if (shape === undefined) return found;
  if (cellsOf(shape) !== cellsOf(located.shape)) {
    const message = `expected a shape of ${cellsOf(located.shape)} cells, as ${input.path} has, but got ${formatShape(shape)}`;
    throw new InvalidShapeError(operation, message, shape);
  }
  return { ...found, shape };
}

const LOCATORS: Readonly<
  Record<FileFormat, (operation: string, input: Input, options: LocateOptions) => Promise<Located>>
> = {
  npy: (operation, input, { dtype }) => locateNpy(operation, input, dtype),
  npz: (operation, input, { dtype, member }) => locateNpz(operation, input, member, dtype),
  safetensors: locateSafetensors,
  raw: locateRaw,
};

async function locateSafetensors(operation: string, input: Input, { key }: LocateOptions): Promise<Located> {
  const { tensors, dataOffset } = await readHeader(operation, input);
  const names = [...tensors.keys()];
  const [only, other] = names;
  const name = key ?? (other === undefined ? only : undefined);
  const entry = name === undefined ? undefined : tensors.get(name);
  if (name === undefined || entry === undefined) {
    throw new InvalidArgumentError(
      operation,
      "key",
      `one of ${input.path}'s tensors, ${describe(names)},`,
      describe(key),
    );
  }
  const dtype = Object.hasOwn(SAFETENSORS_DTYPES, entry.dtype) ? SAFETENSORS_DTYPES[entry.dtype] : undefined;
  if (dtype === undefined) {
    const expected = Object.keys(SAFETENSORS_DTYPES).join(", ");
    throw new FileFormatError(
      operation,
      input.path,
      `${describe(name)}: expected dtype ${expected} but got ${entry.dtype}`,
    );
  }
  return { dtype, shape: checkShape(operation, entry.shape), offset: dataOffset + entry.begin, swapped: 1 };
}

async function locateRaw(
  operation: string,
  input: Input,
  { dtype, shape, offset = 0 }: LocateOptions,
): Promise<Located> {
  if (dtype === undefined || shape === undefined) {
    throw new InvalidArgumentError(operation, "options", "dtype and shape of raw cells", "not both");
  }
  const bytes = cellsOf(shape) * CELL_BYTES[dtype];
  if (offset + bytes > input.size) {
    const message = `expected ${bytes} bytes from byte ${offset} on for ${dtype} of shape ${formatShape(shape)} but the file has ${input.size}`;
    throw new FileFormatError(operation, input.path, message);
  }
  return { dtype, shape, offset, swapped: 1 };
}
