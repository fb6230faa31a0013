// Tensors without cells, and sets of a single one: forward, backward, moments and state of every layer.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  type Dtype,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  type Layer,
  LayerNorm,
  LocalResponseNorm,
  NormPool,
  RMSNorm,
  type SetMoments,
  SyncBatchNorm,
} from "../src/index.js";
import { keptBy } from "./refusal.js";
import { normal } from "./support.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

type Parameters = "float32" | "float64";
interface Case {
  readonly what: string;
  make(dtype: Parameters): Layer & { weight?: ArrayLike<number> | null; bias?: ArrayLike<number> | null };
  readonly shape: readonly number[];
  readonly channelAxis?: number;
}

const TRACKED = { affine: true, trackRunningStats: true };
const CASES: readonly Case[] = [
  { what: "LayerNorm over no rows", make: (dtype) => new LayerNorm(3, { dtype }), shape: [0, 3] },
  { what: "LayerNorm over no elements", make: (dtype) => new LayerNorm(0, { dtype }), shape: [4, 0] },
  { what: "LayerNorm over neither", make: (dtype) => new LayerNorm([2, 0], { dtype }), shape: [0, 2, 0] },
  { what: "LayerNorm without bias", make: (dtype) => new LayerNorm(3, { dtype, bias: false }), shape: [2, 0, 3] },
  { what: "RMSNorm over no rows", make: (dtype) => new RMSNorm(3, { dtype }), shape: [0, 3] },
  { what: "RMSNorm over no elements", make: (dtype) => new RMSNorm(0, { dtype }), shape: [4, 0] },
  { what: "GroupNorm of no samples", make: (dtype) => new GroupNorm(2, 4, { dtype }), shape: [0, 4, 5] },
  { what: "GroupNorm of no space", make: (dtype) => new GroupNorm(2, 4, { dtype }), shape: [3, 4, 0] },
  { what: "GroupNorm of no channels", make: () => new GroupNorm(2, 4, { affine: false }), shape: [3, 0, 5] },
  {
    what: "GroupNorm, channels last",
    make: (dtype) => new GroupNorm(2, 4, { dtype }),
    shape: [0, 5, 4],
    channelAxis: -1,
  },
  {
    what: "InstanceNorm1d of no samples",
    make: (dtype) => new InstanceNorm1d(3, { ...TRACKED, dtype }),
    shape: [0, 3, 5],
  },
  {
    what: "InstanceNorm1d of no space",
    make: (dtype) => new InstanceNorm1d(3, { ...TRACKED, dtype }),
    shape: [2, 3, 0],
  },
  { what: "InstanceNorm2d of no samples", make: () => new InstanceNorm2d(3), shape: [0, 3, 5, 1] },
  {
    what: "InstanceNorm3d, unbatched",
    make: (dtype) => new InstanceNorm3d(3, { ...TRACKED, dtype }),
    shape: [3, 5, 0, 1],
  },
  {
    what: "InstanceNorm1d in evaluation",
    make: (dtype) => new InstanceNorm1d(3, { ...TRACKED, dtype }).eval(),
    shape: [0, 3, 5],
  },
  { what: "BatchNorm1d of no samples", make: (dtype) => new BatchNorm1d(3, { dtype }), shape: [0, 3] },
  { what: "BatchNorm1d of no space", make: (dtype) => new BatchNorm1d(3, { dtype }), shape: [4, 3, 0] },
  {
    what: "BatchNorm2d, momentum null",
    make: (dtype) => new BatchNorm2d(3, { dtype, momentum: null }),
    shape: [0, 3, 2, 2],
  },
  { what: "BatchNorm3d in evaluation", make: (dtype) => new BatchNorm3d(3, { dtype }).eval(), shape: [0, 3, 2, 2, 2] },
  { what: "SyncBatchNorm", make: (dtype) => new SyncBatchNorm(3, { dtype }), shape: [0, 3] },
  { what: "LocalResponseNorm of no samples", make: () => new LocalResponseNorm(2), shape: [0, 3, 4] },
  { what: "LocalResponseNorm of no channels", make: () => new LocalResponseNorm(2), shape: [2, 0, 4] },
  { what: "LocalResponseNorm of no space", make: () => new LocalResponseNorm(2), shape: [2, 3, 0] },
];

/** BatchNorm in training counts a batch, whatever is in it. Nothing else changes. */
const counts = (layer: Layer) => layer.name.includes("BatchNorm") && layer.training;

