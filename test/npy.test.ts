import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FileFormatError } from "../src/index.js";
import { formatNpyHeader, readNpyHeader } from "../src/storage/npy.js";
import { locateNpy } from "../src/storage/npy-cells.js";

/** A fixture that NumPy wrote (test/fixtures/make-npy.py). */
function fixture(name: string): Buffer {
  return readFileSync(fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url)));
}

function headerOf(file: Buffer) {
  return readNpyHeader("x.npy", async (position, length) => file.subarray(position, position + length));
}

function locate(file: Buffer, size = file.length) {
  const readAt = async (position: number, length: number) => file.subarray(position, position + length);
  return locateNpy("npy", { path: "x.npy", size, readAt }, undefined);
}

describe("reading what NumPy wrote", () => {
  test.each([
    ["v1.npy", "1.0"],
    ["v2.npy", "2.0"],
    ["v3.npy", "3.0"],
  ])("%s: shape, offset and cells", async (name, version) => {
    const file = fixture(name);
    const header = await headerOf(file);
    expect(header).toMatchObject({ version, descr: "<f4", fortranOrder: false, shape: [2, 3, 4] });
    expect(await locate(file)).toEqual({ dtype: "float32", shape: [2, 3, 4], offset: header.dataOffset, swapped: 1 });
    expect(file.length).toBe(header.dataOffset + 96);
    for (let i = 0; i < 24; i++) expect(file.readFloatLE(header.dataOffset + 4 * i)).toBe(i / 8);
  });

  test.each([
    ["scalar.npy", []],
    ["vector.npy", [5]],
    ["empty.npy", [0, 3]],
  ])("%s has shape [%s]", async (name, shape) => {
    const file = fixture(name);
    const header = await headerOf(file);
    expect(header.shape).toEqual(shape);
    expect((await locate(file)).shape).toEqual(shape);
  });

  test.each([
    ["fortran.npy", /C order but got Fortran order/],
    ["structured.npy", /a plain dtype but got the structured type \[/],
    ["nested.npy", /a plain dtype but got the structured type \[/],
    ["named.npy", /a plain dtype but got the structured type \[\('größe', /],
  ])("%s is refused: %s", async (name, message) => {
    await expect(locate(fixture(name))).rejects.toThrow(message);
    await expect(locate(fixture(name))).rejects.toThrow(FileFormatError);
  });
});

describe("broken files", () => {
  test.each([
    ["no magic", Buffer.from("hello, I am not an array"), /magic string is missing/],
    ["an .npz file", fixture("arrays.npz"), /it seems to be an \.npz file/],
    ["nothing", Buffer.alloc(0), /magic string is missing/],
    ["only magic", Buffer.from("\x93NUMPY\x01", "latin1"), /ends after 7 bytes/],
    ["version 9", Buffer.from("\x93NUMPY\x09\x00\x10\x00\x00\x00", "latin1"), /got 9\.0/],
    ["a header cut short", fixture("v1.npy").subarray(0, 50), /the file ends after 40/],
    [
      "a giant header",
      Buffer.from("\x93NUMPY\x02\x00\xff\xff\xff\x7f", "latin1"),
      /at most 65536 bytes but got 2147483647/,
    ],
  ])("%s is refused in one line", async (_, file, message) => {
    const error: unknown = await headerOf(file).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FileFormatError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain("\n");
  });

  test("a shape beyond the file is refused, also one whose product overflows", async () => {
    const vast = formatNpyHeader([1_000_000, 1_000_000, 1_000_000, 1_000_000]);
    await expect(locate(vast)).rejects.toThrow(/but the file has 0/);
    const short = fixture("v1.npy");
    await expect(locate(short, short.length - 1)).rejects.toThrow(/expected 96 bytes .* has 95/);
  });

  test("no header text makes the parser hang or throw anything but its own error", async () => {
    const token = fc.constantFrom(
      "{",
      "}",
      "'descr'",
      "'shape'",
      "'fortran_order'",
      ":",
      ",",
      "(",
      ")",
      "'<f4'",
      "True",
      "1",
      " ",
      "[",
      "é",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(token, { maxLength: 200 }), async (tokens) => {
        const text = Buffer.from(tokens.join(""), "latin1");
        const preamble = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length & 255, text.length >> 8]);
        const outcome: unknown = await headerOf(Buffer.concat([preamble, text, Buffer.alloc(2)])).catch(
          (e: unknown) => e,
        );
        expect(outcome instanceof FileFormatError || (outcome as { descr?: string }).descr !== undefined).toBe(true);
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});

describe("writing", () => {
  test("the header is byte for byte NumPy's", () => {
    expect(formatNpyHeader([2, 3, 4])).toEqual(fixture("v1.npy").subarray(0, 128));
    expect(formatNpyHeader([5])).toEqual(fixture("vector.npy").subarray(0, 128));
    expect(formatNpyHeader([])).toEqual(fixture("scalar.npy").subarray(0, 128));
    expect(formatNpyHeader([0, 3])).toEqual(fixture("empty.npy").subarray(0, 128));
  });

  test("any shape is read back, and cells start at a multiple of 64", async () => {
    const dimensions = fc.array(fc.nat(2 ** 40), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(dimensions, async (shape) => {
        const header = await headerOf(formatNpyHeader(shape));
        expect(header.shape).toEqual(shape);
        expect(header.dataOffset % 64).toBe(0);
      }),
      { seed: 1 },
    );
  });

  test("a shape too long for version 1 gets version 2", async () => {
    const shape = Array.from({ length: 30_000 }, () => 1);
    const bytes = formatNpyHeader(shape);
    expect(bytes[6]).toBe(2);
    expect(bytes.length % 64).toBe(0);
  });
});
