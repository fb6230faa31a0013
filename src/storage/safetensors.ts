// safetensors files: the length of a JSON header, the header (names to dtype, shape and place), the cells.
// Format: https://github.com/huggingface/safetensors#format
import { type FileHandle, open, stat } from "node:fs/promises";
import { readOptions } from "../check.js";
import { describe, FileFormatError, InvalidArgumentError } from "../errors.js";
import type { StateDict, StateTensor } from "../layers/state.js";
import { cellsOf, type Shape } from "../tensor/shape.js";

/** The format's own bound on a header. */
const MAX_HEADER_BYTES = 100_000_000;
const ALIGNMENT = 8;

interface Entry {
  readonly dtype: string;
  readonly shape: Shape;
  readonly data_offsets: readonly [number, number];
}

interface Codec {
  readonly bytes: number;
  decode(bytes: Uint8Array): StateTensor["data"];
}

// Cells are copied to a buffer of their own, since a typed array must start at a multiple of its element.
const CODECS: Readonly<Record<string, Codec>> = {
  F32: { bytes: 4, decode: (bytes) => new Float32Array(bytes.slice().buffer) },
  F64: { bytes: 8, decode: (bytes) => new Float64Array(bytes.slice().buffer) },
  I64: { bytes: 8, decode: (bytes) => new BigInt64Array(bytes.slice().buffer) },
  F16: { bytes: 2, decode: (bytes) => Float32Array.from(new Uint16Array(bytes.slice().buffer), widenFloat16) },
  BF16: { bytes: 2, decode: (bytes) => widenBfloat16(new Uint16Array(bytes.slice().buffer)) },
};

export interface ReadSafetensorsOptions {
  /** Read only tensors whose names start with this; names stay whole. Default "": all. */
  readonly prefix?: string;
}

/**
 * Reads the tensors of a safetensors file, such as Python's `save_file(model.state_dict(), path)` writes. float16 and bfloat16
 * are widened to float32, which holds all of their values. Only the tensors under `prefix` are read from the file.
 * @throws FileFormatError, also for a tensor under `prefix` of a dtype other than F64, F32, F16, BF16 and I64.
 */
export async function readSafetensors(path: string, options?: ReadSafetensorsOptions): Promise<StateDict> {
  const operation = "readSafetensors";
  const { prefix } = readOptions<Required<ReadSafetensorsOptions>>(operation, options, { prefix: "" });
  if (typeof prefix !== "string") throw new InvalidArgumentError(operation, "prefix", "a string", describe(prefix));
  const found = await stat(path);
  if (!found.isFile()) throw new FileFormatError(operation, path, "expected a regular file");
  const file = await open(path, "r");
  try {
    const { entries, dataOffset } = await readHeader(path, file, found.size);
    const dict: Record<string, StateTensor> = {};
    for (const [name, entry] of entries) {
      if (!name.startsWith(prefix)) continue;
      const codec = checkEntry(path, name, entry, found.size - dataOffset);
      const [begin, end] = entry.data_offsets;
      const data = codec.decode(await readExactly(path, file, dataOffset + begin, end - begin));
      dict[name] = { shape: entry.shape, data };
    }
    return dict;
  } finally {
    await file.close();
  }
}

/** Writes a state dict as a safetensors file, which Python's `load_file` reads. The file is replaced if it exists. */
export async function writeSafetensors(path: string, dict: StateDict): Promise<void> {
  const header: Record<string, Entry> = {};
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(dict)) {
    const dtype = data instanceof Float32Array ? "F32" : data instanceof Float64Array ? "F64" : "I64";
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    offset += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / ALIGNMENT) * ALIGNMENT, " ");
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = await open(path, "w");
  try {
    for (const part of [length, padded, ...parts]) await file.writeFile(part);
  } finally {
    await file.close();
  }
}

async function readHeader(path: string, file: FileHandle, size: number) {
  const fail = (message: string, cause?: unknown) => new FileFormatError("readSafetensors", path, message, { cause });
  if (size < 8) throw fail(`expected a safetensors file but it has ${size} bytes`);
  const length = Number((await readExactly(path, file, 0, 8)).readBigUInt64LE());
  if (length > MAX_HEADER_BYTES || length > size - 8) {
    throw fail(`expected a header of at most ${Math.min(MAX_HEADER_BYTES, size - 8)} bytes but got ${length}`);
  }
  const text = (await readExactly(path, file, 8, length)).toString("utf8");
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw fail("expected a header of JSON", cause);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header))
    throw fail("expected an object as header");
  return { entries: Object.entries(header).filter(([name]) => name !== "__metadata__"), dataOffset: 8 + length };
}

/** Holds a header's entry to its own sizes and the file's. Throws FileFormatError. */
function checkEntry(path: string, name: string, entry: Partial<Entry> | null, dataBytes: number): Codec {
  const fail = (message: string) => new FileFormatError("readSafetensors", path, `${JSON.stringify(name)}: ${message}`);
  const { dtype, shape, data_offsets: offsets } = entry ?? {};
  const isSize = (size: unknown) => typeof size === "number" && Number.isSafeInteger(size) && size >= 0;
  const codec = dtype !== undefined && Object.hasOwn(CODECS, dtype) ? CODECS[dtype] : undefined;
  if (codec === undefined) throw fail(`expected dtype ${Object.keys(CODECS).join(", ")} but got ${describe(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail(`expected sizes as shape but got ${describe(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw fail(`expected two offsets but got ${describe(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const bytes = cellsOf(shape) * codec.bytes;
  if (end - begin !== bytes || end > dataBytes) {
    throw fail(`expected ${bytes} bytes within ${dataBytes} but got those from ${begin} to ${end}`);
  }
  return codec;
}

async function readExactly(path: string, file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, position);
  if (bytesRead < length)
    throw new FileFormatError("readSafetensors", path, "the file became shorter while it was read");
  return buffer;
}

/** A float16's value: 1 sign, 5 exponent, 10 fraction bits. */
function widenFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** bfloat16 is the upper half of a float32. */
function widenBfloat16(halves: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}
