// What docs/accuracy.md promises of gradients, for cells and gradients that float32 arithmetic could be wrong for: that go with each other, so that few
// terms are most of a cell's gradient; of which few are most of a sum; that cancel. Moments come with the call, exact: these are the gradients' own errors.
import { afterAll, describe, expect, test } from "vitest";
import { BatchNorm1d, LayerNorm, NormPool, RMSNorm, type SetMoments } from "../src/index.js";
import { expectWithin } from "./accuracy-bounds.js";
import { batchNormBackward, layerNormBackward, rmsNormBackward } from "./reference-backward.js";
import { spacing } from "./rounding.js";
import { normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

const EPS = 1e-5;
/** As many as rows of a weight's gradient are added in float32 from, and some more; they deviate by 1 from each of these in turn. */
const ROWS = 261;
const MEANS = [0, 0.3, -1, 2, -30, 1e3, 1e6];

/** Cells drawn from two normal numbers. */
const CELLS: Readonly<Record<string, (a: number, b: number, i: number) => number>> = {
  normal: (a) => a,
  uniform: (a, b) => Math.atan2(a, b),
  "heavy-tailed": (a) => a ** 3,
  "one-sided": (a) => Math.exp(a),
  "two-valued": (a) => (a > 0.3 ? 1 : -1),
  "mostly 0": (a, b) => (a > 2 ? b : 0),
  "a ramp": (_, __, i) => i,
};

/** Gradients, given xhat and a normal number. */
const GRADIENTS: Readonly<Record<string, (xhat: number, c: number) => number>> = {
  normal: (_, c) => c,
  "heavy-tailed": (_, c) => c ** 5,
  "mostly 0": (_, c) => (c > 2 ? c : 0),
  "nearly alike": (_, c) => 1 + 1e-3 * c,
  "in proportion to xhat": (xhat) => xhat,
  "half of it xhat": (xhat, c) => xhat + c,
  "in proportion to xhat where that is large": (xhat, c) => (Math.abs(xhat) > 1.5 ? xhat : 1e-3 * c),
};

interface Drawn {
  readonly x: Float32Array;
  readonly g: Float32Array;
}

function draw(width: number, cellOf: (typeof CELLS)[string], gradientOf: (typeof GRADIENTS)[string]): Drawn {
  const [a, b, c] = [1, 2, 3].map((seed) => normal(ROWS * width, width + seed)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const [x, g] = [new Float32Array(a.length), new Float32Array(a.length)];
  for (let row = 0; row < ROWS; row++) {
    const at = row * width;
    const raw = Float64Array.from({ length: width }, (_, i) => cellOf(a[at + i] as number, b[at + i] as number, i));
    const { mean, deviation } = momentsOf(raw);
    // What they are divided by has all kinds of digits, and one row in 16 has gradients as large as all others'.
    const [scale, size] = [1 + (row % 16) * 0.07, row % 16 === 0 ? 16 : 1 + (row % 5) * 0.17];
    for (let i = 0; i < width; i++) {
      const xhat = ((raw[i] as number) - mean) / deviation;
      x[at + i] = (xhat + (MEANS[row % MEANS.length] as number)) * scale;
      g[at + i] = gradientOf(xhat, c[at + i] as number) * size;
    }
  }
  return { x, g };
}

function momentsOf(cells: ArrayLike<number>): { mean: number; m2: number; deviation: number } {
  const values = Array.from(cells);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const m2 = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, m2, deviation: Math.sqrt(m2 / values.length) || 1 };
}

/** The sums of the terms' absolute values, where an xhat counts as max(1, |xhat|). */
function scalesOf({ x, g }: Drawn, width: number, weight: Float32Array, { mean, m2 }: SetMoments, centred: boolean) {
  const [ofInput, ofWeight, ofBias] = [new Float64Array(x.length), new Float64Array(width), new Float64Array(width)];
  for (let row = 0; row < ROWS; row++) {
    const rstd = 1 / Math.sqrt((m2[row] as number) / width + EPS);
    const xhats = Float64Array.from({ length: width }, (_, i) =>
      Math.max(1, Math.abs(((x[row * width + i] as number) - (mean[row] as number)) * rstd)),
    );
    let [sum, products] = [0, 0];
    for (let i = 0; i < width; i++) {
      const [size, xhat] = [Math.abs(g[row * width + i] as number), xhats[i] as number];
      sum += size * Math.abs(weight[i] as number);
      products += size * Math.abs(weight[i] as number) * xhat;
      ofWeight[i] = (ofWeight[i] as number) + size * xhat;
      ofBias[i] = (ofBias[i] as number) + size;
    }
    for (let i = 0; i < width; i++) {
      const own = Math.abs((g[row * width + i] as number) * (weight[i] as number));
      ofInput[row * width + i] = rstd * (own + ((centred ? sum : 0) + products * (xhats[i] as number)) / width);
    }
  }
  return { ofInput, ofWeight, ofBias };
}

describe.each(Object.entries(CELLS))("%s cells", (_, cellOf) => {
  test.each(Object.entries(GRADIENTS))("with gradients that are %s", async (_, gradientOf) => {
    for (const [width, centred, size] of [
      [256, true, 0],
      [323, true, 0.5],
      [512, false, 0.5],
    ] as const) {
      const drawn = draw(width, cellOf, gradientOf);
      const { x, g } = drawn;
      const layer = centred ? new LayerNorm(width) : new RMSNorm(width, { eps: EPS });
      const weight = layer.weight as Float32Array;
      weight.set(normal(width, 7, 1, size));
      const sets = Array.from({ length: ROWS }, (_, row) => {
        const cells = x.subarray(row * width, (row + 1) * width);
        return centred ? momentsOf(cells) : { mean: 0, m2: cells.reduce((sum, value) => sum + value * value, 0) };
      });
      const moments = {
        count: width,
        mean: Float64Array.from(sets, ({ mean }) => mean),
        m2: Float64Array.from(sets, ({ m2 }) => m2),
      };
      using input = pool.from(x, [ROWS, width]);
      using gradOutput = pool.from(g, [ROWS, width]);
      const found = await pool.backward(layer, { input, gradOutput, moments });
      using own = found.gradInput;
      const backward = centred ? layerNormBackward : rmsNormBackward;
      const oracle = backward(x, g, [width], { weight, eps: EPS });
      const { ofInput, ofWeight, ofBias } = scalesOf(drawn, width, weight, moments, centred);
      const within = (scale: Float64Array) => (_: number, i: number) => 2 * spacing("float32", scale[i] as number);
      expectWithin("gradInput", own.data, oracle.gradInput, within(ofInput));
      expectWithin("gradWeight", found.gradWeight ?? [], oracle.gradWeight, within(ofWeight));
      if ("gradBias" in oracle)
        expectWithin("gradBias", found.gradBias ?? [], oracle.gradBias as Float64Array, within(ofBias));
    }
  });
});

test.each(Object.entries(GRADIENTS))(
  "columns of each kind of cells, with gradients that are %s",
  async (_, gradientOf) => {
    const [rows, kinds] = [530, Object.values(CELLS)];
    const width = 2 * kinds.length;
    const [x, g] = [new Float32Array(rows * width), new Float32Array(rows * width)];
    const [mean, m2] = [new Float64Array(width), new Float64Array(width)];
    const [a, b, c] = [1, 2, 3].map((seed) => normal(rows * width, seed)) as [Float32Array, Float32Array, Float32Array];
    for (let column = 0; column < width; column++) {
      const cellOf = kinds[column % kinds.length] as (typeof kinds)[number];
      const cells = Array.from({ length: rows }, (_, row) => row * width + column);
      const raw = cells.map((i, row) => cellOf(a[i] as number, b[i] as number, row));
      const own = momentsOf(raw);
      for (const [row, i] of cells.entries()) {
        const xhat = ((raw[row] as number) - own.mean) / own.deviation;
        x[i] = (xhat + (MEANS[column % 5] as number)) * (1 + column * 0.07);
        g[i] = gradientOf(xhat, c[i] as number);
      }
      const found = momentsOf(cells.map((i) => x[i] as number));
      mean[column] = found.mean;
      m2[column] = found.m2;
    }
    const layer = new BatchNorm1d(width);
    using input = pool.from(x, [rows, width]);
    using gradOutput = pool.from(g, [rows, width]);
    const found = await pool.backward(layer, { input, gradOutput, moments: { count: rows, mean, m2 } });
    using own = found.gradInput;
    const oracle = batchNormBackward(x, g, [rows, width]);
    const within = (scale: (i: number) => number) => (_: number, i: number) => 2 * spacing("float32", scale(i));
    expectWithin(
      "gradInput",
      own.data,
      oracle.gradInput,
      within((i) => oracle.scale[i] as number),
    );
    const ofWeight = (i: number) => (oracle.weightScale[i] as number) + (oracle.biasScale[i] as number);
    expectWithin("gradWeight", found.gradWeight ?? [], oracle.gradWeight, within(ofWeight));
    expectWithin(
      "gradBias",
      found.gradBias ?? [],
      oracle.gradBias,
      within((i) => oracle.biasScale[i] as number),
    );
  },
);

describe("numbers that float32 does not hold", () => {
  test.each([
    ["cells near 1e30", 1e30, 1, 1],
    ["cells near 1e-30", 1e-30, 1, 1],
    ["gradients near 1e-37", 1, 1e-37, 1],
    ["gradients near 1e30 and weights near 1e20", 1e18, 1e30, 1e20],
    ["gradients near 1e-30 and weights near 1e-20", 1e-18, 1e-30, 1e-20],
    ["weights near 1e30", 1, 1e-10, 1e30],
    ["weights near 1e-30", 1, 1e10, 1e-30],
  ])("%s", async (_, cell, gradient, size) => {
    const width = 300;
    const [x, g] = [
      normal(4 * width, 1).map((value) => value * cell),
      normal(4 * width, 2).map((value) => value * gradient),
    ];
    const layer = new LayerNorm(width, { eps: 0 });
    const { weight } = layer;
    weight?.set(normal(width, 3, 1, 0.2).map((value) => value * size));
    using input = pool.from(x, [4, width]);
    using gradOutput = pool.from(g, [4, width]);
    const { gradInput } = await pool.backward(layer, { input, gradOutput });
    using own = gradInput;
    const { gradInput: expected, scale } = layerNormBackward(x, g, [width], { weight, eps: 0 });
    expectWithin("gradInput", own.data, expected, (_, i) => 2 * spacing("float32", scale[i] as number));
    expect(own.data.some((value) => value !== 0)).toBe(true);
  });
});
