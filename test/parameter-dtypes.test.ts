// The dtype of a layer's parameters: through state dicts and files, from those of other dtypes; and RMSNorm's eps by dtype.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  type Dtype,
  GroupNorm,
  NormPool,
  RMSNorm,
  readSafetensors,
  writeSafetensors,
} from "../src/index.js";
import { normal } from "./support.js";

const MODEL = fileURLToPath(new URL("../../test/fixtures/model.safetensors", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "normpool-dtypes-"));
const pool = new NormPool({ threads: 1 });
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await pool.close();
});

const bits = (data: ArrayBufferView) => [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)];

describe("a layer's dtype", () => {
  test("is that of its parameters and buffers, and comes through a state dict and a file", async () => {
    const layer = new BatchNorm1d(3, { dtype: "float64" });
    await pool.forward(layer, pool.from(Float64Array.from(normal(30, 1, 1e9)), [10, 3]));
    layer.weight?.set([1 / 3, 2 / 3, 1e-300]);
    const state = layer.stateDict();
    for (const key of ["weight", "bias", "running_mean", "running_var"])
      expect(state[key]?.data).toBeInstanceOf(Float64Array);
    const path = join(folder, "float64.safetensors");
    await writeSafetensors(path, state);
    const read = new BatchNorm1d(3, { dtype: "float64" });
    read.loadStateDict(await readSafetensors(path));
    expect(read.stateDict()).toEqual(state);
    expect(read.weight).toEqual(layer.weight);
  });

  test("is what a state of another is rounded or widened to", () => {
    const wide = { weight: { shape: [2], data: Float64Array.of(0.1, 1e-300) } };
    const narrow = { weight: { shape: [2], data: Float32Array.of(0.1, 3) } };
    const [float32, float64] = [new RMSNorm(2), new RMSNorm(2, { dtype: "float64" })];
    float32.loadStateDict(wide);
    float64.loadStateDict(narrow);
    expect(float32.weight).toEqual(Float32Array.of(0.1, 0));
    expect(float64.weight).toEqual(Float64Array.of(Math.fround(0.1), 3));
  });

  test.each(["float32", "float64"] as const)("%s takes every dtype that PyTorch saves", async (dtype) => {
    const dict = await readSafetensors(MODEL, { prefix: "encoder." });
    const Class = dtype === "float64" ? Float64Array : Float32Array;
    // What make-safetensors.py printed of float16, bfloat16 and float64 tensors.
    const half = [0.370361328125, 1.4560546875, 0.93994140625, 0.77490234375];
    const brain = [0.1923828125, 0.54296875, -2.21875, 0.259765625];
    const double = [-1.029702181843019, -0.5007584123764369, 0.27336773842007633];
    const layer = new GroupNorm(1, 4, { dtype });
    layer.loadStateDict({ weight: dict["encoder.half.weight"] as never, bias: dict["encoder.brain.bias"] as never });
    expect([layer.weight, layer.bias]).toEqual([Class.from(half), Class.from(brain)]);
    const batch = new BatchNorm1d(3, { dtype });
    batch.loadStateDict(dict, { prefix: "encoder.double." });
    expect(batch.weight).toEqual(Class.from(double));
  });
});

describe("RMSNorm's eps null is the machine epsilon of what it computes in", () => {
  /** Of a cell c alone, y = c / sqrt(c^2 + eps): half of eps is 1 / sqrt(3). */
  test.each<[Dtype, Parameters<typeof pool.from>[0], number]>([
    ["float32", Float32Array.of(2 ** -12), 1 / Math.sqrt(3)],
    ["float64", Float64Array.of(2 ** -26), 1 / Math.sqrt(2)],
    ["float16", Uint16Array.of(0x0c00), 1 / Math.sqrt(3)],
    ["bfloat16", Uint16Array.of(0x3980), 1 / Math.sqrt(3)],
    ["uint8", Uint8Array.of(1), 1 / Math.sqrt(1 + 2 ** -23)],
  ])("%s", async (dtype, array, expected) => {
    const x = pool.from(array, [1, 1], dtype as "float32");
    for (const options of [
      { dtype: dtype === "float64" ? "float64" : "float32" },
      { elementwiseAffine: false },
    ] as const) {
      const { data } = await pool.forward(new RMSNorm(1, options), x);
      if (dtype === "float16") expect(bits(data)).toEqual([0x9e, 0x38]);
      else if (dtype === "bfloat16") expect(bits(data)).toEqual([0x14, 0x3f]);
      else expect(data[0]).toBe(dtype === "float64" ? expected : Math.fround(expected));
    }
  });

  test("and not of the layer's dtype, where it has no parameters", async () => {
    const layer = new RMSNorm(1, { elementwiseAffine: false, dtype: "float64" });
    const { data } = await pool.forward(layer, pool.from(Float32Array.of(2 ** -12), [1, 1]));
    expect(data[0]).toBe(Math.fround(1 / Math.sqrt(3)));
  });
});
