// Small things that users reach for: memory that is not zeroed, bytes of one tensor alone, moments that went through JSON or belong to other
// data, state as tensors, arrays of another realm, and words for those who bring plain arrays.
import { runInNewContext } from "node:vm";
import { afterAll, describe, expect, test } from "vitest";
import {
  addGradientSums,
  BatchNorm1d,
  GroupNorm,
  InstanceNorm1d,
  type Layer,
  LayerNorm,
  mergeMoments,
  NormPool,
  RMSNorm,
  type SetMoments,
  SyncBatchNorm,
  UnitNorm,
} from "../src/index.js";
import { badArgument, expectRejects, expectThrows } from "./refusal.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

describe("memory", () => {
  test("pool.empty is a tensor that nothing has been written to, where another was", () => {
    const used = pool.from(new Float32Array(1000).fill(7));
    const { byteOffset } = used.data;
    used.dispose();
    const empty = pool.empty("float32", [10, 100]);
    expect(empty.data.byteOffset).toBe(byteOffset);
    expect(empty.data.every((cell) => cell === 7)).toBe(true);
    expect(pool.tensor("float32", [10]).data.every((cell) => cell === 0)).toBe(true);
    expectThrows(() => pool.empty("int8" as "float32", [2]), {
      code: "unsupported-dtype",
      operation: "pool.empty",
      words: "float32",
    });
    empty.dispose();
  });

  test("toBytes is a copy of one tensor's cells; its data's buffer is all of the pool's memory", () => {
    const x = pool.from(Float32Array.of(1, 2, 3));
    const bytes = x.toBytes();
    expect([...new Float32Array(bytes.buffer)]).toEqual([1, 2, 3]);
    expect(bytes.byteLength).toBe(12);
    expect(bytes.buffer).toBeInstanceOf(ArrayBuffer);
    expect(x.data.buffer.byteLength).toBeGreaterThan(65_536);
    x.data[0] = 9;
    expect(new Float32Array(bytes.buffer)[0]).toBe(1);
    x.dispose();
    expectThrows(() => x.toBytes(), badArgument("tensor", "a live tensor"));
  });

  test("a state dict's tensor becomes a tensor of its shape", () => {
    const x = pool.from({ shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) });
    expect([x.shape, x.dtype, [...x.data]]).toEqual([[2, 3], "float32", [1, 2, 3, 4, 5, 6]]);
    const { running_mean } = new BatchNorm1d(4, { dtype: "float64" }).stateDict();
    expect(pool.from(running_mean as never).dtype).toBe("float64");
  });
});

const shape = [6, 4, 50];
const LAYERS: readonly Layer[] = [
  new LayerNorm(50),
  new RMSNorm(50),
  new UnitNorm(50),
  new GroupNorm(2, 4),
  new InstanceNorm1d(4),
  new BatchNorm1d(4),
  new SyncBatchNorm(4),
];

