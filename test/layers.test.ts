// PyTorch's constructors, shapes, errors and running statistics. Numbers marked "torch" were computed by torch 2.13.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  InvalidArgumentError,
  InvalidShapeError,
  type Layer,
  LayerNorm,
  NormPool,
  RMSNorm,
} from "../src/index.js";
import { batchNorm, instanceNorm } from "./reference.js";
import { expectWithinUlps, normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

function zeros(...shape: number[]) {
  return pool.tensor("float32", shape);
}

describe("defaults are PyTorch's", () => {
  test("LayerNorm", () => {
    const layer = new LayerNorm([2, 3]);
    expect(layer).toMatchObject({ normalizedShape: [2, 3], eps: 1e-5, training: true });
    expect(layer.weight).toEqual(new Float32Array(6).fill(1));
    expect(layer.bias).toEqual(new Float32Array(6));
    expect(new LayerNorm(4).normalizedShape).toEqual([4]);
    expect(new LayerNorm(4, { bias: false })).toMatchObject({ weight: new Float32Array(4).fill(1), bias: null });
    expect(new LayerNorm(4, { elementwiseAffine: false })).toMatchObject({ weight: null, bias: null });
  });

  test("GroupNorm", () => {
    expect(new GroupNorm(2, 4)).toMatchObject({
      numGroups: 2,
      numChannels: 4,
      eps: 1e-5,
      weight: new Float32Array(4).fill(1),
      bias: new Float32Array(4),
    });
    expect(new GroupNorm(2, 4, { affine: false })).toMatchObject({ weight: null, bias: null });
  });

  test.each([BatchNorm1d, BatchNorm2d, BatchNorm3d])("%o", (Class) => {
    expect(new Class(3)).toMatchObject({
      numFeatures: 3,
      eps: 1e-5,
      momentum: 0.1,
      trackRunningStats: true,
      weight: new Float32Array(3).fill(1),
      bias: new Float32Array(3),
      runningMean: new Float32Array(3),
      runningVar: new Float32Array(3).fill(1),
      numBatchesTracked: 0,
    });
    expect(new Class(3, { trackRunningStats: false })).toMatchObject({
      runningMean: null,
      runningVar: null,
      numBatchesTracked: null,
    });
  });

  test.each([InstanceNorm1d, InstanceNorm2d, InstanceNorm3d])("%o", (Class) => {
    const none = { weight: null, bias: null, runningMean: null, runningVar: null, numBatchesTracked: null };
    expect(new Class(3)).toMatchObject({ eps: 1e-5, momentum: 0.1, trackRunningStats: false, ...none });
    expect(new Class(3, { affine: true }).weight).toEqual(new Float32Array(3).fill(1));
  });

  test("train and eval set the mode and return the layer", () => {
    const layer = new BatchNorm1d(2);
    expect(layer.eval()).toBe(layer);
    expect(layer.training).toBe(false);
    expect(layer.train().training).toBe(true);
    expect(layer.train(false).training).toBe(false);
  });
});

describe("constructor errors name the argument", () => {
  test.each<[string, () => unknown, string]>([
    [
      "a fraction",
      () => new LayerNorm(1.5),
      "LayerNorm: expected a safe integer, 0 or more for normalizedShape but got 1.5",
    ],
    [
      "no dimensions",
      () => new LayerNorm([]),
      "LayerNorm: expected at least one dimension for normalizedShape but got []",
    ],
    [
      "a negative size",
      () => new LayerNorm([3, -1]),
      "LayerNorm: expected a safe integer, 0 or more for normalizedShape but got -1",
    ],
    [
      "NaN eps",
      () => new LayerNorm(3, { eps: Number.NaN }),
      "LayerNorm: expected a finite number, 0 or more for eps but got NaN",
    ],
    [
      "negative eps",
      () => new GroupNorm(1, 2, { eps: -1 }),
      "GroupNorm: expected a finite number, 0 or more for eps but got -1",
    ],
    [
      "negative groups",
      () => new GroupNorm(-2, 4),
      "GroupNorm: expected a positive safe integer for numGroups but got -2",
    ],
    [
      "indivisible",
      () => new GroupNorm(3, 4),
      "GroupNorm: expected a number divisible by numGroups (3) for numChannels but got 4",
    ],
    [
      "a word for RMSNorm's eps",
      () => new RMSNorm(3, { eps: "None" as never }),
      'RMSNorm: expected a finite number, 0 or more for eps but got "None"',
    ],
    [
      "a bias for RMSNorm",
      () => new RMSNorm(3, { bias: true } as object),
      'only eps, elementwiseAffine, dtype for options but got "bias"',
    ],
    [
      "an unknown key",
      () => new BatchNorm2d(3, { epsilon: 1 } as object),
      'only eps, momentum, affine, trackRunningStats, bias, dtype for options but got "epsilon"',
    ],
    [
      "a word for a flag",
      () => new BatchNorm2d(3, { affine: "no" as never }),
      'BatchNorm2d: expected true or false for affine but got "no"',
    ],
    [
      "NaN momentum",
      () => new BatchNorm2d(3, { momentum: Number.NaN }),
      "BatchNorm2d: expected a finite number or null for momentum but got NaN",
    ],
    [
      "no features",
      () => new InstanceNorm1d(0),
      "InstanceNorm1d: expected a positive safe integer for numFeatures but got 0",
    ],
    [
      "options of a wrong kind",
      () => new LayerNorm(3, 1e-5 as never),
      "LayerNorm: expected an object for options but got 0.00001",
    ],
  ])("%s", (_, make, message) => {
    expect(make).toThrow(InvalidArgumentError);
    expect(make).toThrow(message);
  });
});

describe("shape errors say what was expected and what came", () => {
  test.each<[string, Layer, number[], string]>([
    [
      "LayerNorm",
      new LayerNorm(3),
      [2, 4],
      "LayerNorm: given normalizedShape [3], expected input of shape [*, 3] but got [2, 4]",
    ],
    ["LayerNorm rank", new LayerNorm([2, 3]), [3], "expected input of shape [*, 2, 3] but got [3]"],
    [
      "GroupNorm rank",
      new GroupNorm(1, 2),
      [2],
      "GroupNorm: expected input of at least 2 dimensions but got 1D input of shape [2]",
    ],
    [
      "GroupNorm groups",
      new GroupNorm(2, 4),
      [2, 7, 4],
      "divisible by numGroups but got input of shape [2, 7, 4] and numGroups=2",
    ],
    ["GroupNorm weight", new GroupNorm(2, 6), [2, 4, 3], "got weight of shape [6] and input of shape [2, 4, 3]"],
    [
      "GroupNorm one value",
      new GroupNorm(2, 2),
      [1, 2],
      "GroupNorm: expected more than 1 value per group but got input of shape [1, 2]",
    ],
    [
      "BatchNorm1d rank",
      new BatchNorm1d(2),
      [1, 2, 3, 4],
      "BatchNorm1d: expected 2D or 3D input but got 4D input of shape [1, 2, 3, 4]",
    ],
    ["BatchNorm2d rank", new BatchNorm2d(2), [2, 3, 4], "BatchNorm2d: expected 4D input but got 3D"],
    ["BatchNorm3d rank", new BatchNorm3d(2), [1, 2, 3, 4], "BatchNorm3d: expected 5D input but got 4D"],
    [
      "BatchNorm channels",
      new BatchNorm1d(3),
      [4, 2],
      "BatchNorm1d: expected 3 channels (numFeatures) at dimension 1 but got 2 in input of shape [4, 2]",
    ],
    [
      "BatchNorm one value",
      new BatchNorm1d(2),
      [1, 2],
      "BatchNorm1d: expected more than 1 value per channel when training but got input of shape [1, 2]",
    ],
    [
      "BatchNorm one value in eval without statistics",
      new BatchNorm1d(2, { trackRunningStats: false }).eval(),
      [1, 2],
      "expected more than 1 value per channel",
    ],
    ["InstanceNorm1d rank", new InstanceNorm1d(2), [2], "InstanceNorm1d: expected 2D or 3D input but got 1D"],
    ["InstanceNorm2d rank", new InstanceNorm2d(2), [2, 2], "InstanceNorm2d: expected 3D or 4D input but got 2D"],
    ["InstanceNorm3d rank", new InstanceNorm3d(2), [2, 2, 2], "InstanceNorm3d: expected 4D or 5D input but got 3D"],
    [
      "InstanceNorm one element",
      new InstanceNorm1d(2),
      [3, 2, 1],
      "InstanceNorm1d: expected more than 1 spatial element when training",
    ],
    [
      "InstanceNorm channels",
      new InstanceNorm1d(3, { affine: true }),
      [4, 2, 5],
      "expected 3 channels (numFeatures) at dimension 1 but got 2",
    ],
    [
      "InstanceNorm channels, unbatched",
      new InstanceNorm1d(3, { affine: true }),
      [2, 5],
      "expected 3 channels (numFeatures) at dimension 0 but got 2",
    ],
  ])("%s", async (_, layer, shape, message) => {
    await expect(pool.forward(layer, zeros(...shape))).rejects.toThrow(InvalidShapeError);
    await expect(pool.forward(layer, zeros(...shape))).rejects.toThrow(message);
  });

  test("a parameter that the caller replaced is checked", async () => {
    const layer = new BatchNorm1d(2);
    layer.runningMean = new Float32Array(3);
    await expect(pool.forward(layer, zeros(4, 2))).rejects.toThrow("expected 2 elements for runningMean but got 3");
    layer.runningMean = new Float32Array(2);
    layer.weight = [1, 2] as unknown as Float32Array;
    await expect(pool.forward(layer, zeros(4, 2))).rejects.toThrow("a Float32Array or null for weight but got [1, 2]");
  });

  test("eps 0 is for evaluation only, in BatchNorm", async () => {
    const layer = new BatchNorm1d(2, { eps: 0 });
    await expect(pool.forward(layer, zeros(4, 2))).rejects.toThrow("a positive number in training, and without running statistics, for eps but got 0");
    expect((await pool.forward(layer.eval(), zeros(4, 2))).data).toEqual(new Float32Array(8));
  });

  test("any number of channels will do where nothing is kept by channel", async () => {
    expect((await pool.forward(new InstanceNorm1d(3), zeros(4, 2, 5))).shape).toEqual([4, 2, 5]);
    expect((await pool.forward(new GroupNorm(2, 6, { affine: false }), zeros(2, 4, 3))).shape).toEqual([2, 4, 3]);
  });
});

describe("BatchNorm's running statistics", () => {
  const shape = [6, 3, 5];
  const data = normal(90, 1, 4, 2);
  const { mean, variance, cellsPerSet } = batchNorm(data, shape);
  const unbiased = variance.map((v) => (v * cellsPerSet) / (cellsPerSet - 1));

  test("take the batch's mean and unbiased variance by momentum", async () => {
    const layer = new BatchNorm1d(3, { momentum: 0.3 });
    await pool.forward(layer, pool.from(data, shape));
    expectWithinUlps(
      layer.runningMean ?? [],
      mean.map((m) => 0.3 * m),
      1,
    );
    expectWithinUlps(
      layer.runningVar ?? [],
      unbiased.map((v) => 0.3 * v + 0.7),
      1,
    );
    expect(layer.numBatchesTracked).toBe(1);
  });

  test("average all batches alike with momentum null", async () => {
    const layer = new BatchNorm1d(3, { momentum: null });
    for (let i = 1; i <= 4; i++) {
      await pool.forward(
        layer,
        pool.from(
          data.map((x) => x * i),
          shape,
        ),
      );
      expect(layer.numBatchesTracked).toBe(i);
    }
    expectWithinUlps(
      layer.runningMean ?? [],
      mean.map((m) => 2.5 * m),
      4,
    );
    expectWithinUlps(
      layer.runningVar ?? [],
      unbiased.map((v) => 7.5 * v),
      4,
    );
  });

  test("are used and not changed in evaluation", async () => {
    const layer = new BatchNorm1d(3).eval();
    layer.runningMean?.set([1, 2, 3]);
    layer.runningVar?.set([4, 5, 6]);
    const given = { mean: new Float32Array([1, 2, 3]), variance: new Float32Array([4, 5, 6]) };
    const y = await pool.forward(layer, pool.from(data, shape));
    expectWithinUlps(y.data, batchNorm(data, shape, { given }).y, 1);
    expect(layer).toMatchObject({ runningMean: given.mean, runningVar: given.variance, numBatchesTracked: 0 });
  });

  test("without them evaluation uses the batch", async () => {
    const layer = new BatchNorm1d(3, { trackRunningStats: false }).eval();
    expectWithinUlps((await pool.forward(layer, pool.from(data, shape))).data, batchNorm(data, shape).y, 2);
  });

  test("an empty batch counts, and changes nothing else", async () => {
    const layer = new BatchNorm1d(3);
    expect((await pool.forward(layer, zeros(0, 3))).shape).toEqual([0, 3]);
    expect(layer).toMatchObject({
      runningMean: new Float32Array(3),
      runningVar: new Float32Array(3).fill(1),
      numBatchesTracked: 1,
    });
  });
});

describe("InstanceNorm's running statistics", () => {
  test("are each instance's, averaged over the samples; the counter stays at 0", async () => {
    const shape = [4, 3, 50];
    const data = normal(600, 2, 1, 3);
    const { mean, variance } = instanceNorm(data, shape);
    const average = (values: Float64Array, c: number) =>
      [0, 1, 2, 3].reduce((sum, n) => sum + (values[n * 3 + c] as number), 0) / 4;
    const layer = new InstanceNorm1d(3, { trackRunningStats: true, momentum: 0.2 });
    await pool.forward(layer, pool.from(data, shape));
    expectWithinUlps(
      layer.runningMean ?? [],
      [0, 1, 2].map((c) => 0.2 * average(mean, c)),
      1,
    );
    expectWithinUlps(
      layer.runningVar ?? [],
      [0, 1, 2].map((c) => (0.2 * average(variance, c) * 50) / 49 + 0.8),
      1,
    );
    expect(layer.numBatchesTracked).toBe(0);
  });

  test("momentum null updates nothing", async () => {
    const layer = new InstanceNorm1d(3, { trackRunningStats: true, momentum: null });
    await pool.forward(layer, pool.from(normal(60, 1, 9), [2, 3, 10]));
    expect(layer).toMatchObject({ runningMean: new Float32Array(3), runningVar: new Float32Array(3).fill(1) });
  });

  test("are used in evaluation", async () => {
    const layer = new InstanceNorm2d(2, { trackRunningStats: true }).eval();
    layer.runningMean?.set([1, 2]);
    layer.runningVar?.set([4, 9]);
    const data = normal(2 * 2 * 35, 3);
    const given = { mean: [1, 2], variance: [4, 9] };
    const y = await pool.forward(layer, pool.from(data, [2, 2, 5, 7]));
    expectWithinUlps(y.data, instanceNorm(data, [2, 2, 5, 7], { given }).y, 1);
  });
});

test("an unbatched InstanceNorm input is one sample", async () => {
  const data = normal(3 * 40, 4);
  const y = await pool.forward(new InstanceNorm1d(3), pool.from(data, [3, 40]));
  expect(y.shape).toEqual([3, 40]);
  expectWithinUlps(y.data, instanceNorm(data, [1, 3, 40]).y, 2);
});

test.each<[Layer, number[]]>([
  [new LayerNorm(3), [0, 3]],
  [new LayerNorm(0), [3, 0]],
  [new GroupNorm(2, 4), [0, 4, 5]],
  [new InstanceNorm1d(3), [0, 3, 5]],
])("no cells in, no cells out: $name", async (layer, shape) => {
  expect((await pool.forward(layer, zeros(...shape))).shape).toEqual(shape);
});

test("weights are read when the call starts", async () => {
  const layer = new LayerNorm(1024);
  layer.weight?.fill(2);
  const x = pool.from(normal(600 * 1024, 1), [600, 1024]);
  const expected = (await pool.forward(layer, x)).data.slice();
  const running = pool.forward(layer, x);
  layer.weight?.fill(100);
  expect((await running).data).toEqual(expected);
});

test("the PyTorch tutorial's GroupNorm(2, 4) over a ramp of channels gives -1 and 1", async () => {
  const x = zeros(2, 4, 2, 2);
  for (let i = 0; i < x.data.length; i++) x.data[i] = 1 + (Math.floor(i / 4) % 4);
  const y = await pool.forward(new GroupNorm(2, 4), x);
  for (let i = 0; i < y.data.length; i++) {
    expect(y.data[i]).toBeCloseTo(Math.floor(i / 4) % 2 === 0 ? -1 : 1, 4);
  }
});
