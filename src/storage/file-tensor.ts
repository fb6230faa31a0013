// Tensors whose cells are in files.
import { access, constants, realpath } from "node:fs/promises";
import { describe } from "../describe.js";
import { InvalidArgumentError, WriteFailedError } from "../errors.js";
import { CELL_BYTES, type Dtype } from "../tensor/dtype.js";
import { OutputTensor } from "../tensor/output-tensor.js";
import { cellsOf, type Shape } from "../tensor/shape.js";
import { Tensor } from "../tensor/tensor.js";
import { checkOpenedAs, checkStoredAs } from "./converted.js";
import { FileHolding, OutputHolding } from "./file-holding.js";
import type { OutputFormat } from "./format.js";
import { withInput } from "./input.js";
import { type LocateOptions, locate } from "./locate.js";
import { formatNpyHeader } from "./npy.js";
import { descrOf } from "./npy-cells.js";
import { type JournalMode, Output } from "./output.js";
import { SAFETENSORS_DTYPES } from "./safetensors-dtypes.js";
import { formatSafetensorsHeader } from "./safetensors-header.js";
import { checkName, metadataOf } from "./safetensors-text.js";
import { describeSystemError } from "./system-error.js";

/** Outputs whose tensors were dropped, neither committed nor disposed of. */
const dropped = new FinalizationRegistry<OutputHolding>((holding) => holding.release());

export interface OpenOptions extends LocateOptions {
  /**
   * The tensor's dtype, where the file's cells are of another: they are converted as they are read, so that a call computes in it. One that holds
   * each of them exactly: of float16 and bfloat16 float32 and float64, of float32 float64, of uint8 all. Such a tensor is not writable. Default: the
   * file's dtype.
   */
  readonly as?: Dtype | undefined;
  /** Whether calls may write to it, in place: of an interrupted call some cells are written, and others not. Default false. */
  readonly writable?: boolean | undefined;
}

/** A tensor of the file at `path`. Its cells stay there. */
export async function openTensor(operation: string, path: string, options: OpenOptions): Promise<Tensor> {
  const { writable = false, as } = options;
  if (writable && as !== undefined) {
    throw new InvalidArgumentError(operation, "writable", "false for a tensor that is converted (as)", "true");
  }
  return withInput(operation, path, async (input) => {
    const { format, dtype, shape, offset, swapped } = await locate(operation, input, options);
    const converted = checkOpenedAs(operation, as, dtype);
    if (writable && format === "npz") {
      throw new InvalidArgumentError(operation, "writable", "a file without checksums", "an .npz file");
    }
    if (writable && swapped !== 1) {
      throw new InvalidArgumentError(operation, "writable", "a file of little-endian cells", "big-endian ones");
    }
    if (writable) {
      await access(path, constants.W_OK).catch((cause) => {
        throw new WriteFailedError(operation, path, describeSystemError(cause), { cause });
      });
    }
    const { id, size, modified } = input.identity;
    const place = { kind: "file", path: await realpath(path), name: path, offset, id, size, swapped } as const;
    const spec = { ...place, ...converted, modified: writable ? null : modified };
    return new Tensor(new FileHolding(spec), as ?? dtype, shape);
  });
}

export interface CreateOptions {
  /** Default: what the file's name ends with says, `.npy` or `.safetensors`; others are raw cells. */
  readonly format?: OutputFormat | undefined;
  /** The tensor's name in a safetensors file. Default "tensor". */
  readonly key?: string | undefined;
  /**
   * The dtype of the file's cells, where it is not the tensor's: float32, float16 or bfloat16 of a float64 tensor, float16 or bfloat16 of a float32
   * one. Calls compute in the tensor's dtype, and what they write is rounded to the nearest, ties to even, once; what is too large is Infinity. Who
   * reads the tensor has the file's cells. Default: the tensor's dtype.
   */
  readonly storedAs?: Dtype | undefined;
  /** Strings beside the tensor in a safetensors file. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /**
   * "begin": the forward call that writes to it notes its finished parts in a journal beside the file, so that when the process crashes or is killed,
   * another can go on: with "resume", the same call does what is left. For calls on a tensor in a file. Default: none is kept.
   */
  readonly journal?: JournalMode | undefined;
}

/** A tensor of zeros in a file that has the name `path` when it is committed. */
export async function createTensor<D extends Dtype>(
  operation: string,
  path: string,
  dtype: D,
  shape: Shape,
  options: CreateOptions,
): Promise<OutputTensor<D>> {
  const { storedAs = dtype } = options;
  const converted = checkStoredAs(operation, storedAs, dtype);
  const header = headerOf(operation, path, storedAs, shape, options);
  const bytes = header.length + cellsOf(shape) * CELL_BYTES[storedAs];
  const output = await Output.create(operation, path, bytes, options.journal);
  try {
    // Of one that goes on, not before it is known to be the same work.
    if (!output.resumed) {
      await output.write(header);
      await output.extend(bytes);
    }
    const { id } = await output.identity();
    const place = {
      path: output.partial,
      name: path,
      descriptor: output.descriptor,
      offset: header.length,
      id,
      size: bytes,
    };
    const spec = { kind: "file", ...place, ...converted, modified: null, swapped: 1 } as const;
    const holding = new OutputHolding(spec, output, header);
    const tensor = new OutputTensor<D>(holding, dtype, shape);
    dropped.register(tensor, holding, holding);
    holding.gone.then(() => dropped.unregister(holding));
    return tensor;
  } catch (error) {
    await (output.resumed ? output.leave() : output.abandon());
    throw error;
  }
}

/** What comes before the cells. */
export function headerOf(operation: string, path: string, dtype: Dtype, shape: Shape, options: CreateOptions): Buffer {
  const { format = outputFormatOf(path), key = "tensor", metadata = {} } = options;
  for (const option of ["key", "metadata"] as const) {
    if (options[option] === undefined || format === "safetensors") continue;
    throw new InvalidArgumentError(operation, option, `none for ${format}`, describe(options[option]));
  }
  switch (format) {
    case "npy":
      return formatNpyHeader(shape, descrOf(dtype));
    case "raw":
      return Buffer.alloc(0);
    case "safetensors": {
      const [name] = Object.entries(SAFETENSORS_DTYPES).find(([, own]) => own === dtype) as [string, Dtype];
      const entry = { dtype: name, shape, begin: 0, end: cellsOf(shape) * CELL_BYTES[dtype] };
      checkName(operation, "key", key);
      return formatSafetensorsHeader(operation, "key", [[key, entry]], metadataOf(operation, metadata));
    }
  }
}

/** The format that a name to write to asks for. */
export function outputFormatOf(path: string): OutputFormat {
  if (path.endsWith(".npy")) return "npy";
  return path.endsWith(".safetensors") ? "safetensors" : "raw";
}
