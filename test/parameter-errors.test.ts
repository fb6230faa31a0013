// Parameters, eps and dtypes that PyTorch refuses when a layer is called, by the text of its error.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  type Layer,
  LayerNorm,
  LazyBatchNorm1d,
  LazyInstanceNorm1d,
  LazyInstanceNorm3d,
  LocalResponseNorm,
  NormPool,
  RMSNorm,
  SyncBatchNorm,
} from "../src/index.js";
import { badArgument, expectInputRefused, expectThrows, keptBy, type Refusal } from "./refusal.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

const UNTRACKED = { trackRunningStats: false };

describe("a parameter that the caller replaced", () => {
  const floats = { shape: [2], data: Float32Array.of(8, 9) };
  for (const [text, key, layer, shape] of [
    ["running_mean should contain 2 elements not 3", "runningMean", new BatchNorm1d(2), [4, 2]],
    ["running_var should contain 2 elements not 3", "runningVar", new BatchNorm1d(2).eval(), [4, 2]],
    ["weight should contain 2 elements not 3", "weight", new BatchNorm2d(2), [4, 2, 1, 1]],
    ["bias should contain 2 elements not 3", "bias", new SyncBatchNorm(2), [4, 2]],
    ["weight should contain 2 elements not 3", "weight", new InstanceNorm1d(2, { affine: true }), [4, 2, 5]],
    ["Expected weight to be a vector of size equal to the number of channels", "weight", new GroupNorm(1, 2), [4, 2]],
    ["Expected bias to be a vector of size equal to the number of channels", "bias", new GroupNorm(1, 2), [4, 2]],
    ["Expected weight to be of same shape as normalized_shape", "weight", new LayerNorm(2), [4, 2]],
    ["Expected bias to be of same shape as normalized_shape", "bias", new LayerNorm(2), [4, 2]],
    ["Expected weight to be of same shape as normalized_shape", "weight", new RMSNorm(2), [4, 2]],
  ] as const) {
    test(`PyTorch: "${text}": ${layer}`, async () => {
      Object.assign(layer, { [key]: new Float32Array(3) });
      const saved = { running_mean: floats, running_var: floats, weight: floats, bias: floats };
      const kept = keptBy(layer);
      const python = key.replace(/[MV]/, (letter) => `_${letter.toLowerCase()}`);
      const words = `expected a typed array of 2 elements for ${python} but got Float32Array of 3`;
      expectThrows(() => layer.stateDict(), badArgument(python, `${layer.name}.stateDict: ${words}`));
      const loading = badArgument(python, `${layer.name}.loadStateDict: ${words}`);
      expectThrows(() => layer.loadStateDict(saved, { strict: false }), loading);
      expect(keptBy(layer)).toEqual(kept);

      const length = badArgument(key, `${layer.name}: expected 2 elements for ${key} but got 3`);
      await expectInputRefused(pool, layer, shape, length);
      Object.assign(layer, { [key]: [1, 2] });
      const array = badArgument(
        key,
        `${layer.name}: expected a Float32Array (Float32Array.from makes one) or null for ${key} but got [1, 2]`,
      );
      await expectInputRefused(pool, layer, shape, array);
      Object.assign(layer, { [key]: new Float64Array(2) });
      const dtype = badArgument(key, `expected a Float32Array or null for ${key} but got Float64Array`);
      await expectInputRefused(pool, layer, shape, dtype);
    });
  }
});

describe("eps 0", () => {
  test.each([
    new BatchNorm1d(2, { eps: 0 }),
    new SyncBatchNorm(2, { eps: 0 }),
    new BatchNorm1d(2, { eps: 0, ...UNTRACKED }).eval(),
  ])('PyTorch: "batch_norm eps must be positive during training, but got 0": %s', async (layer) => {
    const words = "expected a positive number in training, and without running statistics, for eps but got 0";
    await expectInputRefused(pool, layer, [4, 2], badArgument("eps", `${layer.name}: ${words}`), {
      momentsToo: false,
    });
  });

  test.each([
    new BatchNorm1d(2, { eps: 0 }).eval(),
    new GroupNorm(1, 2, { eps: 0 }),
    new LayerNorm(2, { eps: 0 }),
    new RMSNorm(2, { eps: 0 }),
  ])("is what PyTorch takes: %s", async (layer) => {
    const y = await pool.forward(layer, pool.from(Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2]));
    expect(y.data.every(Number.isFinite)).toBe(true);
  });
});

describe("dtypes that do not go together", () => {
  // PyTorch: "mixed dtype (CPU): expect parameter to have scalar type of Float", or of Double.
  const pairs: readonly [(dtype: "float32" | "float64") => Layer, number[]][] = [
    [(dtype) => new LayerNorm(2, { dtype }), [4, 2]],
    [(dtype) => new LayerNorm(2, { dtype, bias: false }), [4, 2]],
    [(dtype) => new RMSNorm(2, { dtype }), [4, 2]],
    [(dtype) => new GroupNorm(1, 2, { dtype }), [4, 2]],
    [(dtype) => new BatchNorm1d(2, { dtype, affine: false }), [4, 2]],
    [(dtype) => new BatchNorm2d(2, { dtype, ...UNTRACKED }).eval(), [4, 2, 1, 1]],
    [(dtype) => new SyncBatchNorm(2, { dtype }), [4, 2]],
    [(dtype) => new InstanceNorm1d(2, { dtype, affine: true }), [4, 2, 3]],
    [(dtype) => new InstanceNorm2d(2, { dtype, trackRunningStats: true }), [4, 2, 3, 1]],
    [(dtype) => new LazyBatchNorm1d({ dtype }), [4, 2]],
    [(dtype) => new LazyInstanceNorm3d({ dtype }), [4, 2, 3, 1, 1]],
  ];
  for (const [make, shape] of pairs) {
    test(`are both named: ${make("float32")}`, async () => {
      const float32 = "float32, float16, bfloat16 or uint8 as input of a layer whose dtype is float32";
      const refusal: Refusal = {
        code: "unsupported-dtype",
        dtype: "float64",
        words: `expected dtype ${float32} but got "float64"`,
      };
      await expectInputRefused(pool, make("float32"), shape, refusal, { dtype: "float64" });
      for (const dtype of ["float32", "float16", "bfloat16"] as const) {
        const words = `expected dtype float64 as input of a layer whose dtype is float64 but got "${dtype}"`;
        const other: Refusal = { code: "unsupported-dtype", dtype, words };
        await expectInputRefused(pool, make("float64"), shape, other, { dtype });
      }
    });
  }

  test.each<[Layer, number[]]>([
    [new LayerNorm(2, { elementwiseAffine: false }), [4, 2]],
    [new LayerNorm(2, { elementwiseAffine: false, dtype: "float64" }), [4, 2]],
    [new RMSNorm(2, { elementwiseAffine: false, dtype: "float64" }), [4, 2]],
    [new GroupNorm(1, 2, { affine: false }), [4, 2]],
    [new BatchNorm1d(2, { affine: false, ...UNTRACKED }), [4, 2]],
    [new InstanceNorm1d(2, { dtype: "float64" }), [4, 2, 3]],
    [new LazyInstanceNorm1d({ affine: false, ...UNTRACKED }), [4, 2, 3]],
    [new LocalResponseNorm(2), [4, 2, 3]],
  ])("are none without parameters: %s", async (layer, shape) => {
    for (const dtype of ["float32", "float64", "float16", "bfloat16", "uint8"] as const) {
      const y = await pool.forward(layer, pool.tensor(dtype, shape));
      expect(y.dtype).toBe(dtype === "uint8" ? "float32" : dtype);
    }
  });
});
