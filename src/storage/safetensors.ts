// Reading safetensors files: the length of a JSON header, the header (names to dtype, shape and place), the cells.
// Format: https://github.com/huggingface/safetensors#format
import { type Complete, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { FileFormatError, InvalidArgumentError } from "../errors.js";
import type { StateDict, StateTensor } from "../layers/state.js";
import { cellsOf } from "../tensor/shape.js";
import { type Input, withInput } from "./input.js";
import { describeLookalike, TELLING_BYTES } from "./lookalike.js";
import { CODECS, type Codec } from "./safetensors-dtypes.js";
import { LENGTH_BYTES, MAX_HEADER_BYTES, parseSafetensorsHeader, type TensorEntry } from "./safetensors-header.js";

/** float16 or bfloat16 cells that are widened at once: what a core's cache holds. */
const HALVES_AT_ONCE = 1 << 18;

export interface ReadSafetensorsOptions {
  /** Read only tensors whose names start with this; names stay whole. Default "": all. */
  readonly prefix?: string | undefined;
}

/**
 * Reads the tensors of a safetensors file, such as Python's `save_file(model.state_dict(), path)` writes. float16 and bfloat16
 * are widened to float32, which holds all of their values. Only the tensors under `prefix` are read from the file.
 * @throws FileFormatError, also for a tensor under `prefix` of a dtype other than F64, F32, F16, BF16 and I64.
 */
export async function readSafetensors(path: string, options?: ReadSafetensorsOptions): Promise<StateDict> {
  const operation = "readSafetensors";
  const { prefix } = readOptions<Complete<ReadSafetensorsOptions>>(operation, options, { prefix: "" });
  if (typeof prefix !== "string") throw new InvalidArgumentError(operation, "prefix", "a string", describe(prefix));
  return withInput(operation, path, async (input) => {
    const { tensors, dataOffset } = await readHeader(operation, input);
    const fail = (name: string, message: string, cause?: unknown) =>
      new FileFormatError(operation, path, `${describe(name)}: ${message}`, { cause });
    const asked = [...tensors].filter(([name]) => name.startsWith(prefix));
    // All of them before any is read.
    const codecs = asked.map(([name, { dtype }]) => {
      const codec = Object.hasOwn(CODECS, dtype) ? CODECS[dtype] : undefined;
      if (codec !== undefined) return codec;
      throw fail(name, `expected dtype ${Object.keys(CODECS).join(", ")} but got ${describe(dtype)}`);
    });
    const dict: [string, StateTensor][] = [];
    for (const [i, [name, entry]] of asked.entries()) {
      const codec = codecs[i] as Codec;
      let data: StateTensor["data"];
      try {
        data = codec.make(cellsOf(entry.shape));
      } catch (cause) {
        const message = `expected a tensor that fits in an ArrayBuffer but its shape is ${describe(entry.shape)}`;
        throw fail(name, `${message} (prefix can leave it out)`, cause);
      }
      await readCells(input, dataOffset + entry.begin, codec, data);
      dict.push([name, { shape: entry.shape, data }]);
    }
    // Unlike assignment this makes an own property of `__proto__` too.
    return Object.fromEntries(dict);
  });
}

/**
 * Reads the strings that a safetensors file keeps beside its tensors (`__metadata__`), and no tensor: what Python has as
 * `safe_open(path).metadata()`. An empty object where there are none.
 * @throws FileFormatError
 */
export async function readSafetensorsMetadata(path: string): Promise<Readonly<Record<string, string>>> {
  const operation = "readSafetensorsMetadata";
  return withInput(operation, path, async (input) => Object.fromEntries((await readHeader(operation, input)).metadata));
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** Bytes from the start of the file to the first cell. */
  readonly dataOffset: number;
}

/** Whether a file that begins so may be one. */
export function isSafetensors(start: Buffer): boolean {
  return start[LENGTH_BYTES] === "{".charCodeAt(0) && start.readBigUInt64LE() <= MAX_HEADER_BYTES;
}

export async function readHeader(operation: string, input: Input): Promise<SafetensorsFile> {
  const first = await input.readAt(0, TELLING_BYTES);
  const looks = first[LENGTH_BYTES] === "{".charCodeAt(0) ? "" : describeLookalike(first, "safetensors");
  const error = (message: string) => new FileFormatError(operation, input.path, message + looks);
  if (first.length < LENGTH_BYTES) throw error(`expected a safetensors file but it has ${first.length} bytes`);
  const length = Number(first.readBigUInt64LE());
  const most = Math.min(MAX_HEADER_BYTES, input.size - LENGTH_BYTES);
  if (length > most) throw error(`expected a header of at most ${most} bytes but got ${length}`);
  const dataOffset = LENGTH_BYTES + length;
  const bytes = await input.readAt(LENGTH_BYTES, length);
  return { ...parseSafetensorsHeader(bytes, input.size - dataOffset, error), dataOffset };
}

/** Cells are read where they are to be; only what is widened goes through a small buffer. */
async function readCells(input: Input, position: number, codec: Codec, data: StateTensor["data"]): Promise<void> {
  if (codec.widen === undefined) return input.fill(data, position);
  const halves = new Uint16Array(Math.min(HALVES_AT_ONCE, data.length));
  for (let at = 0; at < data.length; at += halves.length) {
    const some = halves.subarray(0, data.length - at);
    await input.fill(some, position + 2 * at);
    codec.widen(some, data, at);
  }
}
