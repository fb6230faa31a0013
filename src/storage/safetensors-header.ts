// The header of a safetensors file: a JSON object of names to dtype, shape and place, and of __metadata__ to strings. It is held to
// what Python's reader holds it to, and to what the format says beyond that: no name twice, and "{" as its first character.
import { isUtf8 } from "node:buffer";
import { describe } from "../describe.js";
import { InvalidArgumentError } from "../errors.js";
import type { Shape } from "../tensor/shape.js";
import { BITS } from "./safetensors-dtypes.js";
import { Scanner } from "./scanner.js";

/** The name that is no tensor's. */
export const METADATA = "__metadata__";
/** The header's own length, before it. */
export const LENGTH_BYTES = 8;
/** The format's own bound on a header. */
export const MAX_HEADER_BYTES = 100_000_000;

export interface TensorEntry {
  readonly dtype: string;
  readonly shape: Shape;
  /** Bytes from the first cell of the first tensor. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Parses a header whose tensors cover the `dataBytes` after it without hole or overlap, in time and memory in proportion to its
 * length. Throws what `error` makes of a message.
 */
export function parseSafetensorsHeader(
  bytes: Buffer,
  dataBytes: number,
  error: (message: string) => Error,
): SafetensorsHeader {
  if (!isUtf8(bytes)) throw error("expected a header in UTF-8");
  const text = bytes.toString("utf8");
  if (!text.startsWith("{")) throw error('expected a header that starts with "{"');
  const scanner = new Scanner(text, error);
  const tensors = new Map<string, TensorEntry>();
  let metadata: Map<string, string> | undefined;
  parseObject(scanner, (name) => {
    if (name === METADATA) {
      if (metadata !== undefined) throw error(`expected ${METADATA} once but got it twice`);
      metadata = parseMetadata(scanner, error);
    } else if (tensors.has(name)) throw error(`expected each tensor once but got ${describe(name)} twice`);
    else tensors.set(name, parseEntry(scanner, name, error));
  });
  scanner.expectEnd();
  checkPlaces(tensors, dataBytes, error);
  return { tensors, metadata: metadata ?? new Map() };
}

/** An object, whose values `parseValue` passes. */
function parseObject(scanner: Scanner, parseValue: (key: string) => void): void {
  scanner.expect("{");
  if (scanner.take("}")) return;
  do {
    const key = parseString(scanner);
    scanner.expect(":");
    parseValue(key);
  } while (scanner.take(","));
  scanner.expect("}");
}

function parseString(scanner: Scanner): string {
  if (scanner.peek('"') === "") throw scanner.unexpected("a string");
  const start = scanner.position;
  const quoted = scanner.quoted();
  try {
    const text: string = JSON.parse(quoted);
    // Half of a surrogate pair is no text: UTF-8 has no bytes for it.
    if (!/\p{Surrogate}/u.test(text)) return text;
  } catch {
    // As below: no more is known of what is wrong with it.
  }
  scanner.position = start;
  throw scanner.unexpected("a string of JSON");
}

function parseSizes(scanner: Scanner): number[] {
  const sizes: number[] = [];
  scanner.expect("[");
  if (scanner.take("]")) return sizes;
  do sizes.push(scanner.size());
  while (scanner.take(","));
  scanner.expect("]");
  return sizes;
}

/** A field that the format does not have, of which only its end matters: Python's reader passes it too. */
function passValue(scanner: Scanner): void {
  if (scanner.peek('"') !== "") return void parseString(scanner);
  const start = scanner.position;
  const value = scanner.peek("[{") === "" ? scanner.word() : scanner.nested();
  try {
    JSON.parse(value);
  } catch {
    scanner.position = start;
    throw scanner.unexpected("a value of JSON");
  }
}

/** Null counts as no metadata, as in Python. */
function parseMetadata(scanner: Scanner, error: (message: string) => Error): Map<string, string> {
  const metadata = new Map<string, string>();
  if (scanner.take("null")) return metadata;
  parseObject(scanner, (key) => {
    if (metadata.has(key)) throw error(`expected each key of ${METADATA} once but got ${describe(key)} twice`);
    metadata.set(key, parseString(scanner));
  });
  return metadata;
}

function parseEntry(scanner: Scanner, name: string, error: (message: string) => Error): TensorEntry {
  const fail = (message: string) => error(`${describe(name)}: ${message}`);
  const once = (field: string, value: unknown) => {
    if (value !== undefined) throw fail(`expected ${field} once but got it twice`);
  };
  let dtype: string | undefined;
  let shape: Shape | undefined;
  let offsets: number[] | undefined;
  parseObject(scanner, (key) => {
    if (key === "dtype") {
      once(key, dtype);
      dtype = parseString(scanner);
    } else if (key === "shape") {
      once(key, shape);
      shape = parseSizes(scanner);
    } else if (key === "data_offsets") {
      once(key, offsets);
      offsets = parseSizes(scanner);
    } else passValue(scanner);
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    throw fail("expected a dtype, a shape and data_offsets but not all of them are there");
  }
  const [begin, end] = offsets;
  if (offsets.length !== 2 || begin === undefined || end === undefined) {
    throw fail(`expected two offsets but got ${describe(offsets)}`);
  }
  return { dtype, shape, begin, end };
}

/** Holds each tensor's place to its dtype and shape, and all of them to the file: one begins where the one before ends. */
function checkPlaces(
  tensors: ReadonlyMap<string, TensorEntry>,
  dataBytes: number,
  error: (message: string) => Error,
): void {
  const places = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let before = 0;
  for (const [name, { dtype, shape, begin, end }] of places) {
    const fail = (message: string) => error(`${describe(name)}: ${message}`);
    if (begin !== before || end < begin) {
      throw fail(
        `expected its bytes from ${before} on, where the tensor before ends, but got those from ${begin} to ${end}`,
      );
    }
    before = end;
    // A dtype that is newer than this list is an error only where its tensor is asked for.
    const bits = Object.hasOwn(BITS, dtype) ? BITS[dtype] : undefined;
    if (bits === undefined) continue;
    const cells = shape.reduce((count, size) => (Number.isSafeInteger(count * size) ? count * size : Number.NaN), 1);
    if (Number.isNaN(cells)) throw fail(`expected a shape of fewer than 2^53 cells but got ${describe(shape)}`);
    const bytes = (cells * bits) / 8;
    if (end - begin !== bytes) {
      throw fail(
        `expected ${bytes} bytes for ${dtype} of shape ${describe(shape)} but got those from ${begin} to ${end}`,
      );
    }
  }
  if (before !== dataBytes) throw error(`expected ${before} bytes of cells after the header but got ${dataBytes}`);
}

/**
 * What comes before the cells of tensors in this order: the header and its length, padded so that the cells start at a multiple of 8. Throws
 * InvalidArgumentError of `argument` where it is too long.
 */
export function formatSafetensorsHeader(
  operation: string,
  argument: string,
  tensors: readonly (readonly [name: string, entry: TensorEntry])[],
  metadata: readonly (readonly [key: string, value: string])[],
): Buffer {
  const entries = tensors.map(([name, { dtype, shape, begin, end }]) => [
    name,
    { dtype, shape, data_offsets: [begin, end] },
  ]);
  // fromEntries makes an own property of `__proto__` too.
  const first = metadata.length === 0 ? [] : [[METADATA, Object.fromEntries(metadata)]];
  const json = Buffer.from(JSON.stringify(Object.fromEntries([...first, ...entries])));
  const header = Buffer.concat([json, Buffer.alloc(-json.length & 7, " ")]);
  if (header.length > MAX_HEADER_BYTES) {
    const expected = `names, shapes and metadata of at most ${MAX_HEADER_BYTES} bytes`;
    throw new InvalidArgumentError(operation, argument, expected, String(header.length));
  }
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header]);
}
