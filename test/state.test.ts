// State dicts with PyTorch's keys and rules, and how layers print.
import { describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InvalidArgumentError,
  LayerNorm,
  NormPool,
  RMSNorm,
  type StateDict,
} from "../src/index.js";
import { normal } from "./support.js";

const floats = (...values: number[]) => ({ shape: [values.length], data: Float32Array.from(values) });
const int64 = (value: bigint) => ({ shape: [], data: BigInt64Array.of(value) });

describe("stateDict", () => {
  test.each([
    ["LayerNorm", new LayerNorm([2, 3]), ["weight", "bias"]],
    ["LayerNorm without bias", new LayerNorm(3, { bias: false }), ["weight"]],
    ["LayerNorm without affine", new LayerNorm(3, { elementwiseAffine: false }), []],
    ["RMSNorm", new RMSNorm(3), ["weight"]],
    ["GroupNorm", new GroupNorm(2, 4), ["weight", "bias"]],
    ["BatchNorm2d", new BatchNorm2d(4), ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]],
    ["BatchNorm2d without tracking", new BatchNorm2d(4, { trackRunningStats: false }), ["weight", "bias"]],
    ["InstanceNorm2d", new InstanceNorm2d(4), []],
  ])("of %s has PyTorch's keys in its order", (_, layer, keys) => {
    expect(Object.keys(layer.stateDict())).toEqual(keys);
  });

  test("has shapes, and an int64 scalar for the count", () => {
    const { weight } = new LayerNorm([2, 3]).stateDict();
    expect(weight).toEqual({ shape: [2, 3], data: new Float32Array(6).fill(1) });
    const { num_batches_tracked: count } = new BatchNorm1d(2).stateDict();
    expect(count).toEqual(int64(0n));
  });

  test("is a copy, and goes into another layer", async () => {
    const pool = new NormPool({ threads: 1 });
    const layer = new BatchNorm1d(3);
    await pool.forward(layer, pool.from(normal(30, 1, 4), [10, 3]));
    const state = layer.stateDict();
    const before = structuredClone(state);
    await pool.forward(layer, pool.from(normal(30, 2, 9), [10, 3]));
    expect(state).toEqual(before);
    const other = new BatchNorm1d(3);
    other.loadStateDict(state);
    expect(other.stateDict()).toEqual(before);
    expect(other.numBatchesTracked).toBe(1);
    await pool.close();
  });
});

describe("loadStateDict", () => {
  const good = { weight: floats(1, 2), bias: floats(3, 4) };

  test.each<[string, StateDict, string]>([
    ["a missing key", { weight: floats(1, 2) }, 'missing keys "bias"'],
    ["an unexpected key", { ...good, extra: floats(1) }, 'unexpected keys "extra"'],
    ["another size", { ...good, bias: floats(1, 2, 3) }, '"bias" of shape [3] where the layer\'s is [2]'],
    ["no tensor", { ...good, bias: [1, 2] as never }, 'no tensor { shape, data } but [1, 2] at "bias"'],
    [
      "an array of another type",
      { ...good, bias: { shape: [2], data: new Int32Array(2) } as never },
      'Int32Array, where Float32Array, Float64Array and BigInt64Array are taken, at "bias"',
    ],
    [
      "a shape that is not the data's",
      { ...good, bias: { shape: [2], data: new Float32Array(3) } },
      '3 elements of shape [2] at "bias"',
    ],
    [
      "several faults at once",
      { weight: floats(1), more: floats(1) },
      'missing keys "bias"; unexpected keys "more"; "weight" of shape [1]',
    ],
  ])("names %s, and loads nothing", (_, dict, message) => {
    const layer = new GroupNorm(1, 2);
    expect(() => layer.loadStateDict(dict)).toThrow(InvalidArgumentError);
    expect(() => layer.loadStateDict(dict)).toThrow(message);
    expect(() => layer.loadStateDict(dict)).toThrow(
      /^GroupNorm\.loadStateDict: expected a state that fits the layer for dict but got/,
    );
    expect(layer.weight).toEqual(new Float32Array([1, 1]));
  });

  test("takes what fits with strict: false, but never another size", () => {
    const layer = new GroupNorm(1, 2);
    layer.loadStateDict({ bias: floats(5, 6), extra: floats(1) }, { strict: false });
    expect(layer).toMatchObject({ weight: new Float32Array([1, 1]), bias: new Float32Array([5, 6]) });
    expect(() => layer.loadStateDict({ bias: floats(5) }, { strict: false })).toThrow("of shape [1]");
  });

  test("takes a BatchNorm dict of an old file, without num_batches_tracked", () => {
    const layer = new BatchNorm1d(1);
    layer.loadStateDict({ weight: floats(1), bias: floats(2), running_mean: floats(3), running_var: floats(4) });
    expect(layer).toMatchObject({
      runningMean: new Float32Array([3]),
      runningVar: new Float32Array([4]),
      numBatchesTracked: 0,
    });
  });

  test("takes integers as safetensors has them: a count of [] or [1], and int64 for floats", () => {
    const layer = new BatchNorm1d(1);
    const state = { ...layer.stateDict(), num_batches_tracked: { shape: [1], data: BigInt64Array.of(7n) } };
    layer.loadStateDict({ ...state, running_mean: { shape: [1], data: BigInt64Array.of(3n) } });
    expect(layer).toMatchObject({ numBatchesTracked: 7, runningMean: Float32Array.of(3) });
    const bad = { ...state, num_batches_tracked: { shape: [], data: Int32Array.of(7) } } as never;
    expect(() => layer.loadStateDict(bad)).toThrow("Int32Array, where Float32Array, Float64Array and BigInt64Array");
  });

  test("rejects options that it does not know", () => {
    const layer = new GroupNorm(1, 2);
    expect(() => layer.loadStateDict(good, { strickt: true } as object)).toThrow(
      'only strict, prefix for options but got "strickt"',
    );
    expect(() => layer.loadStateDict(good, { strict: 1 as never })).toThrow("true or false for strict but got 1");
    expect(() => layer.loadStateDict(good, { prefix: 1 as never })).toThrow("a string for prefix but got 1");
    expect(() => layer.loadStateDict(null as never)).toThrow("an object of tensors for dict but got null");
  });
});

