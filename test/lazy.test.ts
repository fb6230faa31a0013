// Lazy layers: they learn their number of channels once, from the first input that they take or the state that they load.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  LazyBatchNorm1d,
  LazyBatchNorm2d,
  LazyBatchNorm3d,
  LazyInstanceNorm1d,
  LazyInstanceNorm2d,
  LazyInstanceNorm3d,
  NormPool,
  type StateDict,
} from "../src/index.js";
import { badArgument, expectRejects, expectThrows, keptBy } from "./refusal.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

const DEFAULTS = { affine: true, trackRunningStats: true };
const BARE = { affine: false, trackRunningStats: false };
const CLASSES = [
  { Lazy: LazyBatchNorm1d, Eager: BatchNorm1d, shape: [4, 5] },
  { Lazy: LazyBatchNorm1d, Eager: BatchNorm1d, shape: [4, 5, 3] },
  { Lazy: LazyBatchNorm2d, Eager: BatchNorm2d, shape: [2, 5, 3, 1] },
  { Lazy: LazyBatchNorm3d, Eager: BatchNorm3d, shape: [2, 5, 3, 1, 2] },
  { Lazy: LazyInstanceNorm1d, Eager: InstanceNorm1d, shape: [2, 5, 6] },
  { Lazy: LazyInstanceNorm2d, Eager: InstanceNorm2d, shape: [2, 5, 3, 2] },
  { Lazy: LazyInstanceNorm3d, Eager: InstanceNorm3d, shape: [2, 5, 3, 2, 1] },
] as const;

const inputOf = (shape: readonly number[]) =>
  pool.from(
    normal(
      shape.reduce((a, b) => a * b, 1),
      1,
      3,
      2,
    ),
    shape,
  );
const zeros = (...shape: number[]) => pool.tensor("float32", shape);
const vector = (...values: number[]) => ({ shape: [values.length], data: Float32Array.from(values) });

for (const { Lazy, Eager, shape } of CLASSES) {
  const x = inputOf(shape);

  describe(`${Lazy.name} of [${shape.join(", ")}]`, () => {
    test("prints as PyTorch prints it, before and after", async () => {
      const layer = new Lazy();
      const rest = "eps=1e-05, momentum=0.1, affine=True, track_running_stats=True";
      expect(String(layer)).toBe(`${Lazy.name}(0, ${rest})`);
      expect(layer.name).toBe(Lazy.name);
      await pool.forward(layer, x);
      expect(String(layer)).toBe(`${Eager.name}(5, ${rest})`);
      expect(layer.name).toBe(Eager.name);
      expect(String(new Lazy({ bias: false, momentum: null }))).toBe(
        `${Lazy.name}(0, eps=1e-05, momentum=None, affine=True, bias=False, track_running_stats=True)`,
      );
    });

    test("computes and keeps what the eager layer does, affine and tracking by default", async () => {
      const lazy = new Lazy({ momentum: 0.3 });
      const eager = new Eager(5, { ...DEFAULTS, momentum: 0.3 });
      expectSameBits((await pool.forward(lazy, x)).data, (await pool.forward(eager, x)).data);
      expect(keptBy(lazy)).toEqual(keptBy(eager));
      expect(lazy.stateDict()).toEqual(eager.stateDict());
      const [ours, theirs] = [lazy.eval(), eager.eval()].map((layer) =>
        pool.backward(layer, { input: x, gradOutput: x }),
      );
      expect((await ours)?.gradWeight).toEqual((await theirs)?.gradWeight);
    });

    test("learns its channels from forward, backward or momentsOf, and only forward updates statistics", async () => {
      const started = keptBy(new Eager(5, DEFAULTS));
      const [backward, moments] = [new Lazy(), new Lazy()];
      const { gradWeight, gradBias } = await pool.backward(backward, { input: x, gradOutput: x });
      expect([gradWeight?.length, gradBias?.length]).toEqual([5, 5]);
      expect(keptBy(backward)).toEqual(started);
      await pool.momentsOf(moments, x);
      expect(keptBy(moments)).toEqual(started);
    });

    test("learns them at channelAxis", async () => {
      const last = inputOf([shape[0] as number, ...shape.slice(2), 4]);
      const layer = new Lazy();
      await pool.forward(layer, last, { channelAxis: -1 });
      expect(layer.numFeatures).toBe(4);
    });

    test("has nothing before, and of an option that is off nothing after", async () => {
      const layer = new Lazy();
      const nothing = { numFeatures: 0, weight: null, bias: null, runningMean: null, runningVar: null };
      expect(layer).toMatchObject({ ...nothing, numBatchesTracked: 0, trackRunningStats: true });
      layer.resetParameters();
      expect(layer).toMatchObject({ ...nothing, numBatchesTracked: 0 });
      const bare = new Lazy(BARE);
      await pool.forward(bare, x);
      expect(bare).toMatchObject({ ...nothing, numFeatures: 5, numBatchesTracked: null });
    });

    test("refuses a second input of other channels, and stays as it is", async () => {
      const layer = new Lazy();
      await pool.forward(layer, x);
      const kept = keptBy(layer);
      const other = zeros(shape[0] as number, 6, ...shape.slice(2));
      const words = `${Eager.name}: expected 5 channels (numFeatures) at dimension 1 but got 6 in input of shape`;
      await expectRejects(() => pool.forward(layer, other), { code: "invalid-shape", words });
      expect(keptBy(layer)).toEqual(kept);
    });

    test("has not seen an input that it refused", async () => {
      const layer = new Lazy();
      const nothing = keptBy(layer);
      const calls: [() => Promise<unknown>, string][] = [
        [() => pool.forward(layer, zeros(5)), "input but got 1D"],
        [() => pool.forward(layer, pool.tensor("float64", shape)), 'whose dtype is float32 but got "float64"'],
        [() => pool.forward(layer, zeros(1, 5, ...shape.slice(2).map(() => 1))), "expected more than 1"],
        [
          () => pool.forward(layer, zeros(4, 0, ...shape.slice(2))),
          "expected some channels (numFeatures) at dimension 1 but got 0",
        ],
        [() => pool.forward(layer, x, { channelAxis: 7 }), "for channelAxis but got 7"],
        [() => pool.forward(layer, x, { out: zeros(1) }), "expected out of the input's shape"],
      ];
      for (const [call, words] of calls) {
        await expect(call()).rejects.toThrow(words);
        expect(keptBy(layer)).toEqual(nothing);
        expect(layer.name).toBe(Lazy.name);
      }
    });

    test("loads a state, and has its channels from it", () => {
      const state = { ...new Eager(3, DEFAULTS).stateDict(), weight: vector(7, 8, 9) };
      const layer = new Lazy();
      layer.loadStateDict(Object.fromEntries(Object.entries(state).map(([key, value]) => [`norm.${key}`, value])), {
        prefix: "norm.",
      });
      expect(layer.name).toBe(Eager.name);
      expect(layer.stateDict()).toEqual(state);
    });
  });
}

