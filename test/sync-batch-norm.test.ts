// SyncBatchNorm: a batch that is cut into parts, over one pool or two, is normalised as a whole.
//
// The bound: parts and whole have the same cells, merged in another order. Of float32 cells the sums of short blocks are float32, and
// blocks end elsewhere; their roundings go either way and are a small part of an ulp of the mean of hundreds (accuracy.test.ts).
// Everything after is float64, rounded once. So outputs differ only where that rounding falls to the other side: by 1 ulp.
import { afterAll, describe, expect, test } from "vitest";
import { addGradientSums, BatchNorm1d, mergeMoments, NormPool, SyncBatchNorm } from "../src/index.js";
import { type Cut, inParts, size, stateOf, whole } from "./batch-in-parts.js";
import { expectSameBits, expectWithinUlps, normal } from "./support.js";

const pools = [new NormPool({ threads: 2 }), new NormPool({ threads: 1 })] as const;
afterAll(() => Promise.all(pools.map((pool) => pool.close())));
const [pool] = pools;

const CUTS: readonly Cut[] = [
  { what: "two parts", shape: [12, 5, 7], samples: [5, 7], channels: 5 },
  { what: "four uneven parts", shape: [19, 3, 4, 5], samples: [1, 2, 13, 3], channels: 3 },
  { what: "an empty part", shape: [9, 5, 7], samples: [4, 0, 5], channels: 5 },
  { what: "empty parts at the ends", shape: [9, 5], samples: [0, 9, 0], channels: 5 },
  { what: "parts of one cell a channel", shape: [7, 6], samples: [1, 5, 1], channels: 6 },
  { what: "channels last", shape: [11, 4, 3, 6], samples: [2, 9], channels: 6, channelAxis: -1 },
  { what: "parts on the workers and not", shape: [40, 8, 600], samples: [30, 1, 9], channels: 8 },
];

/** Sums of the parts' gradients are the whole's, up to the roundings of each part's own: half a step of 2^-23 of it each. */
function expectSummed(parts: readonly ArrayLike<number>[], expected: ArrayLike<number> | null, step: number): void {
  for (let c = 0; c < (expected?.length ?? 0); c++) {
    const values = [...parts.map((part) => part[c] as number), expected?.[c] as number];
    const sum = values.slice(0, -1).reduce((a, b) => a + b, 0);
    const magnitude = values.reduce((total, value) => total + Math.max(1, Math.abs(value)), 0);
    const error = Math.abs(sum - (values.at(-1) as number));
    if (!(error <= step * magnitude)) expect.fail(`channel ${c}: got ${sum}, expected ${values.at(-1)}`);
  }
}

describe.each([
  ["one pool", [pool]],
  ["two pools", pools],
] as const)("on %s", (_, on) => {
  test.each(CUTS)("$what of $shape: outputs, gradients and running statistics are the whole batch's", async (cut) => {
    const [data, gradient] = [normal(size(cut.shape), 1, 5, 2), normal(size(cut.shape), 2)];
    const parts = await inParts(data, gradient, cut, "float32", on);
    const expected = await whole(pool, data, gradient, cut, "float32");
    expectWithinUlps(parts.y, expected.y, 1);
    expectWithinUlps(parts.gradInput, expected.gradInput, 1);
    expectSummed(parts.gradWeights, expected.gradWeight, 2 ** -23);
    expectSummed(parts.gradBiases, expected.gradBias, 2 ** -23);
    for (const layer of parts.layers) {
      expectWithinUlps(layer.runningMean ?? [], expected.layer.runningMean ?? [], 1);
      expectWithinUlps(layer.runningVar ?? [], expected.layer.runningVar ?? [], 1);
      expect(layer.numBatchesTracked).toBe(5);
      expect(layer.stateDict()).toEqual(parts.layers[0]?.stateDict());
    }
  });
});

test("float64 differs from the whole batch by roundings of float64", async () => {
  const cut = CUTS[1] as Cut;
  const data = Float64Array.from(normal(size(cut.shape), 1, 5, 2));
  const gradient = Float64Array.from(normal(size(cut.shape), 2));
  const parts = await inParts(data, gradient, cut, "float64", pools);
  const expected = await whole(pool, data, gradient, cut, "float64");
  // A mean of 5 has steps of 2^-50: each of three merges rounds it by half of one, a quarter in deviations. Sums of 380 cells in another
  // order, and outputs of up to 4, add as much again: 2^-49, and as much in reserve.
  const bound = 2 ** -48;
  for (const key of ["y", "gradInput"] as const) {
    expected[key].forEach((value, i) => {
      expect(Math.abs((parts[key][i] as number) - value)).toBeLessThanOrEqual(bound);
    });
  }
  expectSummed(parts.gradWeights, expected.gradWeight, bound);
  for (const { runningVar } of parts.layers) expect(runningVar).toBeInstanceOf(Float64Array);
});