describe.each(CASES)("$what: $shape", ({ make, shape, channelAxis }) => {
  test.each(["float32", "float64", "float16", "bfloat16", "uint8"] as const)("%s: empty output", async (dtype) => {
    const layer = make(dtype === "float64" ? "float64" : "float32");
    const before = keptBy(layer);
    const x = pool.tensor<Dtype>(dtype, shape);
    const told: SetMoments[] = [];
    const y = await pool.forward(layer, x, { channelAxis, onMoments: (moments) => told.push(moments) });
    expect([y.shape, y.dtype, y.data.length]).toEqual([shape, dtype === "uint8" ? "float32" : dtype, 0]);
    for (const { count, mean, m2 } of told)
      expect([count, mean.every((m) => m === 0), m2.every((m) => m === 0)]).toEqual([0, true, true]);
    expect(keptBy(layer)).toEqual(counts(layer) ? { ...before, numBatchesTracked: 1 } : before);
    if (dtype !== "uint8") expect(await pool.forward(layer, x, { channelAxis, out: x as never })).toBe(x);
  });

  test.each(["float32", "float64", "float16"] as const)("%s: gradients of zero", async (dtype) => {
    const parameters = dtype === "float64" ? "float64" : "float32";
    const layer = make(parameters);
    const before = keptBy(layer);
    const [input, gradOutput] = [pool.tensor<typeof dtype>(dtype, shape), pool.tensor<typeof dtype>(dtype, shape)];
    const { gradInput, gradWeight, gradBias } = await pool.backward(layer, { input, gradOutput, channelAxis });
    expect([gradInput.shape, gradInput.dtype]).toEqual([shape, dtype]);
    const Class = parameters === "float64" ? Float64Array : Float32Array;
    expect(gradWeight).toEqual(layer.weight ? new Class(layer.weight.length) : null);
    expect(gradBias).toEqual(layer.bias ? new Class(layer.bias.length) : null);
    expect(keptBy(layer)).toEqual(before);
  });
});

describe("the moments of no cells", () => {
  test("are zeros, one for each set", async () => {
    const none = (sets: number) => ({ count: 0, mean: new Float64Array(sets), m2: new Float64Array(sets) });
    const of = (layer: Layer, ...shape: number[]) => pool.momentsOf(layer, pool.tensor("float32", shape));
    expect(await of(new LayerNorm(3), 0, 3)).toEqual(none(0));
    expect(await of(new LayerNorm(0), 4, 0)).toEqual(none(4));
    expect(await of(new RMSNorm(0), 4, 0)).toEqual(none(4));
    expect(await of(new GroupNorm(2, 4), 3, 4, 0)).toEqual(none(6));
    expect(await of(new BatchNorm1d(3), 0, 3)).toEqual(none(3));
    expect(await pool.moments(pool.tensor("float64", [2, 0]))).toEqual({ count: 0, mean: 0, m2: 0 });
  });

  test("are what a batch may be saved with, and given back to backward", async () => {
    for (const [layer, ...shape] of [
      [new LayerNorm(3), 0, 3],
      [new GroupNorm(2, 4), 3, 4, 0],
      [new BatchNorm1d(3), 0, 3],
      [new InstanceNorm1d(3), 0, 3, 5],
    ] as const) {
      const input = pool.tensor("float32", shape);
      let moments: SetMoments | undefined;
      await pool.forward(layer, input, {
        onMoments: (saved) => {
          moments = saved;
        },
      });
      const { gradInput } = await pool.backward(layer, { input, gradOutput: input, moments });
      expect(gradInput.shape).toEqual(shape);
    }
  });
});

describe("a set of a single cell", () => {
  // PyTorch's LayerNorm has a weight gradient of 7.2 at 1e6 here: what is left of a float32 mean.
  test.each([1, 1e6, -1e30, 3e-40])(
    "is its own mean: LayerNorm(1) of %s is the bias, whose gradient alone is not 0",
    async (value) => {
      const layer = new LayerNorm(1);
      layer.weight?.fill(5);
      layer.bias?.fill(7);
      const input = pool.from(Float32Array.of(value, -value, value / 3), [3, 1]);
      const gradOutput = pool.from(Float32Array.of(1, 2, 4), [3, 1]);
      expect((await pool.forward(layer, input)).data).toEqual(Float32Array.of(7, 7, 7));
      const { gradInput, gradWeight, gradBias } = await pool.backward(layer, { input, gradOutput });
      expect(Array.from(gradInput.data, Math.abs)).toEqual([0, 0, 0]);
      expect(gradWeight).toEqual(Float32Array.of(0));
      expect(gradBias).toEqual(Float32Array.of(7));
    },
  );

  test("of GroupNorm is the same, where others have more", async () => {
    const layer = new GroupNorm(2, 2);
    const input = pool.from(normal(8, 1, 1e6), [4, 2]);
    const gradOutput = pool.from(normal(8, 2), [4, 2]);
    expect((await pool.forward(layer, input)).data).toEqual(new Float32Array(8));
    const { gradInput, gradWeight } = await pool.backward(layer, { input, gradOutput });
    expect(Array.from(gradInput.data, Math.abs)).toEqual(new Array(8).fill(0));
    expect(gradWeight).toEqual(new Float32Array(2));
  });

  test("of RMSNorm is its sign, up to eps", async () => {
    const y = await pool.forward(new RMSNorm(1), pool.from(Float32Array.of(1e6, -1e-3, 0), [3, 1]));
    expect(y.data[0]).toBe(1);
    expect(y.data[1]).toBeCloseTo(-1e-3 / Math.sqrt(1e-6 + 2 ** -23), 6);
    expect(y.data[2]).toBe(0);
  });
});
