// The oracle itself: its gradients against differences of its own forward pass, and facts that can be checked by hand.
import { describe, expect, test } from "vitest";
import {
  batchNorm,
  CompensatedSums,
  groupNorm,
  instanceNorm,
  layerNorm,
  localResponseNorm,
  type ReferenceOptions,
  rmsNorm,
} from "./reference.js";
import {
  batchNormBackward,
  groupNormBackward,
  instanceNormBackward,
  layerNormBackward,
  localResponseNormBackward,
  type ReferenceGradients,
  rmsNormBackward,
} from "./reference-backward.js";
import { seeded } from "./support.js";

type Gradients = Pick<ReferenceGradients, "gradInput" | "scale"> & Partial<ReferenceGradients>;

interface Case {
  readonly name: string;
  readonly cells: number;
  readonly weights: number;
  forward(x: Float64Array, options: ReferenceOptions): { y: Float64Array };
  backward(x: Float64Array, g: Float64Array, options: ReferenceOptions): Gradients;
}

const cellsOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

function layerNormCase(shape: readonly number[], normalized: readonly number[]): Case {
  return {
    name: `LayerNorm over [${normalized}] of [${shape}]`,
    cells: cellsOf(shape),
    weights: cellsOf(normalized),
    forward: (x, options) => layerNorm(x, normalized, options),
    backward: (x, g, options) => layerNormBackward(x, g, normalized, options),
  };
}

function rmsNormCase(shape: readonly number[], normalized: readonly number[]): Case {
  return {
    name: `RMSNorm over [${normalized}] of [${shape}]`,
    cells: cellsOf(shape),
    weights: cellsOf(normalized),
    forward: (x, options) => rmsNorm(x, normalized, options),
    backward: (x, g, options) => rmsNormBackward(x, g, normalized, options),
  };
}

function groupNormCase(groups: number, shape: readonly number[], channelAxis = 1): Case {
  return {
    name: `GroupNorm(${groups}) of [${shape}] with channels at ${channelAxis}`,
    cells: cellsOf(shape),
    weights: shape.at(channelAxis) as number,
    forward: (x, options) => groupNorm(x, shape, groups, { ...options, channelAxis }),
    backward: (x, g, options) => groupNormBackward(x, g, shape, groups, { ...options, channelAxis }),
  };
}

function instanceNormCase(shape: readonly number[], channelAxis = 1): Case {
  return {
    name: `InstanceNorm of [${shape}] with channels at ${channelAxis}`,
    cells: cellsOf(shape),
    weights: shape.at(channelAxis) as number,
    forward: (x, options) => instanceNorm(x, shape, { ...options, channelAxis }),
    backward: (x, g, options) => instanceNormBackward(x, g, shape, { ...options, channelAxis }),
  };
}

function batchNormCase(shape: readonly number[], channelAxis = 1): Case {
  return {
    name: `BatchNorm of [${shape}] with channels at ${channelAxis}`,
    cells: cellsOf(shape),
    weights: shape.at(channelAxis) as number,
    forward: (x, options) => batchNorm(x, shape, { ...options, channelAxis }),
    backward: (x, g, options) => batchNormBackward(x, g, shape, { ...options, channelAxis }),
  };
}

function localResponseCase(size: number, shape: readonly number[], channelAxis = 1): Case {
  const options = { size, alpha: 1, k: 1.5, channelAxis };
  return {
    name: `LocalResponseNorm(${size}) of [${shape}] with channels at ${channelAxis}`,
    cells: cellsOf(shape),
    weights: 0,
    forward: (x) => localResponseNorm(x, shape, options),
    backward: (x, g) => localResponseNormBackward(x, g, shape, options),
  };
}

