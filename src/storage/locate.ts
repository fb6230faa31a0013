// Where the cells of a tensor lie in a file, as its header says, whatever its format.
import {
  describe,
  FileFormatError,
  InvalidArgumentError,
  InvalidShapeError,
  UnsupportedDtypeError,
} from "../errors.js";
import { CELL_BYTES, type Dtype } from "../tensor/dtype.js";
import { cellsOf, checkShape, formatShape, type Shape } from "../tensor/shape.js";
import type { Input } from "./input.js";
import type { Located } from "./located.js";
import { describeLookalike, isNpz, TELLING_BYTES } from "./lookalike.js";
import { isNpy, locateNpy } from "./npy-cells.js";
import { locateNpz } from "./npz.js";
import { isSafetensors, readHeader } from "./safetensors.js";
import { SAFETENSORS_DTYPES } from "./safetensors-dtypes.js";

export const FORMATS = ["npy", "npz", "safetensors", "raw"] as const;
/** Formats of files that tensors are read from. */
export type FileFormat = (typeof FORMATS)[number];
/** Formats of files that tensors are written to. */
export const OUTPUT_FORMATS = ["npy", "safetensors", "raw"] as const satisfies readonly FileFormat[];
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

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
): Promise<Located> {
  const start = await input.readAt(0, TELLING_BYTES);
  const format = options.format ?? formatOf(operation, input, start, options);
  // As .npy it says what it is not, and what it seems to be.
  if (options.of?.includes(format) === false) return locateNpy(operation, input, options.dtype);
  for (const [option, only] of [
    ["key", "safetensors"],
    ["member", "npz"],
    ["offset", "raw"],
  ] as const) {
    if (options[option] === undefined || format === only) continue;
    throw new InvalidArgumentError(operation, option, `none for ${format}`, describe(options[option]));
  }
  const located = await LOCATORS[format](operation, input, options);
  const { dtype, shape } = options;
  if (dtype !== undefined && dtype !== located.dtype) {
    throw new UnsupportedDtypeError(operation, `${located.dtype}, as ${input.path} has,`, dtype);
  }
  if (shape === undefined) return located;
  if (cellsOf(shape) !== cellsOf(located.shape)) {
    const message = `expected a shape of ${cellsOf(located.shape)} cells, as ${input.path} has, but got ${formatShape(shape)}`;
    throw new InvalidShapeError(operation, message, shape);
  }
  return { ...located, shape };
}

function formatOf(operation: string, { path }: Input, start: Buffer, { dtype, shape }: LocateOptions): FileFormat {
  if (isNpy(start)) return "npy";
  if (path.endsWith(".npz") || isNpz(start)) return "npz";
  if (path.endsWith(".safetensors")) return "safetensors";
  if (path.endsWith(".npy")) return "npy";
  if (dtype !== undefined && shape !== undefined) return "raw";
  if (isSafetensors(start)) return "safetensors";
  const message = `expected an .npy, .npz or safetensors file, or the dtype and shape of raw cells${describeLookalike(start, "npy")}`;
  throw new FileFormatError(operation, path, message);
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
