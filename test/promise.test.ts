// What docs/accuracy.md promises, at its edges: large and small weights, biases that cancel, sums of few terms, running means near 0.
//
// A result's ulp is that of |w| * max(1, |xhat|) + |b|: the mean that is taken off may be off by a share of the deviation, which moves y by
// that share of w, also where xhat is near 0 or a bias cancels it. So, too, each term g * xhat of a weight's gradient.
import { afterAll, describe, expect, test } from "vitest";
import { BatchNorm1d, GroupNorm, type Layer, LayerNorm, NormPool, RMSNorm } from "../src/index.js";
import { expectWithin } from "./accuracy-bounds.js";
import { groupNorm, layerNorm, type ReferenceOptions, rmsNorm } from "./reference.js";
import { layerNormBackward } from "./reference-backward.js";
import { spacing } from "./rounding.js";
import { normal, seeded } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

const WIDTH = 256;
const EPS = 1e-5;

/** Rows that a search found to be bad ones, and normal ones. */
function rowsOf(seed: number, mean: number): Float32Array {
  if (seed === 51) return Float32Array.from({ length: WIDTH }, (_, i) => Math.sin(i * i + 51));
  return normal(40 * WIDTH, seed, mean);
}

interface Weighted {
  readonly name: string;
  make(): Layer & { weight: Float32Array | Float64Array | null; bias?: Float32Array | Float64Array | null };
  reference(x: Float32Array, options: ReferenceOptions): { readonly y: Float64Array };
  /** Cells that share a weight. */
  readonly run: number;
}

const LAYERS: readonly Weighted[] = [
  { name: "LayerNorm", make: () => new LayerNorm(WIDTH), reference: (x, o) => layerNorm(x, [WIDTH], o), run: 1 },
  {
    name: "RMSNorm",
    make: () => new RMSNorm(WIDTH, { eps: EPS }),
    reference: (x, o) => rmsNorm(x, [WIDTH], { ...o, eps: EPS }),
    run: 1,
  },
  {
    name: "GroupNorm",
    make: () => new GroupNorm(1, 8),
    reference: (x, o) => groupNorm(x, [x.length / WIDTH, 8, WIDTH / 8], 1, o),
    run: WIDTH / 8,
  },
];

describe.each(LAYERS)("$name", ({ make, reference, run }) => {
  test.each([0.01, 0.5, 1, 20, 100, 1e4])(
    "with weights of %s is within 3 ulp of |w| max(1, |xhat|) + |b|",
    async (size) => {
      for (const [seed, mean] of [
        [51, 0],
        [252, 0],
        [206, 0],
        [1, 1e3],
        [2, 1e6],
      ] as const) {
        const data = rowsOf(seed, mean);
        const layer = make();
        const random = seeded(seed);
        const xhat = reference(data, {}).y;
        layer.weight?.forEach((_, i, weight) => {
          weight[i] = (random() < 0.5 ? -1 : 1) * size;
        });
        // Of the first row's cells, so that many results there are near 0.
        layer.bias?.forEach((_, i, bias) => {
          bias[i] = i % 3 === 0 ? 0 : -(layer.weight?.[i] as number) * (xhat[i * run] as number);
        });
        const { weight, bias = null } = layer;
        const x = pool.from(data, run === 1 ? [data.length / WIDTH, WIDTH] : [data.length / WIDTH, 8, WIDTH / 8]);
        const y = await pool.forward(layer, x);
        expectWithin(`seed ${seed}`, y.data, reference(data, { weight, bias }).y, (_, i) => {
          const entry = Math.floor((i % WIDTH) / run);
          const factor = Math.abs(weight?.[entry] as number) * Math.max(1, Math.abs(xhat[i] as number));
          return 3 * spacing("float32", factor + Math.abs(bias?.[entry] ?? 0));
        });
        x.dispose();
        y.dispose();
      }
    },
  );
});

/** Cells of some kinds, drawn from two normal numbers: their roundings are alike, or a few are most of the variance, or they rise. */
const KINDS: readonly (readonly [name: string, (a: number, b: number, i: number) => number])[] = [
  ["normal", (a) => a],
  ["uniform", (a, b) => Math.atan2(a, b)],
  ["heavy-tailed", (a) => a ** 3],
  ["one-sided", (a) => Math.exp(a)],
  ["two-valued", (a) => (a > 0.3 ? 1 : -1)],
  ["mostly 0", (a, b) => (a > 2 ? b : 0)],
  ["a ramp", (_, __, i) => i],
];

