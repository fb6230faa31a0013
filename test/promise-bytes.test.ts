// uint8 cells: within 2 ulp of max(1, |y|) as others, although they are never float64. What is hard there is few values: images that are all but
// constant, black and white, or dark with some stars; and lengths about the vectors of 16 and the segments.
import { afterAll, describe, expect, test } from "vitest";
import { BatchNorm1d, GroupNorm, LayerNorm, NormPool, RMSNorm } from "../src/index.js";
import { expectWithin } from "./accuracy-bounds.js";
import { batchNorm, groupNorm, layerNorm, rmsNorm } from "./reference.js";
import { spacing } from "./rounding.js";
import { seeded } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

const KINDS: readonly (readonly [name: string, (random: () => number, i: number) => number])[] = [
  ["noise", (random) => random() * 256],
  ["constant but for a cell", (_, i) => (i === 3 ? 78 : 77)],
  ["black and white", (random) => (random() < 0.3 ? 255 : 0)],
  ["dark with stars", (random) => (random() < 0.01 ? 255 : random() * 2)],
  ["a ramp", (_, i) => i / 7],
  ["white", () => 255],
];
const LENGTHS = [1, 2, 15, 16, 17, 255, 256, 1000, 16_383, 16_384, 16_385, 40_000];
const ROWS = 3;

const withinTwo = (expected: number) => 2 * spacing("float32", Math.max(1, Math.abs(expected)));

describe.each(KINDS)("%s", (_, cellOf) => {
  const rowsOf = (length: number): Uint8Array => {
    const random = seeded(length);
    return Uint8Array.from({ length: ROWS * length }, (__, i) => cellOf(random, i % length));
  };

  test.each(LENGTHS)("rows of %i are within 2 ulp of float64", async (length) => {
    const data = rowsOf(length);
    using x = pool.from(data, [ROWS, length]);
    using y = await pool.forward(new LayerNorm(length, { elementwiseAffine: false }), x);
    expectWithin("LayerNorm", y.data, layerNorm(data, [length]).y, withinTwo);
    using z = await pool.forward(new RMSNorm(length, { elementwiseAffine: false, eps: 1e-5 }), x);
    expectWithin("RMSNorm", z.data, rmsNorm(data, [length], { eps: 1e-5 }).y, withinTwo);
  });

  test.each([16, 1000, 20_000])("rows of %i with weights are within 3 ulp", async (length) => {
    const data = rowsOf(length),
      random = seeded(1);
    const weight = Float32Array.from({ length }, () => random() * 4 - 2);
    const bias = Float32Array.from({ length }, () => random() * 4 - 2);
    const layer = new LayerNorm(length);
    layer.weight = weight;
    layer.bias = bias;
    using x = pool.from(data, [ROWS, length]);
    using y = await pool.forward(layer, x);
    const { y: xhat } = layerNorm(data, [length]);
    expectWithin("LayerNorm", y.data, layerNorm(data, [length], { weight, bias }).y, (__, i) => {
      const [w, b] = [weight[i % length] as number, bias[i % length] as number];
      return 3 * spacing("float32", Math.abs(w) * Math.max(1, Math.abs(xhat[i] as number)) + Math.abs(b));
    });
    const groups = new GroupNorm(1, 4);
    groups.weight = weight.slice(0, 4);
    groups.bias = bias.slice(0, 4);
    using planes = pool.from(data, [ROWS, 4, length / 4]);
    using z = await pool.forward(groups, planes);
    const expected = groupNorm(data, [ROWS, 4, length / 4], 1, { weight: groups.weight, bias: groups.bias }).y;
    expectWithin("GroupNorm", z.data, expected, (__, i) => {
      const entry = Math.floor((i % length) / (length / 4));
      const [w, b] = [weight[entry] as number, bias[entry] as number];
      return 3 * spacing("float32", Math.abs(w) * Math.max(1, Math.abs(xhat[i] as number)) + Math.abs(b));
    });
  });
});