test("float16 is rounded once from the same: to the same number or its neighbour", async () => {
  const cut = CUTS[5] as Cut;
  // Signs, exponents from 1/8 to 4, and fractions: float16 numbers by their bits.
  const bits = (seed: number) =>
    Uint16Array.from(
      normal(size(cut.shape), seed, 0, 2000),
      (x) => (x < 0 ? 0x8000 : 0) | (0x3000 + (Math.abs(x) % 0x1800)),
    );
  const parts = await inParts(bits(1), bits(2), cut, "float16", pools);
  const expected = await whole(pool, bits(1), bits(2), cut, "float16");
  // Bits without the sign are in the order of the numbers.
  const ordered = (half: number) => (half & 0x8000 ? -(half & 0x7fff) : half);
  for (const key of ["y", "gradInput"] as const) {
    expected[key].forEach((value, i) => {
      expect(Math.abs(ordered(parts[key][i] as number) - ordered(value))).toBeLessThanOrEqual(1);
    });
  }
  expect(parts.gradWeights[0]).toBeInstanceOf(Float32Array);
});

describe("is BatchNorm to the bit", () => {
  const shape = [6, 5, 7];
  const x = pool.from(normal(210, 3, 4, 2), shape);
  const g = pool.from(normal(210, 4), shape);

  test.each<[string, boolean, object]>([
    ["in training without moments", true, {}],
    ["in evaluation", false, {}],
    ["in evaluation without running statistics", false, { trackRunningStats: false }],
    ["without affine", true, { affine: false }],
    ["with momentum null", true, { momentum: null }],
  ])("%s", async (_, training, options) => {
    const [sync, batch] = [new SyncBatchNorm(5, options), new BatchNorm1d(5, options)];
    for (const layer of [sync, batch]) {
      layer.loadStateDict(stateOf(5), { strict: false });
      layer.train(training);
    }
    expectSameBits((await pool.forward(sync, x)).data, (await pool.forward(batch, x)).data);
    expect(sync.stateDict()).toEqual(batch.stateDict());
    const [ours, theirs] = [
      await pool.backward(sync, { input: x, gradOutput: g }),
      await pool.backward(batch, { input: x, gradOutput: g }),
    ];
    expectSameBits(ours.gradInput.data, theirs.gradInput.data);
    expect([ours.gradWeight, ours.gradBias]).toEqual([theirs.gradWeight, theirs.gradBias]);
  });

  test("with the moments and sums of itself alone", async () => {
    const [sync, batch] = [new SyncBatchNorm(5), new BatchNorm1d(5)];
    const moments = mergeMoments([await pool.momentsOf(sync, x)]);
    const y = await pool.forward(sync, x, { moments });
    const sums = addGradientSums([await pool.gradientSums(sync, { input: x, gradOutput: g, moments })]);
    const { gradInput } = await pool.backward(sync, { input: x, gradOutput: g, moments, sums });
    expectSameBits(y.data, (await pool.forward(batch, x)).data);
    expectSameBits(gradInput.data, (await pool.backward(batch, { input: x, gradOutput: g })).gradInput.data);
    expect(sync.stateDict()).toEqual(batch.stateDict());
  });
});

test("a batch that is empty in all its parts counts, and changes nothing else", async () => {
  const layer = new SyncBatchNorm(3);
  const x = pool.tensor("float32", [0, 3]);
  const moments = mergeMoments([await pool.momentsOf(layer, x), await pool.momentsOf(layer, x)]);
  expect(moments).toEqual({ count: 0, mean: new Float64Array(3), m2: new Float64Array(3) });
  expect((await pool.forward(layer, x, { moments })).shape).toEqual([0, 3]);
  expect(layer).toMatchObject({ numBatchesTracked: 1, runningVar: new Float32Array(3).fill(1) });
});

test("an empty part takes the whole batch's statistics and has gradients of zero", async () => {
  const [layer, rest] = [new SyncBatchNorm(2), new SyncBatchNorm(2)];
  const empty = pool.tensor("float32", [0, 2]);
  const full = pool.from(Float32Array.of(1, 2, 3, 6), [2, 2]);
  const moments = mergeMoments([await pool.momentsOf(layer, empty), await pool.momentsOf(rest, full)]);
  await pool.forward(layer, empty, { moments });
  expect(layer.runningMean).toEqual(Float32Array.of(0.2, 0.4));
  const gradients = { input: empty, gradOutput: empty, moments };
  const none = await pool.gradientSums(layer, gradients);
  expect(none).toEqual({ count: 0, sumDy: new Float64Array(2), sumDyXmu: new Float64Array(2) });
  const sums = addGradientSums([none, await pool.gradientSums(rest, { input: full, gradOutput: full, moments })]);
  const { gradInput, gradWeight, gradBias } = await pool.backward(layer, { ...gradients, sums });
  expect(gradInput.shape).toEqual([0, 2]);
  expect([gradWeight, gradBias]).toEqual([new Float32Array(2), new Float32Array(2)]);
});