const CHANNEL_CASES = [
  instanceNormCase([2, 3, 5]),
  instanceNormCase([2, 5, 3], -1),
  instanceNormCase([2, 2, 3, 4], 2),
  batchNormCase([6, 4]),
  batchNormCase([3, 2, 5]),
  batchNormCase([3, 5, 2], -1),
  batchNormCase([4, 2, 3], 0),
];
const CASES = [
  layerNormCase([4, 7], [7]),
  layerNormCase([2, 2, 3], [2, 3]),
  layerNormCase([5, 1], [1]),
  rmsNormCase([4, 7], [7]),
  rmsNormCase([3, 2, 4], [2, 4]),
  rmsNormCase([5, 1], [1]),
  groupNormCase(2, [2, 6, 3]),
  groupNormCase(2, [2, 3, 6], -1),
  groupNormCase(3, [2, 2, 6, 2], 2),
  groupNormCase(2, [3, 8]),
  groupNormCase(1, [2, 4, 2, 2]),
  ...CHANNEL_CASES,
];
const LOCAL_RESPONSE_CASES = [
  ...[1, 2, 3, 4, 5, 9].map((size) => localResponseCase(size, [2, 6, 3])),
  localResponseCase(4, [2, 3, 6], -1),
  localResponseCase(3, [2, 2, 5, 2], 2),
];

/** `length` numbers in [low, low + 2), each a float32, so that a step of STEP either way is exact. */
function uniform(length: number, seed: number, low: number): Float64Array {
  const random = seeded(seed);
  return Float64Array.from({ length }, () => Math.fround(low + 2 * random()));
}

const STEP = 2 ** -16;

// What a central difference of L = sum(y * g) may be off by, with x in [-0.5, 1.5], |g| <= 1, |weight| <= 1.5 and |bias| <= 1: h^2 / 6
// of the third derivative somewhere between, and roundings.
// In a set of n cells, moving one by t deviations makes xhat (xhat + u t) * (1 + 2at + bt^2)^(-1/2) with b <= 1/n, a^2 <= b, and |u| <= 1
// for the moved cell, 1/n for the others. That root is Legendre's series: its k-th coefficient is b^(k/2) at most. With
// |xhat| <= sqrt(n) the third derivative of each xhat is at most 6 (1/n + |u|/n), so that of L at most 12 rstd^3 max|g weight|, and
// eps = 0.25 keeps rstd below 2: 144. For LocalResponseNorm with alpha <= size and k >= 1, |S'| <= S and |S''| <= 2S hold the third
// derivative of S^-0.75 below 12 and the second below 3, that of L so below 27 for the moved cell and 18 for each of at most five
// neighbours: 117. With given statistics, and for weight and bias, L is linear. All in all 24 h^2.
// A cell of y passes through no number above 2 * 2 * 1.5 + 1 = 7, and about ten roundings of half of Number.EPSILON.
const tolerance = (cells: number) => 24 * STEP ** 2 + (70 * cells * (Number.EPSILON / 2)) / STEP;

function loss(y: Float64Array, g: Float64Array): number {
  const sum = new CompensatedSums(1);
  for (let i = 0; i < y.length; i++) sum.add(0, (y[i] as number) * (g[i] as number));
  return sum.values()[0] as number;
}

/** The gradient of `of` at `at`, cell by cell. */
function differences(at: Float64Array, of: (moved: Float64Array) => number): Float64Array {
  return at.map((value, i) => (of(at.with(i, value + STEP)) - of(at.with(i, value - STEP))) / (2 * STEP));
}

function expectWithin(what: string, actual: Float64Array | undefined, expected: Float64Array, allowed: number): void {
  expect(actual?.length, what).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [actual?.[i] as number, expected[i] as number];
    if (!(Math.abs(a - b) <= allowed)) expect.fail(`${what}, cell ${i}: got ${a}, expected ${b} within ${allowed}`);
  }
}

function expectGradientsOf(c: Case, options: ReferenceOptions): void {
  const x = uniform(c.cells, 1, -0.5);
  const g = uniform(c.cells, 2, -1);
  const gradients = c.backward(x, g, options);
  const allowed = tolerance(c.cells);
  const byInput = differences(x, (moved) => loss(c.forward(moved, options).y, g));
  expectWithin("gradInput", gradients.gradInput, byInput, allowed);
  if (gradients.gradWeight) {
    const weight = Float64Array.from(options.weight ?? new Float64Array(c.weights).fill(1));
    const byWeight = differences(weight, (moved) => loss(c.forward(x, { ...options, weight: moved }).y, g));
    expectWithin("gradWeight", gradients.gradWeight, byWeight, allowed);
  }
  if (gradients.gradBias) {
    const bias = Float64Array.from(options.bias ?? new Float64Array(c.weights));
    const byBias = differences(bias, (moved) => loss(c.forward(x, { ...options, bias: moved }).y, g));
    expectWithin("gradBias", gradients.gradBias, byBias, allowed);
  }
}

