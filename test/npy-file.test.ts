// readNpy and writeNpy, and the arrays of .npz files, against what Python wrote (test/fixtures/tensors/make.py).
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import {
  type Dtype,
  LayerNorm,
  NormPool,
  type ReadNpyOptions,
  readNpy,
  type TensorSource,
  type WriteNpyOptions,
  writeNpy,
} from "../src/index.js";
import { emptyFolder } from "./command.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());
const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const fixture = (name: string) => fileURLToPath(new URL(`../../test/fixtures/tensors/${name}`, import.meta.url));

const EIGHTHS = Float32Array.from({ length: 24 }, (_, i) => i / 8);
const COUNTED = Uint8Array.from(EIGHTHS.keys());
const BRAIN = new Uint16Array(new Uint32Array(EIGHTHS.buffer).map((word) => word >>> 16));

describe("an array of an .npz file is read where it lies", () => {
  test.each<[name: string, member: string | undefined, dtype: Dtype, cells: TensorSource]>([
    ["stored.npz", "first", "float32", EIGHTHS],
    ["stored.npz", "second", "float64", Float64Array.from(EIGHTHS)],
    ["stored.npz", "third", "uint8", COUNTED],
    ["one.npz", undefined, "float32", EIGHTHS],
    ["one.npz", "only", "float32", EIGHTHS],
  ])("%s, %s", async (name, member, dtype, cells) => {
    using tensor = await pool.open(fixture(name), { member });
    expect(tensor).toMatchObject({ dtype, shape: [2, 3, 4] });
    expect(Array.from(await tensor.read(), Number)).toEqual(Array.from(cells, Number));
    const array = await readNpy(fixture(name), { member });
    expect(array).toMatchObject({ dtype, shape: [2, 3, 4] });
    expect(Array.from(array.data as Uint8Array)).toEqual(Array.from(cells, Number));
  });

  test.each([
    ["stored.npz", {}, /one of .*stored\.npz's, \["first", "second", "third"\], for member but got undefined/],
    ["stored.npz", { member: "fourth" }, /for member but got "fourth"/],
    [
      "deflated.npz",
      {},
      /"first" to be stored but it is compressed \(write it with numpy\.savez, not savez_compressed, or/,
    ],
    ["one.npz", { member: 1 as never }, /a string for member but got 1/],
    ["one.npz", { key: "only" }, /expected none for npz for key but got "only"/],
    ["f4.npy", { member: "only" }, /expected none for npy for member but got "only"/],
    ["one.npz", { writable: true }, /a file without checksums for writable but got an \.npz file/],
    ["one.npz", { dtype: "float64" as const }, /expected dtype float32, as .* has, but got "float64"/],
  ])("%s with %o is refused", async (name, options, message) => {
    await expect(pool.open(fixture(name), options)).rejects.toThrow(message);
  });

  test("a file cut short anywhere, or with any byte changed, is refused by name or read", async () => {
    const whole = readFileSync(fixture("one.npz"));
    const outcome = async (bytes: Buffer) => {
      writeFileSync(at("x.npz"), bytes);
      return pool.open(at("x.npz")).then(
        () => "opened",
        (error: { code: string }) => error.code,
      );
    };
    for (let length = 0; length < whole.length; length += 7) {
      expect(await outcome(whole.subarray(0, length))).toBe("file-format");
    }
    for (let i = 0; i < whole.length; i += 3) {
      const changed = Buffer.from(whole);
      changed[i] = 255 - (changed[i] as number);
      expect(["opened", "file-format", "invalid-argument", "invalid-shape"]).toContain(await outcome(changed));
    }
  });
});

describe("readNpy", () => {
  test.each<[name: string, dtype: Dtype, cells: TensorSource, options?: ReadNpyOptions]>([
    ["f4.npy", "float32", EIGHTHS],
    ["big-f4.npy", "float32", EIGHTHS],
    ["f8.npy", "float64", Float64Array.from(EIGHTHS)],
    ["big-f8.npy", "float64", Float64Array.from(EIGHTHS)],
    ["u1.npy", "uint8", COUNTED],
    ["v2.npy", "bfloat16", BRAIN, { dtype: "bfloat16" }],
    ["big-u2-bfloat16.npy", "bfloat16", BRAIN, { dtype: "bfloat16" }],
  ])("%s: %s", async (name, dtype, cells, options) => {
    const array = await readNpy(fixture(name), options);
    expect(array).toMatchObject({ dtype, shape: [2, 3, 4] });
    expect([...(array.data as Uint8Array)]).toEqual([...cells]);
    expect(pool.wrap(array.data, array.shape, dtype).data).toBe(array.data);
  });

  test.each([
    [fixture("many.safetensors"), {}, "readNpy", "it seems to be a safetensors file"],
    [fixture("fortran.npy"), {}, "readNpy", "Fortran order"],
    [at("absent.npy"), {}, "readNpy", "no such file or directory (ENOENT)"],
    [7, {}, "readNpy", "expected a string for path but got 7"],
    [fixture("f4.npy"), { key: "a" }, "readNpy", "expected only dtype, member for options"],
    [fixture("f4.npy"), { dtype: "int8" }, "readNpy", 'but got "int8"'],
  ])("refuses %s with %o", async (path, options, _, message) => {
    await expect(readNpy(path as string, options as ReadNpyOptions)).rejects.toThrow(message);
  });
});

describe("writeNpy", () => {
  test.each<[like: string, array: TensorSource, options?: WriteNpyOptions]>([
    ["f4.npy", EIGHTHS],
    ["f8.npy", Float64Array.from(EIGHTHS)],
    ["u1.npy", COUNTED],
    ["v2.npy", BRAIN, { dtype: "bfloat16" }],
  ])("writes, byte for byte, %s", async (like, array, options) => {
    await writeNpy(at("y.npy"), array, [2, 3, 4], options);
    expect(readFileSync(at("y.npy"))).toEqual(readFileSync(fixture(like)));
  });

  test("writes a tensor's cells and a part of an array, of one dimension where no shape is said", async () => {
    await writeNpy(at("y.npy"), EIGHTHS.subarray(4, 9));
    const { shape, data } = await readNpy(at("y.npy"), { dtype: "float32" });
    expect(shape).toEqual([5]);
    expectSameBits(data, EIGHTHS.slice(4, 9));
    using x = pool.from(normal(64, 1), [4, 16]);
    const y = await pool.forward(new LayerNorm(16), x);
    await writeNpy(at("y.npy"), y.data, y.shape);
    expectSameBits((await readNpy(at("y.npy"), { dtype: "float32" })).data, y.data);
  });

  test.each<[array: unknown, shape: unknown, options: unknown, message: string]>([
    [[1, 2], [2], {}, "Float32Array.from makes one"],
    [EIGHTHS, [5], {}, "expected 5 elements for shape [5] but got 24"],
    [BRAIN, [24], {}, "expected dtype float16 or bfloat16 for a Uint16Array but got undefined"],
    [EIGHTHS, [24], { dtype: "float64" }, "float32 for a Float32Array"],
    [EIGHTHS, [24], { mode: 1 }, "expected only dtype for options"],
  ])("refuses %o %o %o, and writes nothing", async (array, shape, options, message) => {
    const call = writeNpy(at("y.npy"), array as TensorSource, shape as number[], options as WriteNpyOptions);
    await expect(call).rejects.toThrow(message);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("leaves what was there where it fails", async () => {
    await expect(writeNpy(folder, EIGHTHS)).rejects.toMatchObject({ code: "write-failed", operation: "writeNpy" });
    expect(statSync(folder).isDirectory()).toBe(true);
    await writeNpy(at("y.npy"), EIGHTHS);
    truncateSync(at("y.npy"), 100);
    await expect(readNpy(at("y.npy"))).rejects.toMatchObject({ code: "file-format" });
  });
});