describe.each(KINDS)("%s cells whose mean is where float32 arithmetic ends", (_, cellOf) => {
  test.each([256, 257, 768, 1024, 4096, 16_384])("rows of %i are within 2 ulp, and 3 with weights", async (width) => {
    const [a, b] = [normal(width, width), normal(width, width + 1)];
    const raw = Float64Array.from(a, (value, i) => cellOf(value, b[i] as number, i));
    const mean = raw.reduce((sum, value) => sum + value, 0) / width;
    const deviation = Math.sqrt(raw.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width);
    const means = [0, 0.01, 0.1, 0.1249, 0.125, 0.1251, 0.13].flatMap((at) => [at, -at]);
    const data = Float32Array.from({ length: means.length * width }, (_, i) => {
      const at = means[Math.floor(i / width)] as number;
      // Deviations from a bit over 1 to a bit under 2: what they are divided by has all kinds of digits.
      return (((raw[i % width] as number) - mean) / deviation + at) * (1 + (i / width) * 0.07);
    });
    using x = pool.from(data, [means.length, width]);
    const [layer, plain] = [new LayerNorm(width), new LayerNorm(width, { elementwiseAffine: false })];
    const { weight, bias } = layer;
    if (weight === null || bias === null) return expect.fail("a layer made with affine has no weight");
    weight.set(normal(width, 7, 1, 0.5));
    bias.set(normal(width, 8));
    const { y: xhat } = layerNorm(data, [width]);
    using alone = await pool.forward(plain, x);
    expectWithin("y", alone.data, xhat, (expected) => 2 * spacing("float32", Math.max(1, Math.abs(expected))));
    using y = await pool.forward(layer, x);
    expectWithin("y with weights", y.data, layerNorm(data, [width], { weight, bias }).y, (_, i) => {
      const [w, shift] = [weight[i % width] as number, bias[i % width] as number];
      return 3 * spacing("float32", Math.abs(w) * Math.max(1, Math.abs(xhat[i] as number)) + Math.abs(shift));
    });
  });
});

describe("a gradient is within 2 ulp of the sum of its terms, where an xhat counts as max(1, |xhat|)", () => {
  test.each([
    [1, 1000, 0],
    [1, 1000, 1e3],
    [3, 257, 0],
    [64, 512, 1e4],
  ])("[%i, %i] about %f, of gradients of ones and of normal ones", async (rows, width, mean) => {
    const data = normal(rows * width, 3, mean);
    for (const g of [new Float32Array(rows * width).fill(1), normal(rows * width, 4)]) {
      const layer = new LayerNorm(width);
      using input = pool.from(data, [rows, width]);
      using gradOutput = pool.from(g, [rows, width]);
      const { gradInput, gradWeight, gradBias } = await pool.backward(layer, { input, gradOutput });
      const { weight, bias } = layer;
      const oracle = layerNormBackward(data, g, [width], { weight, bias });
      const { y: xhat, variance } = layerNorm(data, [width]);
      expectWithin("gradWeight", gradWeight ?? [], oracle.gradWeight, (_, i) => {
        let sum = 0;
        for (let row = 0; row < rows; row++) {
          const cell = row * width + i;
          sum += Math.abs(g[cell] as number) * Math.max(1, Math.abs(xhat[cell] as number));
        }
        return 2 * spacing("float32", sum);
      });
      expectWithin(
        "gradBias",
        gradBias ?? [],
        oracle.gradBias,
        (_, i) => 2 * spacing("float32", oracle.biasScale[i] as number),
      );
      expectWithin("gradInput", gradInput.data, oracle.gradInput, (_, i) => {
        const row = Math.floor(i / width);
        const terms = [...g.subarray(row * width, (row + 1) * width).keys()];
        const absolute = terms.reduce((sum, j) => sum + Math.abs(g[row * width + j] as number), 0) / width;
        const products = terms.reduce(
          (sum, j) =>
            sum + Math.abs(g[row * width + j] as number) * Math.max(1, Math.abs(xhat[row * width + j] as number)),
          0,
        );
        const z = Math.max(1, Math.abs(xhat[i] as number));
        const rstd = 1 / Math.sqrt((variance[row] as number) + EPS);
        return 2 * spacing("float32", rstd * (Math.abs(g[i] as number) + absolute + (z * products) / width));
      });
    }
  });
});

test("a running mean is off by its float32 rounding and 2^-24 deviations at most, a running variance by 2^-23 of itself", async () => {
  for (const [n, c, length] of [
    [1, 64, 4096],
    [3, 64, 1000],
    [4096, 64, 1],
  ] as const) {
    const shape = length === 1 ? [n, c] : [n, c, length];
    const data = normal(n * c * length, 5);
    const layer = new BatchNorm1d(c, { momentum: 1 });
    await pool.forward(layer, pool.from(data, shape));
    for (let channel = 0; channel < c; channel++) {
      const cells = data.filter((_, i) => Math.floor(i / length) % c === channel);
      const mean = cells.reduce((a, b) => a + b, 0) / cells.length;
      const m2 = cells.reduce((a, b) => a + (b - mean) ** 2, 0);
      const variance = m2 / (cells.length - 1);
      const found = { mean: layer.runningMean?.[channel] as number, variance: layer.runningVar?.[channel] as number };
      expect(Math.abs(found.mean - mean)).toBeLessThanOrEqual(
        2 ** -24 * Math.sqrt(variance) + spacing("float32", Math.abs(mean)) / 2,
      );
      expect(Math.abs(found.variance - variance)).toBeLessThanOrEqual(2 ** -23 * variance);
    }
  }
});