/** Weights of both signs, between 0.5 and 1.5 in size, and biases. */
function affine(length: number): { weight: Float64Array; bias: Float64Array } {
  const weight = uniform(length, 3, -1).map((value) => (value < 0 ? value / 2 - 0.5 : value / 2 + 0.5));
  return { weight, bias: uniform(length, 4, -1) };
}

const named = (cases: readonly Case[]) => cases.map((c) => [c.name, c] as const);

describe("gradients agree with central differences of the forward pass", () => {
  test.each(named(CASES))("%s", (_, c) => {
    expectGradientsOf(c, { eps: 0.25 });
  });

  test.each(named(CASES))("%s, with weights", (_, c) => {
    expectGradientsOf(c, { eps: 0.25, ...affine(c.weights) });
  });

  test.each(named(CHANNEL_CASES))("%s, with given statistics", (_, c) => {
    const given = { mean: uniform(c.weights, 5, -0.5), variance: uniform(c.weights, 6, 0) };
    expectGradientsOf(c, { eps: 0.25, given });
    expectGradientsOf(c, { eps: 0.25, given, ...affine(c.weights) });
  });

  test.each(named(LOCAL_RESPONSE_CASES))("%s", (_, c) => {
    expectGradientsOf(c, {});
  });
});

/** The same cells with the channels moved from `axis` to 1. */
function channelsFirst(x: Float64Array, shape: readonly number[], axis: number): Float64Array {
  const channels = shape[axis] as number;
  const before = cellsOf(shape.slice(1, axis));
  const after = cellsOf(shape.slice(axis + 1));
  const first = new Float64Array(x.length);
  x.forEach((value, i) => {
    const inner = i % after;
    const channel = Math.floor(i / after) % channels;
    const outer = Math.floor(i / (after * channels)) % before;
    const sample = Math.floor(i / (after * channels * before));
    first[((sample * channels + channel) * before + outer) * after + inner] = value;
  });
  return first;
}

describe("channels at another axis give what channels first give for the permuted data", () => {
  type Make = (shape: readonly number[], channelAxis: number) => Case;
  const MAKES: [string, Make][] = [
    ["GroupNorm", (shape, axis) => groupNormCase(2, shape, axis)],
    ["InstanceNorm", instanceNormCase],
    ["BatchNorm", batchNormCase],
    ["LocalResponseNorm", (shape, axis) => localResponseCase(4, shape, axis)],
  ];
  const LAYOUTS = [
    { shape: [2, 3, 5, 6], axis: 3, channelAxis: -1, first: [2, 6, 3, 5] },
    { shape: [2, 3, 6, 5], axis: 2, channelAxis: 2, first: [2, 6, 3, 5] },
  ];
  test.each(MAKES)("%s", (_, make) => {
    for (const { shape, axis, channelAxis, first } of LAYOUTS) {
      const x = uniform(180, 1, -0.5);
      const g = uniform(180, 2, -1);
      const move = (cells: Float64Array) => channelsFirst(cells, shape, axis);
      const [there, here] = [make(shape, channelAxis), make(first, 1)];
      const options = affine(6);
      // The sums of a set run in another order: a few roundings of numbers below 100.
      const allowed = 1e-13;
      expectWithin("y", move(there.forward(x, options).y), here.forward(move(x), options).y, allowed);
      const [a, b] = [there.backward(x, g, options), here.backward(move(x), move(g), options)];
      expectWithin("gradInput", move(a.gradInput), b.gradInput, allowed);
      expectWithin("scale", move(a.scale), b.scale, allowed);
      if (b.gradWeight) expectWithin("gradWeight", a.gradWeight, b.gradWeight, allowed);
      if (b.gradBias) expectWithin("gradBias", a.gradBias, b.gradBias, allowed);
    }
  });

  test("an axis that the shape does not have, or that is the batch, is refused", () => {
    expect(() => batchNorm([1, 2], [1, 2], { channelAxis: 2 })).toThrow(RangeError);
    expect(() => batchNorm([1, 2], [1, 2], { channelAxis: -3 })).toThrow(RangeError);
    expect(() => instanceNorm([1, 2], [1, 2], { channelAxis: 0 })).toThrow(RangeError);
    expect(() => groupNorm([1, 2], [1, 2], 1, { channelAxis: -2 })).toThrow(RangeError);
  });
});

