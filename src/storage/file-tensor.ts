// Tensors whose cells are in files.
import { realpath } from "node:fs/promises";
import { InvalidArgumentError, ReadFailedError } from "../errors.js";
import { CELL_BYTES, type Dtype } from "../tensor/dtype.js";
import { OutputTensor } from "../tensor/output-tensor.js";
import { cellsOf, type Shape } from "../tensor/shape.js";
import { type Holding, Tensor } from "../tensor/tensor.js";
import { withInput } from "./input.js";
import { type FileFormat, type LocateOptions, locate } from "./locate.js";
import { formatNpyHeader } from "./npy.js";
import { descrOf } from "./npy-cells.js";
import { Output } from "./output.js";
import { SAFETENSORS_DTYPES } from "./safetensors-dtypes.js";
import { formatSafetensorsHeader, LENGTH_BYTES } from "./safetensors-header.js";
import type { FileSpec } from "./spec.js";

export interface OpenOptions extends LocateOptions {
  /** Whether calls may write to it, in place: an interrupted call leaves some cells written. Default false. */
  readonly writable?: boolean | undefined;
}

/** Cells in a file that is there. */
class FileHolding implements Holding {
  readonly arena = null;
  readonly data = null;
  spec: FileSpec;

  constructor(spec: FileSpec) {
    this.spec = spec;
  }

  async read(target: Uint8Array, at: number): Promise<void> {
    const { path, offset, id, modified, swapped } = this.spec;
    await withInput("tensor.read", path, async (input) => {
      if (input.identity.id !== id || (modified !== null && input.identity.modified !== modified)) {
        throw new ReadFailedError("tensor.read", path, "it was changed since it was opened first");
      }
      await input.fill(target, offset + at);
      swap(Buffer.from(target.buffer, target.byteOffset, target.byteLength), swapped);
    });
  }

  release(): void {}
}

/** Cells in a file that has no name yet. */
class OutputHolding extends FileHolding {
  readonly #output: Output;
  #committed: Promise<void> | undefined;

  constructor(spec: FileSpec, output: Output) {
    super(spec);
    this.#output = output;
  }

  commit(): Promise<void> {
    this.#committed ??= this.#finish();
    return this.#committed;
  }

  override release(): void {
    dropped.unregister(this.#output);
    if (this.#committed === undefined) void this.#output.abandon();
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
    const { dtype, shape, offset, swapped } = await locate(operation, input, options);
    if (writable && swapped !== 1) {
      throw new InvalidArgumentError(operation, "writable", "a file of little-endian cells", "big-endian ones");
    }
    const { id, size, modified } = input.identity;
    const place = { kind: "file", path: await realpath(path), offset, id, size, swapped } as const;
    return new Tensor(new FileHolding({ ...place, modified: writable ? null : modified }), dtype, shape);
  });
}

export interface CreateOptions {
  /** Default: what the file's name ends with says, `.npy` or `.safetensors`; others are raw cells. */
  readonly format?: FileFormat | undefined;
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
  const header = headerOf(path, dtype, shape, options);
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
function headerOf(path: string, dtype: Dtype, shape: Shape, options: CreateOptions): Buffer {
  const { format = formatOf(path), key = "tensor", metadata = {} } = options;
  switch (format) {
    case "npy":
      return formatNpyHeader(shape, descrOf(dtype));
    case "raw":
      return Buffer.alloc(0);
    case "safetensors": {
      const [name] = Object.entries(SAFETENSORS_DTYPES).find(([, own]) => own === dtype) as [string, Dtype];
      const entry = { dtype: name, shape, begin: 0, end: cellsOf(shape) * CELL_BYTES[dtype] };
      const header = formatSafetensorsHeader([[key, entry]], Object.entries(metadata));
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeBigUInt64LE(BigInt(header.length));
      return Buffer.concat([length, header]);
    }
  }
}

function formatOf(path: string): FileFormat {
  if (path.endsWith(".npy")) return "npy";
  return path.endsWith(".safetensors") ? "safetensors" : "raw";
}

/** Turns the order of the bytes of each element. */
function swap(cells: Buffer, size: FileSpec["swapped"]): void {
  if (size === 2) cells.swap16();
  else if (size === 4) cells.swap32();
  else if (size === 8) cells.swap64();
}