test("an unbatched input's channels are its first dimension", async () => {
  const layer = new LazyInstanceNorm2d();
  await pool.forward(layer, inputOf([3, 4, 5]));
  expect(layer.numFeatures).toBe(3);
});

describe("the state of a layer that has seen no input", () => {
  test("is not to be had", () => {
    const words = "LazyBatchNorm1d.stateDict: expected one that has seen an input for layer but got one that has not";
    expectThrows(() => new LazyBatchNorm1d().stateDict(), badArgument("layer", words));
  });

  const full = new BatchNorm1d(2).stateDict();
  test.each<[string, StateDict, string]>([
    ["is empty", {}, 'missing keys "weight", "bias", "running_mean", "running_var"'],
    ["has a bias alone", { bias: vector(1, 2) }, 'missing keys "weight", "running_mean", "running_var"'],
    ["has a key too many", { ...full, extra: vector(1) }, 'unexpected keys "extra"'],
    ["has two sizes", { ...full, bias: vector(1, 2, 3) }, '"bias" of shape [3] where the layer\'s is [2]'],
    ["has matrices", { ...full, weight: { shape: [2, 2], data: new Float32Array(4) } }, '"weight" of shape [2, 2]'],
    [
      "has no numbers",
      { ...full, running_mean: [0, 0] as never },
      'no tensor { shape, data } but [0, 0] at "running_mean"',
    ],
    [
      "is of no channels",
      { ...full, weight: { shape: [0], data: new Float32Array(0) } },
      "dict's number of channels but got 0",
    ],
  ])("is not loaded from a dict that %s: all or nothing", (_, dict, words) => {
    const layer = new LazyBatchNorm1d();
    const nothing = keptBy(layer);
    expectThrows(() => layer.loadStateDict(dict), { code: "invalid-argument", words });
    expect(keptBy(layer)).toEqual(nothing);
    expect(layer.name).toBe("LazyBatchNorm1d");
  });

  test("is loaded in part with strict: false", () => {
    const layer = new LazyBatchNorm1d();
    layer.loadStateDict({ other: vector(1) }, { strict: false });
    expect(layer.numFeatures).toBe(0);
    layer.loadStateDict({ bias: vector(5, 6) }, { strict: false });
    expect(layer).toMatchObject({ numFeatures: 2, weight: Float32Array.of(1, 1), bias: Float32Array.of(5, 6) });
  });

  test("is empty without parameters and tracking, and loads from an empty dict", () => {
    const layer = new LazyInstanceNorm1d(BARE);
    layer.loadStateDict({});
    expect(layer.name).toBe("LazyInstanceNorm1d");
  });

  test("has the layer's dtype whatever the dict's", () => {
    const layer = new LazyBatchNorm1d({ dtype: "float64" });
    layer.loadStateDict({ ...full, weight: vector(0.1, 0.2) });
    expect(layer.weight).toEqual(Float64Array.of(Math.fround(0.1), Math.fround(0.2)));
    expect(layer.runningVar).toBeInstanceOf(Float64Array);
  });
});
