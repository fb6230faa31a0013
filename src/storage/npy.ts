// NumPy's .npy: a magic string, a version, a Python dict literal that says dtype, order and shape, then the cells.
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1.0, 2.0 and 3.0.
import { isUtf8 } from "node:buffer";
import { FileFormatError } from "../errors.js";
import type { Shape } from "../tensor/shape.js";
import { describeLookalike, TELLING_BYTES } from "./lookalike.js";
import { type NpyDict, parseNpyDict } from "./npy-dict.js";

/** How every .npy file begins. */
const NPY_MAGIC = Buffer.from("\x93NUMPY", "latin1");
export function isNpy(start: Buffer): boolean {
  return start.subarray(0, NPY_MAGIC.length).equals(NPY_MAGIC);
}

/** Magic, version, and the header's length: 2 bytes in version 1, 4 from version 2 on. */
const PREAMBLE_BYTES = 12;
/** NumPy pads so that the cells start at a multiple of this. */
const ALIGNMENT = 64;
/** Longer headers are refused: NumPy itself writes some 100 bytes for an array, and reads 10,000 of untrusted files. */
const MAX_HEADER_BYTES = 65_536;

/** What an .npy file says of its cells. */
export interface NpyHeader extends NpyDict {
  readonly version: string;
  /** Bytes from the start of the file to the first cell. */
  readonly dataOffset: number;
}

/** Reads `length` bytes at `position` of a file, or fewer where it ends. */
export type ReadAt = (position: number, length: number) => Promise<Buffer>;

/** Reads and checks a header. `path` is for messages. Throws FileFormatError. */
export async function readNpyHeader(path: string, readAt: ReadAt): Promise<NpyHeader> {
  const error = (message: string) => new FileFormatError("npy", path, message);
  const fail = (message: string): never => {
    throw error(message);
  };
  const preamble = await readAt(0, PREAMBLE_BYTES);
  if (!isNpy(preamble)) {
    const looks = describeLookalike(await readAt(0, TELLING_BYTES), "npy");
    return fail(`expected an .npy file but its magic string is missing${looks}`);
  }
  if (preamble.length < PREAMBLE_BYTES)
    return fail(`expected a header but the file ends after ${preamble.length} bytes`);
  const major = preamble.readUInt8(6);
  const minor = preamble.readUInt8(7);
  if (major < 1 || major > 3 || minor !== 0)
    return fail(`expected .npy version 1.0, 2.0 or 3.0 but got ${major}.${minor}`);
  const start = major === 1 ? 10 : 12;
  const length = major === 1 ? preamble.readUInt16LE(8) : preamble.readUInt32LE(8);
  if (length > MAX_HEADER_BYTES)
    return fail(`expected a header of at most ${MAX_HEADER_BYTES} bytes but got ${length}`);
  const header = await readAt(start, length);
  if (header.length < length)
    return fail(`expected a header of ${length} bytes but the file ends after ${header.length}`);
  if (major === 3 && !isUtf8(header)) return fail("expected a header in UTF-8");
  const dict = parseNpyDict(header.toString(major === 3 ? "utf8" : "latin1"), error);
  return { version: `${major}.${minor}`, ...dict, dataOffset: start + length };
}

/**
 * The header of an array in C order, as NumPy writes it: version 1.0, or 2.0 where the shape is too long for it.
 * @param descr NumPy's type string.
 */
export function formatNpyHeader(shape: Shape, descr = "<f4"): Buffer {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const headerFor = (start: number) =>
    dict.padEnd(Math.ceil((start + dict.length + 1) / ALIGNMENT) * ALIGNMENT - start - 1);
  const short = headerFor(10).length + 1 < 65_536;
  const header = `${headerFor(short ? 10 : 12)}\n`;
  const preamble = Buffer.alloc(short ? 10 : 12);
  NPY_MAGIC.copy(preamble);
  preamble.writeUInt8(short ? 1 : 2, 6);
  if (short) preamble.writeUInt16LE(header.length, 8);
  else preamble.writeUInt32LE(header.length, 8);
  return Buffer.concat([preamble, Buffer.from(header, "latin1")]);
}
