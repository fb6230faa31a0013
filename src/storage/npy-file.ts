// Whole .npy files, for arrays that fit in memory easily. Larger ones are for pool.open and pool.create.
import { readOptions } from "../check.js";
import { describe } from "../describe.js";
import { FileFormatError, InvalidArgumentError } from "../errors.js";
import { swap } from "../plan/bytes.js";
import {
  CELL_BYTES,
  checkDtype,
  DTYPES,
  type Dtype,
  dtypeOf,
  type TensorSource,
  type TypedArrays,
} from "../tensor/dtype.js";
import { cellsOf, formatShape, type Shape } from "../tensor/shape.js";
import { checkElements } from "../tensor/sources.js";
import { withInput } from "./input.js";
import { locate } from "./locate.js";
import { formatNpyHeader } from "./npy.js";
import { descrOf } from "./npy-cells.js";
import { writeOutput } from "./output.js";

/** An array as a file has it. */
export interface NpyArray<D extends Dtype = Dtype> {
  readonly dtype: D;
  readonly shape: Shape;
  /** The cells in row-major order, on a SharedArrayBuffer: `pool.wrap(data, shape, dtype)` makes a tensor of it without a copy. */
  readonly data: TypedArrays[D];
}

export interface ReadNpyOptions {
  /** What the bits of 16-bit integers or opaque values are, or of booleans (uint8); of other files the dtype that they have to have. */
  readonly dtype?: Dtype | undefined;
  /** The array's name in an .npz file. Default: that of its only one. */
  readonly member?: string | undefined;
}

export interface WriteNpyOptions {
  /** Of a Uint16Array: float16 or bfloat16. Default: that of the array. */
  readonly dtype?: Dtype | undefined;
}

/**
 * Reads all cells of an .npy file, or of one array of an .npz file.
 * @throws (as rejection) FileFormatError, ReadFailedError, UnsupportedDtypeError, InvalidArgumentError
 */
export function readNpy<D extends Dtype>(
  path: string,
  options: ReadNpyOptions & { readonly dtype: D },
): Promise<NpyArray<D>>;
export function readNpy(path: string, options?: ReadNpyOptions): Promise<NpyArray>;
export async function readNpy(path: string, options?: ReadNpyOptions): Promise<NpyArray> {
  const operation = "readNpy";
  const none: Required<ReadNpyOptions> = { dtype: undefined, member: undefined };
  const { dtype: wanted, member } = readOptions(operation, options, none);
  checkPath(operation, path);
  if (wanted !== undefined) checkDtype(operation, wanted);
  if (member !== undefined && typeof member !== "string") {
    throw new InvalidArgumentError(operation, "member", "a string", describe(member));
  }
  return withInput(operation, path, async (input) => {
    const { dtype, shape, offset, swapped } = await locate(operation, input, { dtype: wanted, member, of: NUMPY });
    const cells = { buffer: bufferFor(operation, path, dtype, shape), byteOffset: 0 };
    const bytes = { ...cells, byteLength: cells.buffer.byteLength };
    await input.fill(bytes, offset);
    swap(bytes, swapped);
    return { dtype, shape, data: DTYPES[dtype].view(cells.buffer, 0, cellsOf(shape)) };
  });
}

const NUMPY = ["npy", "npz"] as const;

function bufferFor(operation: string, path: string, dtype: Dtype, shape: Shape): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(cellsOf(shape) * CELL_BYTES[dtype]);
  } catch (cause) {
    const message = `expected an array that fits in memory but its shape is ${formatShape(shape)} (pool.open leaves it in the file)`;
    throw new FileFormatError(operation, path, message, { cause });
  }
}

/**
 * Writes an array as an .npy file, which numpy.load reads. A file that exists is replaced once the new one is complete and on the disk, and not
 * before; it keeps its mode, and a link stays a link.
 * @param shape default: one dimension of array.length.
 * @throws (as rejection) InvalidArgumentError, InvalidShapeError, UnsupportedDtypeError, before anything is written; WriteFailedError
 */
export async function writeNpy(
  path: string,
  array: TensorSource,
  shape?: Shape,
  options?: WriteNpyOptions,
): Promise<void> {
  const operation = "writeNpy";
  checkPath(operation, path);
  const { dtype } = readOptions<Required<WriteNpyOptions>>(operation, options, { dtype: undefined });
  const found = dtypeOf(operation, array, dtype);
  const header = formatNpyHeader(checkElements(operation, array, shape), descrOf(found));
  await writeOutput(operation, path, header.length + array.byteLength, async (output) => {
    await output.write(header);
    await output.write(array);
  });
}

function checkPath(operation: string, path: unknown): void {
  if (typeof path !== "string") throw new InvalidArgumentError(operation, "path", "a string", describe(path));
}
