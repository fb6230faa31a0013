// Tensors in files: what pool.open takes and pool.create makes, held against files that Python wrote (test/fixtures/tensors/make.py).
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import {
  type CreateOptions,
  type Dtype,
  FileFormatError,
  InvalidArgumentError,
  InvalidShapeError,
  LayerNorm,
  NormPool,
  type OpenOptions,
  OutputTensor,
  type Tensor,
  UnsupportedDtypeError,
} from "../src/index.js";
import { emptyFolder } from "./command.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());
const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const TENSORS = fileURLToPath(new URL("../../test/fixtures/tensors/", import.meta.url));

const SHAPE = [2, 3, 4];
const EIGHTHS = Array.from({ length: 24 }, (_, i) => i / 8);
const COUNTED = Array.from({ length: 24 }, (_, i) => i);

/** A 16-bit number's value, in Node's that have no Float16Array. */
function numberOf(dtype: Dtype, cell: number): number {
  if (dtype === "bfloat16") return new Float32Array(Uint32Array.of(cell << 16).buffer)[0] as number;
  if (dtype !== "float16" || "Float16Array" in globalThis) return cell;
  const [exponent, fraction] = [cell >> 10, cell & 1023];
  return exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
}

describe("pool.open reads what Python wrote", () => {
  test.each<[name: string, dtype: Dtype, options?: OpenOptions]>([
    ["f4.npy", "float32"],
    ["f8.npy", "float64"],
    ["f2.npy", "float16"],
    ["u1.npy", "uint8"],
    ["f4.npy", "float32", { dtype: "float32", format: "npy" }],
    ["version-1.npy", "float32"],
    ["version-2.npy", "float32"],
    ["version-3.npy", "float32"],
    ["big-f4.npy", "float32"],
    ["big-f8.npy", "float64"],
    ["big-f2.npy", "float16"],
    ["v2.npy", "bfloat16", { dtype: "bfloat16" }],
    ["void.npy", "bfloat16", { dtype: "bfloat16" }],
    ["u2-bfloat16.npy", "bfloat16", { dtype: "bfloat16" }],
    ["big-u2-bfloat16.npy", "bfloat16", { dtype: "bfloat16" }],
    ["u2-float16.npy", "float16", { dtype: "float16" }],
    ["one.safetensors", "float32"],
    ["metadata.safetensors", "float32", { key: "tensor" }],
    ["bfloat16.safetensors", "bfloat16"],
    ["many.safetensors", "float32", { key: "a.f32" }],
    ["many.safetensors", "float64", { key: "b.f64" }],
    ["many.safetensors", "float16", { key: "c.f16" }],
    ["many.safetensors", "bfloat16", { key: "d.bf16" }],
    ["many.safetensors", "uint8", { key: "e.u8", dtype: "uint8" }],
  ])("%s as %s, %o", async (name, dtype, options = {}) => {
    using tensor = await pool.open(join(TENSORS, name), options);
    expect(tensor).toMatchObject({ dtype, shape: SHAPE, size: 24 });
    const cells = Array.from(await tensor.read(), (cell) => numberOf(dtype, cell as number));
    expect(cells).toEqual(dtype === "uint8" ? COUNTED : EIGHTHS);
    expect(() => tensor.data).toThrow("tensor.read() has the cells of any");
    // The call reads them by its driver.
    const { count, mean } = await pool.moments(tensor);
    expect([count, mean]).toEqual([24, dtype === "uint8" ? 11.5 : 1.4375]);
  });

  test("booleans, as 0 and 1 of uint8", async () => {
    using tensor = await pool.open(join(TENSORS, "b1.npy"), { dtype: "uint8" });
    expect([...(await tensor.read({ to: 4 }))]).toEqual([0, 1, 0, 1]);
  });

  test("Fortran order of one dimension, which is C order too", async () => {
    using tensor = await pool.open(join(TENSORS, "fortran-vector.npy"));
    expect(tensor.shape).toEqual([1, 24, 1]);
    expect([...(await tensor.read())]).toEqual(EIGHTHS);
  });

  test("raw cells, from an offset that is no multiple of anything", async () => {
    writeFileSync(at("x.bin"), Buffer.concat([Buffer.alloc(13), Buffer.from(Float32Array.from(EIGHTHS).buffer)]));
    using tensor = await pool.open(at("x.bin"), { dtype: "float32", shape: SHAPE, offset: 13 });
    expect([...(await tensor.read())]).toEqual(EIGHTHS);
    using start = await pool.open(at("x.bin"), { dtype: "uint8", shape: [13] });
    expect([...(await start.read())]).toEqual(Array(13).fill(0));
  });

  test("in another shape of as many cells", async () => {
    using tensor = await pool.open(join(TENSORS, "f4.npy"), { shape: [24] });
    expect(tensor.shape).toEqual([24]);
    await expect(pool.open(join(TENSORS, "f4.npy"), { shape: [5, 5] })).rejects.toThrow(
      /pool\.open: expected a shape of 24 cells, as .*f4\.npy has, but got \[5, 5\]/,
    );
    await expect(pool.open(join(TENSORS, "f4.npy"), { shape: [25] })).rejects.toThrow(InvalidShapeError);
  });

  test("by what is in the file, whatever its name, and through a link", async () => {
    for (const name of ["f4.npy", "one.safetensors"]) {
      symlinkSync(join(TENSORS, name), at(`${name}.download`));
      using tensor = await pool.open(at(`${name}.download`));
      expect([...(await tensor.read())]).toEqual(EIGHTHS);
    }
  });
});

