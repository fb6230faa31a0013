// Every layer against the float64 oracle. The bound: applying is float64 with one rounding, 0.5 ulp, or float32 with 1.6 at worst, where means are near 0. A mean off by e deviations moves
// each cell by e; a deviation off by a share of r moves cell y by r * y. In sums by blocks a cell goes through 6 roundings of 2^-24 at
// most (its deviation, 5 sums), its square through 8, so e <= 6 and r <= 4, in halves of an ulp, if all roundings of all cells went
// the same way; of cells that differ they go either way, and a fifth of that is much. So 2 ulp, 3 with weight and bias.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  type Layer,
  LayerNorm,
  NormPool,
  RMSNorm,
} from "../src/index.js";
import type { Parameter } from "../src/tensor/parameter.js";
import { expectWithin } from "./accuracy-bounds.js";
import {
  batchNorm,
  groupNorm,
  instanceNorm,
  layerNorm,
  type Reference,
  type ReferenceOptions,
  rmsNorm,
} from "./reference.js";
import { spacing } from "./rounding.js";
import { expectWithinUlps, normal } from "./support.js";

const MEANS = [0, 1, 1e2, 1e4, 1e6];
const pool = new NormPool({ threads: 3 });
afterAll(() => pool.close());

type Affine = { weight: Parameter | null; bias: Parameter | null };
type Layered = Layer & Affine;

interface Case {
  readonly name: string;
  readonly shape: readonly number[];
  make(affine: boolean): Layered;
  reference(x: Float32Array, options: ReferenceOptions): Reference;
}

function layerNormCase(outer: readonly number[], normalized: readonly number[]): Case {
  return {
    name: "LayerNorm",
    shape: [...outer, ...normalized],
    make: (affine) => new LayerNorm([...normalized], { elementwiseAffine: affine }),
    reference: (x, options) => layerNorm(x, normalized, options),
  };
}

function groupNormCase(groups: number, shape: readonly number[]): Case {
  return {
    name: `GroupNorm(${groups})`,
    shape,
    make: (affine) => new GroupNorm(groups, shape[1] as number, { affine }),
    reference: (x, options) => groupNorm(x, shape, groups, options),
  };
}

type ChannelLayer = new (channels: number, options: { affine: boolean }) => Layered;

function instanceNormCase(Class: ChannelLayer, shape: readonly number[]): Case {
  return {
    name: Class.name,
    shape,
    make: (affine) => new Class(shape[1] as number, { affine }),
    reference: (x, options) => instanceNorm(x, shape, options),
  };
}

function batchNormCase(Class: ChannelLayer, shape: readonly number[]): Case {
  return {
    name: Class.name,
    shape,
    make: (affine) => new Class(shape[1] as number, { affine }),
    reference: (x, options) => batchNorm(x, shape, options),
  };
}

// Lengths about a lane (4), a vector loop (16), a block (64), a page, a segment (16384), one worker's largest set (262144).
const LENGTHS = [2, 3, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1023, 1024, 16383, 16384, 16385, 32769];

const CASES: Case[] = [
  layerNormCase([5], [1]),
  ...LENGTHS.map((length) => layerNormCase([length < 2000 ? 37 : 9], [length])),
  layerNormCase([2, 3], [7, 11]),
  layerNormCase([2], [262_144]),
  layerNormCase([2], [262_145]),
  layerNormCase([1], [5_000_000]),
  ...LENGTHS.map((length) => instanceNormCase(InstanceNorm1d, [3, 5, length])),
  instanceNormCase(InstanceNorm2d, [2, 3, 17, 33]),
  instanceNormCase(InstanceNorm3d, [2, 3, 5, 7, 9]),
  instanceNormCase(InstanceNorm1d, [1, 2, 300_001]),
  ...[1, ...LENGTHS].map((space) => groupNormCase(3, [2, 9, space])),
  groupNormCase(2, [3, 6]),
  groupNormCase(1, [1, 4, 75_000]),
  groupNormCase(1, [1, 100_003, 3]),
  groupNormCase(2, [2, 600_002]),
  groupNormCase(1, [1, 1, 5_000_000]),
  ...[1, ...LENGTHS].map((space) => batchNormCase(BatchNorm1d, [7, 5, space])),
  batchNormCase(BatchNorm1d, [3, 1]),
  batchNormCase(BatchNorm1d, [1025, 1]),
  batchNormCase(BatchNorm1d, [513, 515]),
  batchNormCase(BatchNorm1d, [2000, 3, 15]),
  batchNormCase(BatchNorm1d, [2000, 3, 49]),
  batchNormCase(BatchNorm2d, [40, 3, 33, 31]),
  batchNormCase(BatchNorm3d, [3, 2, 3, 5, 7]),
  batchNormCase(BatchNorm1d, [5_000_000, 1]),
  batchNormCase(BatchNorm1d, [1, 1, 5_000_000]),
];

