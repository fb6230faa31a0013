// PyTorch's constructors, shapes and running statistics.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  LayerNorm,
  LocalResponseNorm,
  NormPool,
  RMSNorm,
  type SetMoments,
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

describe("onMoments", () => {
  const x = pool.from(normal(24, 5), [4, 2, 3]);

  test("is told each set's moments, of the layer's own sets", async () => {
    for (const [layer, sets, count] of [
      [new LayerNorm(3), 8, 3],
      [new RMSNorm(3), 8, 3],
      [new GroupNorm(1, 2), 4, 6],
      [new InstanceNorm1d(2), 8, 3],
      [new BatchNorm1d(2), 2, 12],
    ] as const) {
      const told: SetMoments[] = [];
      await pool.forward(layer, x, { onMoments: (moments) => told.push(moments) });
      expect(told).toEqual([await pool.momentsOf(layer, x)]);
      expect(told[0]).toMatchObject({ count, mean: { length: sets }, m2: { length: sets } });
    }
  });

  test("is not called where running statistics are used, nor by LocalResponseNorm", async () => {
    const onMoments = () => expect.fail("called");
    await pool.forward(new BatchNorm1d(2).eval(), x, { onMoments });
    await pool.forward(new InstanceNorm1d(2, { trackRunningStats: true }).eval(), x, { onMoments });
    await pool.forward(new LocalResponseNorm(2), x, { onMoments });
  });

  test("fails the call with what it throws, which then updates nothing", async () => {
    const boom = new Error("boom");
    const onMoments = () => {
      throw boom;
    };
    for (const layer of [new BatchNorm1d(2), new InstanceNorm1d(2, { trackRunningStats: true })]) {
      const state = layer.stateDict();
      await expect(pool.forward(layer, x, { onMoments })).rejects.toBe(boom);
      expect(layer.stateDict()).toEqual(state);
    }
  });
});

test("an unbatched InstanceNorm input is one sample", async () => {
  const data = normal(3 * 40, 4);
  const y = await pool.forward(new InstanceNorm1d(3), pool.from(data, [3, 40]));
  expect(y.shape).toEqual([3, 40]);
  expectWithinUlps(y.data, instanceNorm(data, [1, 3, 40]).y, 2);
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