describe("moments", () => {
  test.each(LAYERS)("of the tensor itself give %s the same bits, and once more after JSON", async (layer) => {
    const x = pool.from(normal(1200, 1, 3), shape);
    const expected = await pool.forward(layer, x);
    const moments = await pool.momentsOf(layer, x);
    const travelled = JSON.parse(JSON.stringify(moments)) as SetMoments;
    for (const given of [moments, travelled, { ...moments, mean: [...moments.mean], m2: [...moments.m2] }]) {
      const y = await pool.forward(layer, x, { moments: given as SetMoments });
      expectSameBits(y.data, expected.data);
    }
    expect(mergeMoments([travelled])).toEqual(moments);
  });

  test.each<[Layer, Layer]>([
    [new BatchNorm1d(4).eval(), new BatchNorm1d(4)],
    [new BatchNorm1d(4, { eps: 0 }), new BatchNorm1d(4)],
    [new SyncBatchNorm(4, { eps: 0 }).eval(), new BatchNorm1d(4)],
    [new InstanceNorm1d(4, { trackRunningStats: true, eps: 0 }).eval(), new InstanceNorm1d(4)],
  ])("momentsOf has a tensor's own, whatever the mode and eps, and changes nothing: %s", async (layer, plain) => {
    const x = pool.from(normal(1200, 1, 3), shape);
    const state = layer instanceof BatchNorm1d ? layer.stateDict() : undefined;
    expect(await pool.momentsOf(layer, x)).toEqual(await pool.momentsOf(plain, x));
    if (layer instanceof BatchNorm1d) expect(layer.stateDict()).toEqual(state);
  });

  test.each<[Layer, number[]]>([
    [new BatchNorm1d(2), [1, 2]],
    [new InstanceNorm1d(2), [1, 2, 1]],
    [new GroupNorm(1, 1), [1, 1]],
  ])("momentsOf takes one cell a set, such as a last part of a data set: %s", async (layer, sizes) => {
    const x = pool.from(Float32Array.of(3, 4).subarray(0, sizes[1]), sizes);
    expect(await pool.momentsOf(layer, x)).toEqual({
      count: 1,
      mean: Float64Array.of(3, 4).subarray(0, sizes[1]),
      m2: new Float64Array(sizes[1] as number),
    });
  });

  test("that were NaN come back from JSON as NaN", () => {
    const moments = { count: 2, mean: Float64Array.of(Number.NaN, 1), m2: Float64Array.of(Number.NaN, 0) };
    expect(mergeMoments([JSON.parse(JSON.stringify(moments))])).toEqual(moments);
  });

  test("of one cell are too few for running statistics", async () => {
    const x = pool.from(normal(1200, 1), shape);
    const one = { count: 1, mean: new Float64Array(4), m2: new Float64Array(4) };
    await expectRejects(
      () => pool.forward(new BatchNorm1d(4), x, { moments: one }),
      badArgument("moments", "expected those of 2 cells a set or more for moments but got those of 1"),
    );
  });

  test("that are no numbers are refused by what they are", () => {
    for (const mean of [{ 1: 2 }, { 0: "1" }, ["1"], new Float32Array(1), new Uint8Array(1)]) {
      const part = { count: 1, mean, m2: [0] } as never;
      expectThrows(() => mergeMoments([part]), badArgument("parts", "with a Float64Array entry a set"));
    }
  });

  test("gradient sums go through JSON too", () => {
    const sums = { count: 3, sumDy: Float64Array.of(1, 2), sumDyXmu: Float64Array.of(3, 4) };
    expect(addGradientSums([sums, JSON.parse(JSON.stringify(sums))])).toEqual({
      count: 6,
      sumDy: Float64Array.of(2, 4),
      sumDyXmu: Float64Array.of(6, 8),
    });
  });
});

describe("arrays and signals of another realm, such as a test runner's, are as good as one's own", () => {
  const other = (code: string): never => runInNewContext(code) as never;

  test("as tensors, weights, running statistics, moments, state and signals", async () => {
    const x = pool.from(other("Float32Array.of(1, 2, 4, 8)"), [2, 2]);
    const layer = new BatchNorm1d(2);
    layer.weight = other("Float32Array.of(1, 1)");
    layer.bias = other("new Float32Array(2)");
    layer.runningMean = other("new Float32Array(2)");
    layer.runningVar = other("Float32Array.of(1, 1)");
    const y = await pool.forward(layer, x);
    expect(y.data[1]).toBeCloseTo(-1, 4);
    expect(layer.runningMean?.[0]).toBeCloseTo(0.25, 6);
    layer.loadStateDict({ ...layer.stateDict(), weight: { shape: [2], data: other("Float32Array.of(3, 4)") } });
    expect([...(layer.weight ?? [])]).toEqual([3, 4]);
    const moments = { count: 2, mean: other("new Float64Array(2)"), m2: other("Float64Array.of(1, 1)") };
    expect(mergeMoments([moments]).count).toBe(2);
    const { gradWeight } = await pool.backward(layer, { input: x, gradOutput: x });
    expect(gradWeight?.length).toBe(2);
    const { signal } = new AbortController();
    const duck = { aborted: false, reason: undefined, addEventListener: signal.addEventListener.bind(signal) };
    await pool.forward(layer, x, { signal: duck as never });
    await expectRejects(() => pool.forward(layer, x, { signal: {} as never }), badArgument("signal", "an AbortSignal"));
  });
});

test("who brings plain arrays is told what makes them typed", async () => {
  const words = "(Float32Array.from makes one of an array) but got";
  expectThrows(() => pool.from([1, 2] as never), { code: "unsupported-dtype", operation: "pool.from", words });
  const layer = new LayerNorm(2);
  layer.weight = [1, 2] as never;
  const x = pool.tensor("float32", [3, 2]);
  const expected = "expected a Float32Array (Float32Array.from makes one) or null for weight but got [1, 2]";
  await expectRejects(() => pool.forward(layer, x), badArgument("weight", expected));
});
