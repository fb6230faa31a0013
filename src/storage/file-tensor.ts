// Tensors whose cells are in files.
import { access, constants, realpath } from "node:fs/promises";
import { describe, InvalidArgumentError, ReadFailedError, WriteFailedError } from "../errors.js";
import { CELL_BYTES, type Dtype } from "../tensor/dtype.js";
import { OutputTensor } from "../tensor/output-tensor.js";
import { cellsOf, type Shape } from "../tensor/shape.js";
import { type Holding, Tensor } from "../tensor/tensor.js";
import { swap } from "./bytes.js";
import type { OutputFormat } from "./format.js";
import { withInput } from "./input.js";
import { type LocateOptions, locate } from "./locate.js";
import { formatNpyHeader } from "./npy.js";
import { descrOf } from "./npy-cells.js";
import { Output } from "./output.js";
import { SAFETENSORS_DTYPES } from "./safetensors-dtypes.js";
import { formatSafetensorsHeader } from "./safetensors-header.js";
import { checkName, metadataOf } from "./safetensors-text.js";
import type { FileSpec } from "./spec.js";
import { describeSystemError } from "./system-error.js";

/** Cells in a file that is there. */
class FileHolding implements Holding {
  readonly arena = null;
  readonly data = null;
  spec: FileSpec;

  constructor(spec: FileSpec) {
    this.spec = spec;
  }

  async read(at: number, bytes: number): Promise<SharedArrayBuffer> {
    const { path, offset, id, size, modified, swapped } = this.spec;
    return withInput("tensor.read", path, async (input) => {
      const { identity } = input;
      if (identity.id !== id || identity.size < size || (modified !== null && identity.modified !== modified)) {
        throw new ReadFailedError("tensor.read", path, "it was changed since it was opened first");
      }
      const buffer = new SharedArrayBuffer(bytes);
      const cells = { buffer, byteOffset: 0, byteLength: bytes };
      await input.fill(cells, offset + at);
      swap(cells, swapped);
      return buffer;
    });
  }

  release(): void {}
}

/** Cells in a file that has no name yet. */
class OutputHolding extends FileHolding {
  readonly gone: Promise<void>;
  readonly #output: Output;
  #committed: Promise<void> | undefined;
  #tellGone = (): void => {};

  constructor(spec: FileSpec, output: Output) {
    super(spec);
    this.#output = output;
    this.gone = new Promise((resolve) => {
      this.#tellGone = resolve;
    });
  }

  commit(): Promise<void> {
    this.#committed ??= this.#finish();
    return this.#committed;
  }

  override release(): void {
    dropped.unregister(this.#output);
    (this.#committed ?? this.#output.abandon()).then(this.#tellGone, this.#tellGone);
  }

  async #finish(): Promise<void> {
    const output = this.#output;
    dropped.unregister(output);
    try {
      const { modified } = await output.finish();
      const { descriptor: _, ...place } = this.spec;
      this.spec = { ...place, path: output.target, modified };
    } catch (error) {
      await output.abandon();
      throw error;
    }
  }
}

/** Outputs whose tensors were dropped, neither committed nor disposed of. */
const dropped = new FinalizationRegistry<Output>((output) => void output.abandon());

export interface OpenOptions extends LocateOptions {
  /** Whether calls may write to it, in place: of an interrupted call some cells are written, and others not. Default false. */
  readonly writable?: boolean | undefined;
}

/** A tensor of the file at `path`. Its cells stay there. */
export async function openTensor(operation: string, path: string, options: OpenOptions): Promise<Tensor> {
  const { writable = false } = options;
  return withInput(operation, path, async (input) => {
    const { format, dtype, shape, offset, swapped } = await locate(operation, input, options);
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
    const place = { kind: "file", path: await realpath(path), offset, id, size, swapped } as const;
    return new Tensor(new FileHolding({ ...place, modified: writable ? null : modified }), dtype, shape);
  });
}

export interface CreateOptions {
  /** Default: what the file's name ends with says, `.npy` or `.safetensors`; others are raw cells. */
  readonly format?: OutputFormat | undefined;
  /** The tensor's name in a safetensors file. Default "tensor". */
  readonly key?: string | undefined;
  /** Strings beside the tensor in a safetensors file. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** A tensor of zeros in a file that has the name `path` when it is committed. */
export async function createTensor<D extends Dtype>(
  operation: string,
  path: string,
  dtype: D,
  shape: Shape,
  options: CreateOptions,
): Promise<OutputTensor<D>> {
  const header = headerOf(operation, path, dtype, shape, options);
  const bytes = header.length + cellsOf(shape) * CELL_BYTES[dtype];
  const output = await Output.create(operation, path, bytes);
  try {
    await output.write(header);
    await output.extend(bytes);
    const { id } = await output.identity();
    const place = { path: output.partial, descriptor: output.descriptor, offset: header.length, id, size: bytes };
    const holding = new OutputHolding({ kind: "file", ...place, modified: null, swapped: 1 }, output);
    const tensor = new OutputTensor<D>(holding, dtype, shape);
    dropped.register(tensor, output, output);
    return tensor;
  } catch (error) {
    await output.abandon();
    throw error;
  }
}

/** What comes before the cells. */
function headerOf(operation: string, path: string, dtype: Dtype, shape: Shape, options: CreateOptions): Buffer {
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