describe("pool.open refuses, and says what to do", () => {
  test.each<[name: string, options: OpenOptions, error: new (...args: never) => Error, message: RegExp]>([
    ["fortran.npy", {}, FileFormatError, /C order but got Fortran order .*numpy\.ascontiguousarray\(array\)\)/],
    ["i4.npy", {}, FileFormatError, /float16 or uint8 but got <i4 \(use \.astype\("float32"\)\)/],
    ["v2.npy", {}, FileFormatError, /but got <V2 \(say dtype bfloat16 if these are its bits\)/],
    ["u2-bfloat16.npy", {}, FileFormatError, /but got <u2 \(say dtype bfloat16 or float16 if/],
    ["b1.npy", {}, FileFormatError, /but got \|b1 \(say dtype uint8 if/],
    [
      "f4.npy",
      { dtype: "float64" },
      UnsupportedDtypeError,
      /expected dtype float32, as .*f4\.npy has, but got "float64"/,
    ],
    ["v2.npy", { dtype: "float16" }, FileFormatError, /say dtype bfloat16/],
    [
      "many.safetensors",
      {},
      InvalidArgumentError,
      /one of .*'s tensors, \["f\.i64", "b\.f64", .*\], for key but got undefined/,
    ],
    ["many.safetensors", { key: "a" }, InvalidArgumentError, /for key but got "a"/],
    ["many.safetensors", { key: "f.i64" }, FileFormatError, /"f\.i64": expected dtype F32, .* but got I64/],
    ["f4.npy", { key: "a" }, InvalidArgumentError, /expected none for npy for key but got "a"/],
    ["f4.npy", { offset: 8 }, InvalidArgumentError, /expected none for npy for offset but got 8/],
    [
      "make.py",
      {},
      FileFormatError,
      /expected an \.npy, \.npz or safetensors file, or the dtype and shape of raw cells/,
    ],
    ["make.py", { format: "raw" }, InvalidArgumentError, /dtype and shape of raw cells for options but got not both/],
    [
      "make.py",
      { dtype: "uint8", shape: [1e6] },
      FileFormatError,
      /expected 1000000 bytes from byte 0 on .* file has \d+$/,
    ],
    ["make.py", { dtype: "uint8", shape: [1], offset: 1e6 }, FileFormatError, /from byte 1000000 on/],
    ["make.py", { format: "npy" }, FileFormatError, /magic string is missing/],
    ["big-f4.npy", { writable: true }, InvalidArgumentError, /little-endian cells for writable but got big-endian/],
  ])("%s with %o", async (name, options, error, message) => {
    const outcome: unknown = await pool.open(join(TENSORS, name), options).catch((reason: unknown) => reason);
    expect(outcome).toBeInstanceOf(error);
    expect((outcome as Error).message).toMatch(message);
    expect((outcome as Error).message).toMatch(/^pool\.open: |^npy: /);
  });

  test("types that are the names of methods", async () => {
    for (const name of ["constructor", "toString", "__proto__"]) {
      const dict = `{'descr': '<${name}', 'fortran_order': False, 'shape': (3,), }`;
      writeFileSync(
        at("x.npy"),
        Buffer.concat([
          Buffer.from(`\x93NUMPY\x01\x00${String.fromCharCode(dict.length)}\x00`, "latin1"),
          Buffer.from(dict),
          Buffer.alloc(12),
        ]),
      );
      await expect(pool.open(at("x.npy"))).rejects.toThrow(FileFormatError);
    }
  });

  test.each<[options: unknown, argument: string]>([
    [{ format: "csv" }, "format"],
    [{ key: 1 }, "key"],
    [{ offset: -1 }, "offset"],
    [{ writable: 1 }, "writable"],
    [{ mode: "r" }, "options"],
    [7, "options"],
  ])("options %o", async (options, argument) => {
    const call = pool.open(join(TENSORS, "f4.npy"), options as OpenOptions);
    await expect(call).rejects.toMatchObject({ code: "invalid-argument", argument, operation: "pool.open" });
  });
});

describe("pool.create makes, byte for byte, what Python wrote", () => {
  test.each<[name: string, like: string, dtype: Dtype, options?: CreateOptions]>([
    ["y.npy", "f4.npy", "float32"],
    ["y.npy", "f8.npy", "float64"],
    ["y.npy", "f2.npy", "float16"],
    ["y.npy", "v2.npy", "bfloat16"],
    ["y.npy", "u1.npy", "uint8"],
    ["y.dat", "f4.npy", "float32", { format: "npy" }],
    ["y.safetensors", "one.safetensors", "float32"],
    ["y.safetensors", "bfloat16.safetensors", "bfloat16", { key: "tensor" }],
    ["y.safetensors", "metadata.safetensors", "float32", { metadata: { format: "pt" } }],
  ])("%s like %s", async (name, like, dtype, options) => {
    const expected = readFileSync(join(TENSORS, like));
    const zeroed = Buffer.from(expected);
    zeroed.fill(0, zeroed.length - 24 * { float32: 4, float64: 8, float16: 2, bfloat16: 2, uint8: 1 }[dtype]);
    await using tensor = await pool.create(at(name), dtype, SHAPE, options);
    expect(tensor).toBeInstanceOf(OutputTensor);
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/^\.normpool-.*\.partial$/)]);
    await tensor.commit();
    expect(readdirSync(folder)).toEqual([name]);
    expect(readFileSync(at(name))).toEqual(zeroed);
  });

  test("and raw cells, of a name that says nothing", async () => {
    await using y = await pool.create(at("y.f32"), "float32", [8, 16]);
    using x = pool.from(normal(128, 1), [8, 16]);
    await pool.forward(new LayerNorm(16), x, { out: y });
    const expected = (await pool.forward(new LayerNorm(16), x)).data;
    expectSameBits(await y.read(), expected);
    await y.commit();
    expectSameBits(await y.read(), expected);
    expect(readFileSync(at("y.f32"))).toEqual(Buffer.from(expected.slice().buffer));
  });

  test("of no cells, and a scalar", async () => {
    for (const shape of [[0, 3], []]) {
      await using y = await pool.create(at("y.npy"), "float32", shape);
      await y.commit();
      expect(readFileSync(at("y.npy")).length).toBe(128 + (shape.length === 0 ? 4 : 0));
      expect((await pool.open(at("y.npy"))).shape).toEqual(shape);
    }
  });

  test.each<[path: unknown, dtype: unknown, shape: unknown, options: unknown, message: string]>([
    [1, "float32", [1], {}, "expected a string for path but got 1"],
    ["y.npy", "int8", [1], {}, 'but got "int8"'],
    ["y.npy", "float32", [-1], {}, "non-negative safe integers"],
    ["y.npy", "float32", [1], { format: "npz" }, "for format"],
    ["y.npy", "float32", [1], { key: "a" }, "expected none for npy for key"],
    ["y.bin", "float32", [1], { metadata: {} }, "expected none for raw for metadata"],
    ["y.safetensors", "float32", [1], { key: "__metadata__" }, "the option metadata"],
    ["y.safetensors", "float32", [1], { key: "\ud800" }, "a well-formed string for key"],
    ["y.safetensors", "float32", [1], { metadata: new Map() }, "a plain object of strings for metadata but got Map"],
    ["y.safetensors", "float32", [1], { metadata: { a: 1 } }, 'a well-formed string for metadata["a"] but got 1'],
  ])("not of %o %o %o %o", async (path, dtype, shape, options, message) => {
    const name = typeof path === "string" ? at(path) : (path as string);
    const call = pool.create(name, dtype as Dtype, shape as number[], options as CreateOptions);
    await expect(call).rejects.toThrow(message);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("tensor.read", () => {
  test.each([
    [{ from: 3, to: 5 }, [3 / 8, 4 / 8]],
    [{ from: 22 }, [22 / 8, 23 / 8]],
    [{ to: 1 }, [0]],
    [{ from: 24 }, []],
    [{ from: 7, to: 7 }, []],
  ])("of %o, in either order of bytes, in memory and in files", async (range, expected) => {
    for (const name of ["f4.npy", "big-f4.npy"]) {
      using tensor = await pool.open(join(TENSORS, name));
      expect([...(await tensor.read(range))]).toEqual(expected);
    }
    using tensor = pool.from(Float32Array.from(EIGHTHS), SHAPE);
    expect([...(await tensor.read(range))]).toEqual(expected);
  });

  test.each([[{ from: -1 }], [{ from: 25 }], [{ to: 25 }], [{ from: 3, to: 2 }], [{ from: 0.5 }], [null]])(
    "of %o is refused",
    async (range) => {
      using tensor = await pool.open(join(TENSORS, "f4.npy"));
      await expect(tensor.read(range as { from: number })).rejects.toThrow(InvalidArgumentError);
    },
  );

  test("of a closed pool's tensor works, of a disposed one does not", async () => {
    const other = new NormPool({ threads: 1 });
    const tensor = await other.open(join(TENSORS, "f4.npy"));
    await other.close();
    expect([...(await tensor.read({ to: 2 }))]).toEqual([0, 1 / 8]);
    tensor.dispose();
    await expect(tensor.read()).rejects.toThrow("expected a live tensor for tensor but got a disposed one");
    await expect(other.open(join(TENSORS, "f4.npy"))).rejects.toMatchObject({ code: "pool-closed" });
    await expect(other.create(at("y.npy"), "float32", [1])).rejects.toMatchObject({ code: "pool-closed" });
  });
});

test("the gradient of an output may be in a file that is only read", async () => {
  const layer = new LayerNorm(4);
  using input = await pool.open(join(TENSORS, "f4.npy"));
  using gradOutput = await pool.open(join(TENSORS, "big-f4.npy"));
  const cells = pool.from(Float32Array.from(EIGHTHS), SHAPE);
  const { gradInput } = await pool.backward(layer, {
    input: input as Tensor<"float32">,
    gradOutput: gradOutput as typeof cells,
  });
  const expected = await pool.backward(layer, { input: cells, gradOutput: cells });
  expectSameBits(gradInput.data, expected.gradInput.data);
  await expect(pool.forward(layer, cells, { out: input as typeof cells })).rejects.toThrow("opened as writable");
});

test("an output in the file that an input is read from is refused before anything is written", async () => {
  const cells = normal(24, 1);
  writeFileSync(at("x.raw"), cells);
  const raw = { dtype: "float32", shape: [6, 4] } as const;
  using x = await pool.open(at("x.raw"), raw);
  using out = await pool.open(at("x.raw"), { ...raw, writable: true });
  await expect(pool.forward(new LayerNorm(4), x, { out })).rejects.toThrow(
    "expected another file than an input's, or inputs that were opened as writable, too, for out but got the file of one to read",
  );
  expect(Buffer.compare(readFileSync(at("x.raw")), Buffer.from(cells.buffer))).toBe(0);
  await pool.forward(new LayerNorm(4), out, { out });
});
