// Headers of safetensors files: Python's reader and this one take the same ones, but for those that the format rules out.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { FileFormatError, readSafetensors } from "../src/index.js";
import { parseSafetensorsHeader } from "../src/storage/safetensors-header.js";
import { safetensorsFile } from "./safetensors-file.js";

interface Verdict {
  readonly name: string;
  /** Whether Python takes it. */
  readonly python: boolean;
  readonly text?: string;
  readonly hex?: string;
  /** Bytes of cells after the header. */
  readonly bytes: number;
}

/** What make-safetensors-verdicts.py wrote. */
const VERDICTS: readonly Verdict[] = JSON.parse(
  readFileSync(new URL("../../test/fixtures/safetensors-verdicts.json", import.meta.url), "utf8"),
);
const folder = mkdtempSync(join(tmpdir(), "normpool-header-"));
const path = join(folder, "x.safetensors");
afterAll(() => rmSync(folder, { recursive: true }));

/** What Python takes although the format's description does not, or beyond what a number holds. */
const ONLY_PYTHON = [
  "a list instead of fields",
  "a name twice",
  "a size of 2^64 - 1 beside 0",
  "a space before",
  "an object as dtype",
  "metadata with a key twice",
];
/** A tensor of a dtype that no version of the format has yet matters only where it is asked for. */
const ONLY_HERE = ["a dtype that is none"];

describe("Python's verdict is this reader's", () => {
  const label = ({ name, python }: Verdict) =>
    ONLY_PYTHON.includes(name) ? "only Python takes" : ONLY_HERE.includes(name) || python ? "takes" : "refuses";

  test.each(VERDICTS.map((verdict) => [label(verdict), verdict.name, verdict] as const))(
    "%s %s",
    async (expected, _, { text, hex, bytes }) => {
      const header = text === undefined ? Buffer.from(hex ?? "", "hex") : text;
      writeFileSync(path, Buffer.concat([safetensorsFile(header), Buffer.alloc(bytes)]));
      const outcome: unknown = await readSafetensors(path, { prefix: "not there" }).catch((reason: unknown) => reason);
      if (expected === "takes") expect(outcome).toEqual({});
      else expect(outcome).toBeInstanceOf(FileFormatError);
    },
  );
});

describe("an error says what is wrong, and of which tensor", () => {
  const X = '"dtype":"F32","shape":[1],"data_offsets":[0,4]';

  test.each<[string, string, number, string]>([
    ["a name twice", `{"x":{${X}},"x":{${X}}}`, 4, 'expected each tensor once but got "x" twice'],
    ["a field twice", `{"x":{${X},"dtype":"F32"}}`, 4, '"x": expected dtype once but got it twice'],
    [
      "an overlap",
      `{"x":{${X}},"y":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`,
      6,
      '"y": expected its bytes from 4 on, where the tensor before ends, but got those from 2 to 6',
    ],
    [
      "a hole",
      `{"x":{${X}},"y":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`,
      12,
      '"y": expected its bytes from 4 on, where the tensor before ends, but got those from 8 to 12',
    ],
    ["bytes left over", `{"x":{${X}}}`, 6, "expected 4 bytes of cells after the header but got 6"],
    [
      "a shape of another size",
      '{"x":{"dtype":"BOOL","shape":[2,3],"data_offsets":[0,4]}}',
      4,
      '"x": expected 6 bytes for BOOL of shape [2, 3] but got those from 0 to 4',
    ],
    [
      "a dtype that is no string",
      '{"x":{"dtype":5}}',
      0,
      'expected a string at character 14 of the header but got "5}}"',
    ],
    ["a space before", ` {"x":{${X}}}`, 4, 'expected a header that starts with "{"'],
    ["a byte that is no UTF-8", '{"\x80', 0, "expected a header in UTF-8"],
    ["deep nesting", `{"x":{"more":${"[".repeat(100_000)}`, 0, "expected at most 100 brackets in each other"],
    ["a length beyond the file", "", -1000, "expected a header of at most 0 bytes but got 1000"],
  ])("%s", async (_, header, bytes, message) => {
    const file = safetensorsFile(Buffer.from(header, "latin1"), bytes < 0 ? -bytes : undefined);
    writeFileSync(path, Buffer.concat([file, Buffer.alloc(Math.max(0, bytes))]));
    const error: unknown = await readSafetensors(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FileFormatError);
    expect((error as Error).message).toContain(`readSafetensors: ${path}: ${message}`);
    expect((error as Error).message.length).toBeLessThan(300);
  });
});

test("the name __proto__ is a tensor's like any other", async () => {
  const header = '{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
  writeFileSync(path, Buffer.concat([safetensorsFile(header), Buffer.from(Float32Array.of(5).buffer)]));
  const dict = await readSafetensors(path);
  expect(Object.keys(dict)).toEqual(["__proto__"]);
  expect(Object.getPrototypeOf(dict)).toBe(Object.prototype);
  expect(Object.entries(dict)[0]?.[1].data).toEqual(Float32Array.of(5));
});

describe("dtypes that a state dict does not have", () => {
  const names = ["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"];

  test.each([...names, "I16", "U16", "I32", "U32", "U64", "C64", "F4", "F6_E2M3", "F99"])(
    "%s is refused by name, and only where it is asked for",
    async (dtype) => {
      const header = {
        x: { dtype, shape: [0], data_offsets: [0, 0] },
        y: { dtype: "F32", shape: [0], data_offsets: [0, 0] },
      };
      writeFileSync(path, safetensorsFile(JSON.stringify(header)));
      await expect(readSafetensors(path)).rejects.toThrow(
        `"x": expected dtype F32, F64, I64, F16, BF16 but got "${dtype}"`,
      );
      expect(await readSafetensors(path, { prefix: "y" })).toEqual({ y: { shape: [0], data: new Float32Array(0) } });
    },
  );
});

describe("a header of any text takes time in proportion to its length", () => {
  const MEGABYTE = 1_000_000;
  const entries = (bytes: number) => {
    const parts = Array.from(
      { length: bytes / 50 },
      (_, i) => `"${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`,
    );
    return `{${parts.join(",")}}`;
  };

  // A step for each character makes seconds at most here; were one of these quadratic, it would be hours.
  test.each<[string, () => string]>([
    ["100 MB of brackets", () => `{"x":{"more":${"[".repeat(99 * MEGABYTE)}`],
    ["100 MB of a name", () => `{"${"x".repeat(99 * MEGABYTE)}`],
    ["100 MB of backslashes", () => `{"${"\\".repeat(99 * MEGABYTE)}`],
    ["100 MB of spaces", () => `{${" ".repeat(99 * MEGABYTE)}x`],
    ["100 MB of digits", () => `{"x":{"shape":[${"1".repeat(99 * MEGABYTE)}`],
    ["10 MB of sizes", () => `{"x":{"shape":[${"1,".repeat(5 * MEGABYTE)}`],
    ["5 MB of tensors", () => `${entries(5 * MEGABYTE)}x`],
    [
      "5 MB of tensors, all of one name",
      () => `{${'"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'.repeat(100_000)}}`,
    ],
  ])("%s", (_, make) => {
    const header = Buffer.from(make());
    const start = performance.now();
    expect(() => parseSafetensorsHeader(header, 0, (message) => new Error(message))).toThrow("expected");
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  test("and one beyond the format's own bound is not read", async () => {
    writeFileSync(path, safetensorsFile("{}", 100 * MEGABYTE + 1));
    truncateSync(path, 300 * MEGABYTE);
    await expect(readSafetensors(path)).rejects.toThrow(
      "expected a header of at most 100000000 bytes but got 100000001",
    );
  });
});