describe("reset", () => {
  test("resetParameters and resetRunningStats give back the first state", () => {
    for (const layer of [
      new LayerNorm(2),
      new GroupNorm(1, 2),
      new BatchNorm1d(2),
      new InstanceNorm1d(2, { affine: true, trackRunningStats: true }),
    ]) {
      const first = layer.stateDict();
      const twos = Object.fromEntries(
        Object.entries(first).map(([key, { shape, data }]) => [
          key,
          { shape, data: new Float32Array(data.length).fill(2) },
        ]),
      );
      layer.loadStateDict(twos);
      expect(layer.stateDict()).not.toEqual(first);
      layer.resetParameters();
      expect(layer.stateDict()).toEqual(first);
    }
  });

  test("resetRunningStats leaves the parameters", () => {
    const layer = new BatchNorm1d(1);
    layer.loadStateDict({
      weight: floats(5),
      bias: floats(6),
      running_mean: floats(7),
      running_var: floats(8),
      num_batches_tracked: int64(9n),
    });
    layer.resetRunningStats();
    expect(layer).toMatchObject({
      weight: floats(5).data,
      bias: floats(6).data,
      runningMean: floats(0).data,
      runningVar: floats(1).data,
      numBatchesTracked: 0,
    });
  });
});

// As torch prints them; 2.13 says bias=True too.
test.each([
  [new LayerNorm([2, 3]), "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True)"],
  [new LayerNorm(5, { eps: 0.001, elementwiseAffine: false }), "LayerNorm((5,), eps=0.001, elementwise_affine=False)"],
  [new RMSNorm(5), "RMSNorm((5,), eps=None, elementwise_affine=True)"],
  [
    new RMSNorm([2, 3], { eps: 1e-6, elementwiseAffine: false }),
    "RMSNorm((2, 3), eps=1e-06, elementwise_affine=False)",
  ],
  [new GroupNorm(32, 256), "GroupNorm(32, 256, eps=1e-05, affine=True)"],
  [new GroupNorm(2, 4, { bias: false }), "GroupNorm(2, 4, eps=1e-05, affine=True, bias=False)"],
  [new GroupNorm(2, 4, { eps: 1, affine: false }), "GroupNorm(2, 4, eps=1.0, affine=False)"],
  [new BatchNorm2d(64), "BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"],
  [
    new BatchNorm1d(3, { momentum: null, eps: 2.5e-7 }),
    "BatchNorm1d(3, eps=2.5e-07, momentum=None, affine=True, track_running_stats=True)",
  ],
  [new InstanceNorm1d(4), "InstanceNorm1d(4, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)"],
])("prints as PyTorch does: %s", (layer, printed) => {
  expect(String(layer)).toBe(printed);
});