test("running means from near to so far that a difference from them is no whole number of few digits", async () => {
  const layer = new BatchNorm1d(6, { affine: false }).eval();
  layer.runningMean = Float32Array.of(0, -3.25, 127.4999, 4095.75, 4096.5, -1e6);
  layer.runningVar = Float32Array.of(1, 1e-4, 3000, 50, 50, 1e4);
  const random = seeded(6);
  const data = Uint8Array.from({ length: 2 * 6 * 300 }, () => random() * 256);
  using x = pool.from(data, [2, 6, 300]);
  using y = await pool.forward(layer, x);
  const expected = Float64Array.from(data, (cell, i) => {
    const c = Math.floor(i / 300) % 6;
    return (cell - (layer.runningMean?.[c] as number)) / Math.sqrt((layer.runningVar?.[c] as number) + layer.eps);
  });
  expectWithin("BatchNorm", y.data, expected, withinTwo);
});

test("a constant set with an eps of 0 is NaN, beside others that are not", async () => {
  const data = new Uint8Array(3 * 100).fill(7);
  data.fill(9, 110, 120);
  using x = pool.from(data, [3, 100]);
  using y = await pool.forward(new LayerNorm(100, { eps: 0, elementwiseAffine: false }), x);
  const cells = Array.from(y.data, Number.isNaN);
  expect(cells).toEqual(Array.from({ length: 300 }, (_, i) => i < 100 || i >= 200));
});

describe("channels last", () => {
  // About a vector, the rows that are taken at once, those whose tables are made for many, and the columns that there is room for.
  test.each([1, 2, 3, 4, 7, 8, 63, 64, 511, 512, 513, 1030])("%i channels are within 2 ulp", async (channels) => {
    const random = seeded(channels);
    const rows = 300;
    // Columns of noise, black and white, nearly constant.
    const data = Uint8Array.from({ length: 2 * rows * channels }, (_, i) => {
      const kind = (i % channels) % 3;
      if (kind === 0) return random() * 256;
      return kind === 1 ? (random() < 0.2 ? 255 : 0) : 77 + (random() < 0.01 ? 1 : 0);
    });
    using x = pool.from(data, [2, rows, channels]);
    using y = await pool.forward(new BatchNorm1d(channels, { affine: false }), x, { channelAxis: -1 });
    expectWithin("y", y.data, batchNorm(data, [2, rows, channels], { channelAxis: -1 }).y, withinTwo);
  });

  test("a column beyond float32, or without a deviation, leaves the others' bits alone", async () => {
    const [rows, channels] = [50, 5];
    const layer = new BatchNorm1d(channels, { affine: false, eps: 0 }).eval();
    layer.runningMean = Float32Array.of(100, -20, 3.5, 127, 9);
    layer.runningVar = Float32Array.of(1, 1e3, 7, 0.1, 2e4);
    const random = seeded(9);
    const data = Uint8Array.from({ length: rows * channels }, () => random() * 256);
    data[2 * channels + 2] = 0;
    using x = pool.from(data, [1, rows, channels]);
    using alone = await pool.forward(layer, x, { channelAxis: -1 });
    layer.runningMean[1] = 1e7;
    layer.runningVar[2] = 0;
    layer.runningMean[2] = 0;
    using beside = await pool.forward(layer, x, { channelAxis: -1 });
    for (let i = 0; i < rows * channels; i++) {
      const [channel, cell] = [i % channels, data[i] as number];
      const found = beside.data[i] as number;
      if (channel === 1) expect(found).toBe(Math.fround((cell - 1e7) / Math.sqrt(Math.fround(1e3))));
      else if (channel === 2) expect(found).toBe(cell === 0 ? Number.NaN : Number.POSITIVE_INFINITY);
      else expect(found).toBe(alone.data[i]);
    }
  });
});