describe("by hand", () => {
  test("a constant row gives its bias, and no gradient but the centred one of g", () => {
    const x = [7, 7, 7, 7];
    expect([...layerNorm(x, [4], { bias: [1, 2, 3, 4] }).y]).toEqual([1, 2, 3, 4]);
    const { gradInput, gradWeight, gradBias } = layerNormBackward(x, [1, 2, 3, 6], [4], { eps: 0.25 });
    expect([...gradInput]).toEqual([-4, -2, 0, 6]);
    expect([...gradWeight]).toEqual([0, 0, 0, 0]);
    expect([...gradBias]).toEqual([1, 2, 3, 6]);
  });

  test("one cell a set has no gradient at all, however large it is", () => {
    const { gradInput, gradWeight } = layerNormBackward([1e6, -3], [2, 5], [1], { weight: [3] });
    expect([...gradInput]).toEqual([0, 0]);
    expect([...gradWeight]).toEqual([0]);
  });

  test("two cells without eps are -1 and 1 whatever they are, and the scales are the terms' sizes", () => {
    const gradients = layerNormBackward([-1, 1], [1, 0], [2], { eps: 0 });
    // dx = 1 - 0.5 - (-1)(-0.5) and 0 - 0.5 - (1)(-0.5).
    expect([...gradients.gradInput]).toEqual([0, 0]);
    expect([...gradients.scale]).toEqual([2, 1]);
    expect([...gradients.gradWeight]).toEqual([-1, 0]);
    expect([...gradients.weightScale]).toEqual([1, 0]);
    const batch = batchNormBackward([-1, 1], [3, -1], [2, 1], { eps: 0 });
    expect([...batch.gradWeight, ...batch.weightScale]).toEqual([-4, 4]);
    expect([...batch.gradBias, ...batch.biasScale]).toEqual([2, 4]);
  });

  test("a row of RMSNorm is divided by the root of its mean square", () => {
    // The mean square is 4.
    const { y, rstd } = rmsNorm([2, -2, 2, 2], [4], { eps: 0, weight: [1, 2, 3, 4] });
    expect([...y]).toEqual([1, -2, 3, 4]);
    expect([...rstd]).toEqual([0.5]);
    // xhat = [1, -1, 1, 1] and avg(g xhat) = 1: dx = (g - xhat) / 2.
    const { gradInput, scale, gradWeight } = rmsNormBackward([2, -2, 2, 2], [4, 0, 0, 0], [4], { eps: 0 });
    expect([...gradInput]).toEqual([1.5, 0.5, -0.5, -0.5]);
    expect([...scale]).toEqual([2.5, 0.5, 0.5, 0.5]);
    expect([...gradWeight]).toEqual([4, 0, 0, 0]);
  });

  test("given statistics do not move with x: the gradient is g times rstd and weight", () => {
    const given = { mean: [1, 0], variance: [3, 0] };
    const gradients = batchNormBackward([5, 2, -3, 4], [1, 2, 3, 4], [2, 2], { eps: 1, weight: [2, 3], given });
    expect([...gradients.gradInput]).toEqual([1, 6, 3, 12]);
    expect([...gradients.scale]).toEqual([1, 6, 3, 12]);
    // rstd = [0.5, 1]: sums of g xhat, of [2, 2] and of [-2, 4].
    expect([...gradients.gradWeight]).toEqual([2 - 6, 4 + 16]);
    expect([...gradients.weightScale]).toEqual([8, 20]);
    expect([...gradients.gradBias]).toEqual([4, 6]);
  });

  test("GroupNorm is LayerNorm over neighbouring channels, InstanceNorm over each channel alone", () => {
    const x = uniform(24, 1, -0.5);
    const g = uniform(24, 2, -1);
    expect(groupNorm(x, [2, 4, 3], 1).y).toEqual(layerNorm(x, [4, 3]).y);
    expect(groupNormBackward(x, g, [2, 4, 3], 1).gradInput).toEqual(layerNormBackward(x, g, [4, 3]).gradInput);
    expect(groupNorm(x, [2, 4, 3], 2).y).toEqual(layerNorm(x, [2, 3]).y);
    expect(groupNormBackward(x, g, [2, 4, 3], 2).gradInput).toEqual(layerNormBackward(x, g, [2, 3]).gradInput);
    expect(groupNorm(x, [2, 4, 3], 4).y).toEqual(layerNorm(x, [3]).y);
    expect(instanceNorm(x, [2, 4, 3]).y).toEqual(layerNorm(x, [3]).y);
  });

  test("LocalResponseNorm of one channel takes its own square, divided by the whole size", () => {
    const { y } = localResponseNorm([3, -1], [2, 1, 1], { size: 5 });
    expect([...y]).toEqual([3 * (1 + (1e-4 / 5) * 9) ** -0.75, -((1 + 1e-4 / 5) ** -0.75)]);
  });

  test("LocalResponseNorm's window of an even size takes more channels below than above", () => {
    // S = 1 + x_c^2 + x_(c-1)^2 with beta 1: 1 + 1, 1 + 4 + 1, 1 + 9 + 4.
    const options = { size: 2, alpha: 2, beta: 1 };
    expect([...localResponseNorm([1, 2, 3], [1, 3, 1], options).y]).toEqual([1 / 2, 2 * 6 ** -1, 3 * 14 ** -1]);
    // Only y_1 counts, and it does not know x_2: dy_1/dx_0 = -2 * 2 * 1 / 36, dy_1/dx_1 = 1/6 - 2 * 2 * 2 / 36.
    const { gradInput, scale } = localResponseNormBackward([1, 2, 3], [0, 1, 0], [1, 3, 1], options);
    expectWithin("gradInput", gradInput, Float64Array.of(-4 / 36, 1 / 6 - 8 / 36, 0), 1e-15);
    expectWithin("scale", scale, Float64Array.of(4 / 36, 1 / 6 + 8 / 36, 0), 1e-15);
  });
});

