// Writing safetensors files: the layout, metadata, what is refused, and what stays where it fails.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import {
  InvalidArgumentError,
  LayerNorm,
  readSafetensors,
  readSafetensorsMetadata,
  type StateDict,
  writeSafetensors,
} from "../src/index.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-write-"));
const path = join(folder, "x.safetensors");
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
});

const floats = (...values: number[]) => ({ shape: [values.length], data: Float32Array.from(values) });

test("what is written is read back, and has the format's layout", async () => {
  const dict = {
    "a.weight": floats(1, 2, 3),
    "a.num": { shape: [], data: BigInt64Array.of(-5n) },
    d: { shape: [1, 2], data: Float64Array.of(0.1, 2) },
    none: { shape: [0, 4], data: new Float32Array(0) },
    'größe "大"\n': floats(4),
  };
  await writeSafetensors(path, dict);
  expect(await readSafetensors(path)).toEqual(dict);
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE());
  expect(length % 8).toBe(0);
  expect(JSON.parse(bytes.toString("utf8", 8, 8 + length))["a.num"]).toEqual({
    dtype: "I64",
    shape: [],
    data_offsets: [12, 20],
  });
  expect(bytes.length).toBe(8 + length + 40);
});

test("a view of a larger buffer, shared or not, is written as what it views", async () => {
  const shared = new Float32Array(new SharedArrayBuffer(40));
  shared.set([1, 2, 3, 4], 3);
  await writeSafetensors(path, { x: { shape: [2, 2], data: shared.subarray(3, 7) } });
  const { x } = await readSafetensors(path);
  expect(x?.data).toEqual(Float32Array.of(1, 2, 3, 4));
});

test("a tensor of the name __proto__ does not vanish", async () => {
  const dict = Object.fromEntries([
    ["__proto__", floats(1)],
    ["b", floats(2)],
  ]);
  await writeSafetensors(path, dict, { metadata: Object.fromEntries([["__proto__", "text"]]) });
  expect(Object.entries(await readSafetensors(path))).toEqual(Object.entries(dict));
  expect(Object.entries(await readSafetensorsMetadata(path))).toEqual([["__proto__", "text"]]);
});

describe("metadata", () => {
  test("is written beside the tensors, and read", async () => {
    const metadata = { format: "pt", größe: 'in "mm"', "": "" };
    await writeSafetensors(path, new LayerNorm(2).stateDict(), { metadata });
    expect(await readSafetensorsMetadata(path)).toEqual(metadata);
    expect(Object.keys(await readSafetensors(path))).toEqual(["weight", "bias"]);
  });

  test("is no key where there is none", async () => {
    await writeSafetensors(path, { x: floats(1) });
    expect(readFileSync(path, "latin1")).not.toContain("__metadata__");
  });

  test.each<[string, unknown, string]>([
    ["a number", { step: 5 }, 'expected a well-formed string for metadata["step"] but got 5'],
    ["half of a surrogate pair", { a: "\ud800" }, 'expected a well-formed string for metadata["a"]'],
    ["a Map", new Map([["format", "pt"]]), "expected a plain object of strings for metadata but got Map"],
    ["a string", "pt", 'expected a plain object of strings for metadata but got "pt"'],
    ["null", null, "expected a plain object of strings for metadata but got null"],
  ])("is refused as %s", async (_, metadata, message) => {
    await expectRefused({ x: floats(1) }, message, { metadata });
  });

  test("is the only option", async () => {
    await expectRefused({}, 'expected only metadata for options but got "meta"', { meta: {} });
  });
});

