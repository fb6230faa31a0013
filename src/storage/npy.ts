// NumPy's .npy: a magic string, a version, a Python dict literal that says dtype, order and shape, then the cells.
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1.0, 2.0 and 3.0.
import { FileFormatError } from "../errors.js";
import { cellsOf, type Shape } from "../tensor/shape.js";

const MAGIC = Buffer.from("\x93NUMPY", "latin1");
/** Magic, version, and the header's length: 2 bytes in version 1, 4 from version 2 on. */
const PREAMBLE_BYTES = 12;
/** NumPy pads so that the cells start at a multiple of this. */
const ALIGNMENT = 64;
/** Longer headers are refused: NumPy itself writes some 100 bytes for an array, and reads 10,000 of untrusted files. */
const MAX_HEADER_BYTES = 65_536;

/** What an .npy file says of its cells. */
export interface NpyHeader {
  readonly version: string;
  /** NumPy's type string, such as `<f4`. */
  readonly descr: string;
  readonly fortranOrder: boolean;
  readonly shape: Shape;
  /** Bytes from the start of the file to the first cell. */
  readonly dataOffset: number;
}

/** Reads `length` bytes at `position` of a file, or fewer where it ends. */
export type ReadAt = (position: number, length: number) => Promise<Buffer>;

/** Reads and checks a header. `path` is for messages. Throws FileFormatError. */
export async function readNpyHeader(path: string, readAt: ReadAt): Promise<NpyHeader> {
  const fail = (message: string): never => {
    throw new FileFormatError("npy", path, message);
  };
  const preamble = await readAt(0, PREAMBLE_BYTES);
  if (!preamble.subarray(0, MAGIC.length).equals(MAGIC))
    return fail("expected an .npy file but its magic string is missing");
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
  const fields = parseDict(header.toString(major === 3 ? "utf8" : "latin1"));
  if (fields === undefined) return fail("expected a header with descr, fortran_order and shape but could not read it");
  return { version: `${major}.${minor}`, ...fields, dataOffset: start + length };
}

// The dict as NumPy writes it, in any order of keys and with any white space between tokens.
const DESCR = /^'descr'\s*:\s*(?:'([^']*)'|(\[[^\]]*\]))/;
const ORDER = /^'fortran_order'\s*:\s*(True|False)/;
const SHAPE = /^'shape'\s*:\s*\(\s*((?:\d+L?\s*,\s*)*(?:\d+L?)?)\s*\)/;

function parseDict(text: string): Pick<NpyHeader, "descr" | "fortranOrder" | "shape"> | undefined {
  const braces = /^\s*\{\s*([\s\S]*)\}\s*$/.exec(text);
  let rest = braces?.[1]?.replaceAll('"', "'") ?? "";
  let descr: string | undefined;
  let fortranOrder: boolean | undefined;
  let shape: number[] | undefined;
  while (rest !== "") {
    const found = DESCR.exec(rest) ?? ORDER.exec(rest) ?? SHAPE.exec(rest);
    if (found === null) return undefined;
    if (found[0].startsWith("'d")) descr = found[1] ?? found[2];
    else if (found[0].startsWith("'f")) fortranOrder = found[1] === "True";
    else
      shape = (found[1] ?? "")
        .split(",")
        .filter((size) => size.trim() !== "")
        .map((size) => Number.parseInt(size, 10));
    const after = /^\s*(?:,\s*|$)/.exec(rest.slice(found[0].length));
    if (after === null) return undefined;
    rest = rest.slice(found[0].length + after[0].length);
  }
  if (descr === undefined || fortranOrder === undefined || shape === undefined) return undefined;
  return { descr, fortranOrder, shape };
}

/**
 * Holds a header to what normpool reads: little-endian float32 in C order, all cells within `fileBytes`.
 * Throws FileFormatError.
 */
export function checkNpyFloat32(path: string, header: NpyHeader, fileBytes: number): void {
  const { descr, fortranOrder, shape, dataOffset } = header;
  if (descr !== "<f4")
    throw new FileFormatError("npy", path, `expected dtype <f4 (float32) but got ${descr} (use .astype("float32"))`);
  if (fortranOrder)
    throw new FileFormatError("npy", path, "expected C order but got Fortran order (use numpy.ascontiguousarray)");
  const wanted = cellsOf(shape) * 4;
  const there = fileBytes - dataOffset;
  if (!(wanted <= there)) {
    const message = `expected ${wanted} bytes of cells for shape [${shape.join(", ")}] but the file has ${there}`;
    throw new FileFormatError("npy", path, message);
  }
}

/** The header of a float32 array in C order, as NumPy writes it: version 1.0, or 2.0 where the shape is too long for it. */
export function formatNpyHeader(shape: Shape): Buffer {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple}, }`;
  const headerFor = (start: number) =>
    dict.padEnd(Math.ceil((start + dict.length + 1) / ALIGNMENT) * ALIGNMENT - start - 1);
  const short = headerFor(10).length + 1 < 65_536;
  const header = `${headerFor(short ? 10 : 12)}\n`;
  const preamble = Buffer.alloc(short ? 10 : 12);
  MAGIC.copy(preamble);
  preamble.writeUInt8(short ? 1 : 2, 6);
  if (short) preamble.writeUInt16LE(header.length, 8);
  else preamble.writeUInt32LE(header.length, 8);
  return Buffer.concat([preamble, Buffer.from(header, "latin1")]);
}