test("cells near 1e30 have the gradients of cells near 1, scaled", () => {
  // A power of two scales every step exactly.
  const huge = 2 ** 100;
  for (const c of CASES) {
    const x = uniform(c.cells, 1, -0.5);
    const g = uniform(c.cells, 2, -1);
    const small = c.backward(x, g, { eps: 0 });
    const large = c.backward(
      x.map((value) => value * huge),
      g,
      { eps: 0 },
    );
    expect(large.gradInput).toEqual(small.gradInput.map((value) => value / huge));
    expect(large.gradWeight).toEqual(small.gradWeight);
  }
});

test("nothing to normalise gives nothing, and gradients of 0", () => {
  const none = new Float64Array(0);
  expect(layerNorm(none, [3]).y.length).toBe(0);
  expect([...layerNormBackward(none, none, [3]).gradWeight]).toEqual([0, 0, 0]);
  expect([...layerNormBackward(none, none, [0]).gradBias]).toEqual([]);
  expect([...batchNormBackward(none, none, [0, 2, 3]).gradWeight]).toEqual([0, 0]);
  expect([...groupNormBackward(none, none, [0, 4, 3], 2).gradBias]).toEqual([0, 0, 0, 0]);
  expect(localResponseNormBackward(none, none, [0, 4, 3], { size: 3 }).gradInput.length).toBe(0);
});

test("no gradient is larger than its scale", () => {
  for (const c of [...CASES, ...LOCAL_RESPONSE_CASES]) {
    const gradients = c.backward(uniform(c.cells, 1, -0.5), uniform(c.cells, 2, -1), affine(c.weights));
    const pairs = [
      [gradients.gradInput, gradients.scale],
      [gradients.gradWeight ?? [], gradients.weightScale ?? []],
      [gradients.gradBias ?? [], gradients.biasScale ?? []],
    ] as const;
    for (const [values, scales] of pairs) {
      values.forEach((value, i) => {
        expect(Math.abs(value)).toBeLessThanOrEqual((scales[i] as number) * (1 + 1e-14));
      });
    }
  }
});