describe("is refused by name, with nothing written:", () => {
  test.each<[string, unknown, string]>([
    [
      "an Int32Array",
      { shape: [1], data: Int32Array.of(5) },
      'expected a Float32Array, Float64Array or BigInt64Array for dict["x"].data but got Int32Array',
    ],
    ["an Uint16Array", { shape: [1], data: Uint16Array.of(5) }, "but got Uint16Array"],
    ["a plain array", { shape: [2], data: [1, 2] }, 'for dict["x"].data but got [1, 2]'],
    ["an ArrayBuffer", { shape: [2], data: new ArrayBuffer(8) }, 'for dict["x"].data but got ArrayBuffer'],
    ["no data", { shape: [2] }, 'for dict["x"].data but got undefined'],
    ["a typed array alone", Float32Array.of(1), 'for dict["x"].data but got undefined'],
    ["a number", 5, 'expected a tensor, { shape, data }, for dict["x"] but got 5'],
    ["null", null, 'for dict["x"] but got null'],
    [
      "another shape",
      { shape: [3], data: new Float32Array(2) },
      'expected sizes of 2 cells for dict["x"].shape but got [3]',
    ],
    ["no shape", { data: new Float32Array(1) }, 'expected sizes of 1 cells for dict["x"].shape but got undefined'],
    ["a negative size", { shape: [-1, -2], data: new Float32Array(2) }, 'for dict["x"].shape but got [-1, -2]'],
    [
      "a size that is no integer",
      { shape: [0.5, 4], data: new Float32Array(2) },
      'for dict["x"].shape but got [0.5, 4]',
    ],
    ["a text as size", { shape: ["2"], data: new Float32Array(2) }, 'for dict["x"].shape but got ["2"]'],
  ])("%s", async (_, tensor, message) => {
    await expectRefused({ good: floats(1), x: tensor }, message);
  });

  test.each<[string, unknown, string]>([
    ["a Map", new Map([["x", floats(1)]]), "expected a plain object of tensors for dict but got Map"],
    ["a list", [floats(1)], "expected a plain object of tensors for dict but got [Object]"],
    ["undefined", undefined, "expected a plain object of tensors for dict but got undefined"],
    ["a layer", new LayerNorm(2), "expected a plain object of tensors for dict but got LayerNorm"],
    ["a tensor as prototype", { __proto__: floats(1) }, "expected a plain object of tensors for dict"],
    ["the name of metadata", { __metadata__: floats(1) }, 'for dict["__metadata__"] but got "__metadata__"'],
    ["half of a surrogate pair", { "\udc00": floats(1) }, "expected a well-formed string for a key of dict"],
  ])("%s", async (_, dict, message) => {
    await expectRefused(dict, message);
  });

  test("a path that is no string", async () => {
    await expect(writeSafetensors(5 as never, {})).rejects.toThrow("expected a string for path but got 5");
  });

  test("names that are longer than the format allows", async () => {
    await expectRefused(
      { ["x".repeat(100_000_000)]: floats(1) },
      "of at most 100000000 bytes for dict but got 1000000",
    );
  });
});

async function expectRefused(dict: unknown, message: string, options?: unknown): Promise<void> {
  writeFileSync(path, "old");
  const work = writeSafetensors(path, dict as StateDict, options as object);
  const error: unknown = await work.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InvalidArgumentError);
  expect((error as Error).message).toContain(message);
  expect([readdirSync(folder), readFileSync(path, "utf8")]).toEqual([["x.safetensors"], "old"]);
}

describe("the file before", () => {
  test("stays whole where the new one does not fit", async () => {
    await writeSafetensors(path, { x: floats(1, 2, 3) });
    const before = readFileSync(path);
    const script = `
      import { writeSafetensors } from ${JSON.stringify(new URL("../src/index.js", import.meta.url).href)};
      const dict = { x: { shape: [1 << 20], data: new Float32Array(1 << 20) } };
      const error = await writeSafetensors(process.argv[1], dict).catch((reason) => reason);
      console.log(error.message);
    `;
    const node = 'ulimit -f 64; exec "$0" --input-type=module -e "$1" "$2"';
    const { stdout } = spawnSync("sh", ["-c", node, process.execPath, script, path], { encoding: "utf8" });
    expect(stdout).toBe(`writeSafetensors: ${path}: cannot write there: file too large (EFBIG)\n`);
    expect([readdirSync(folder), readFileSync(path)]).toEqual([["x.safetensors"], before]);
  });

  test("gives the new one its mode, and a link stays one", async () => {
    const link = join(folder, "latest.safetensors");
    symlinkSync("x.safetensors", link);
    await writeSafetensors(link, { x: floats(1) });
    chmodSync(path, 0o600);
    await writeSafetensors(link, { x: floats(2) });
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(path).mode & 0o7777).toBe(0o600);
    expect(await readSafetensors(path)).toEqual({ x: floats(2) });
  });

  test("can be read to its end while the new one is written", async () => {
    await writeSafetensors(path, { x: floats(1) });
    const reads = [];
    for (let i = 2; i < 40; i++) {
      reads.push(readSafetensors(path));
      await writeSafetensors(path, { x: floats(...Array.from({ length: i }, () => i)) });
    }
    for (const { x } of await Promise.all(reads)) expect(x?.data[0]).toBe(x?.data.length);
  });
});