describe.each(MEANS)("RMSNorm with mean %s and deviation 1", (mean) => {
  const cases = [1, ...LENGTHS].map((length) => [length < 2000 ? 37 : 9, length] as const);
  test.each([...cases, [2, 262_145], [1, 5_000_000]] as const)("of [%i, %i] agrees with float64", async (rows, d) => {
    const data = normal(rows * d, d + mean, mean);
    using x = pool.from(data, [rows, d]);
    using plain = await pool.forward(new RMSNorm(d, { elementwiseAffine: false }), x);
    expectWithinUlps(plain.data, rmsNorm(data, [d]).y, 2);
    const layer = new RMSNorm(d, { eps: 1e-3 });
    layer.weight?.set(normal(d, 7, 1, 0.5));
    using y = await pool.forward(layer, x);
    expectWithinUlps(y.data, rmsNorm(data, [d], { eps: 1e-3, weight: layer.weight }).y, 3);
  });
});

test("RMSNorm of huge and tiny cells is finite, and scales nothing away", async () => {
  for (const scale of [1e30, 1e-30]) {
    const data = normal(5000, 3, 1).map((x) => x * scale);
    using y = await pool.forward(new RMSNorm(1000, { eps: 0 }), pool.from(data, [5, 1000]));
    expectWithinUlps(y.data, rmsNorm(data, [1000], { eps: 0 }).y, 2);
  }
});

describe("data whose roundings are alike or whose squares are few", () => {
  const random = (length: number, seed: number, value: (z: number, i: number) => number) =>
    normal(length, seed).map(value);
  const DATA: [string, (length: number) => Float32Array][] = [
    ["periodic", (n) => Float32Array.from({ length: n }, (_, i) => (i % 7) * 0.1)],
    ["two-valued", (n) => random(n, 1, (z) => (z > 1 ? 1 : 0))],
    ["2 % nonzero", (n) => random(n, 2, (z) => (z > 2 ? z : 0))],
    ["rectified", (n) => random(n, 3, (z) => Math.max(0, z - 2))],
    ["a ramp", (n) => Float32Array.from({ length: n }, (_, i) => i * 0.37)],
    ["piecewise constant", (n) => Float32Array.from({ length: n }, (_, i) => Math.sin(Math.floor(i / 97)))],
    ["heavy-tailed", (n) => random(n, 4, (z) => Math.exp(3 * z))],
    ["cubed", (n) => random(n, 5, (z) => z ** 3)],
    ["one spike", (n) => Float32Array.from({ length: n }, (_, i) => (i % 1023 === 5 ? 2.6848 : -1.48867702))],
    ["another block first", (n) => random(n, 6, (z, i) => (i % 1024 < 64 ? z * 0.01 : z + 3))],
  ];
  test.each(
    DATA.flatMap(([name, make]) => [63, 64, 129, 256, 1024, 1025, 20_000].map((d) => [name, d, make] as const)),
  )("%s, rows of %i", async (_, d, make) => {
    const data = make(d * 30);
    using x = pool.from(data, [30, d]);
    for (const eps of [1e-5, 1e-12]) {
      using y = await pool.forward(new LayerNorm(d, { eps, elementwiseAffine: false }), x);
      expectWithinUlps(y.data, layerNorm(data, [d], { eps }).y, 2);
    }
  });
});

describe.each(MEANS)("with mean %s and deviation 1", (mean) => {
  test.each(CASES.map((c) => [`${c.name} of [${c.shape}]`, c] as const))("%s agrees with float64", async (_, c) => {
    const cells = c.shape.reduce((a, b) => a * b, 1);
    const data = normal(cells, cells + mean, mean);
    using x = pool.from(data, c.shape);
    using plain = await pool.forward(c.make(false), x);
    expectWithinUlps(plain.data, c.reference(data, {}).y, 2);

    const layer = c.make(true);
    const { weight, bias } = layer;
    if (weight === null || bias === null) return expect.fail("a layer made with affine has no weight");
    weight.set(normal(weight.length, 7, 1, 0.5));
    bias.set(normal(bias.length, 8));
    using y = await pool.forward(layer, x);
    // The ulp is that of |w| * max(1, |xhat|) + |b|: a parameter for each cell is what a weight of 0 leaves of a bias.
    const each = (entries: Parameter) => c.reference(data, { weight: weight.map(() => 0), bias: entries }).y;
    const [xhat, factors, shifts] = [c.reference(data, {}).y, each(weight), each(bias)];
    expectWithin("y", y.data, c.reference(data, { weight, bias }).y, (_, i) => {
      const factor = Math.abs(factors[i] as number) * Math.max(1, Math.abs(xhat[i] as number));
      return 3 * spacing("float32", factor + Math.abs(shifts[i] as number));
    });
  });
});
