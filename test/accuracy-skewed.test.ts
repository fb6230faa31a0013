// Cells of which few make up most of a sum, or whose roundings are alike, as rows and as columns, against the float64 oracle: the 2 ulp that
// accuracy.test.ts derives of roundings that average out. Here they only do because sums that few blocks make up are taken exactly:
// one cell's roundings, 8 of them in its square and the sums of it, could be 4 ulp of its result.
import { afterAll, describe, test } from "vitest";
import { BatchNorm1d, LayerNorm, NormPool } from "../src/index.js";
import { expectWithin } from "./accuracy-bounds.js";
import { batchNorm, layerNorm } from "./reference.js";
import { spacing } from "./rounding.js";
import { normal } from "./support.js";

const bound = (y: number) => 2 * spacing("float32", Math.max(1, Math.abs(y)));

const SETS = 40;
/** Small beside any variance here, so that it does not hide an error of one. */
const EPS = 1e-12;

/** Cell `i` of a set, of a normal number. */
const DATA: readonly (readonly [string, (z: number, i: number) => number])[] = [
  ["heavy-tailed", (z) => Math.exp(3 * z)],
  ["skewed", (z) => Math.exp(2 * z)],
  ["2 % nonzero", (z) => (z > 2 ? z : 0)],
  ["rectified", (z) => Math.max(0, z - 2)],
  ["two-valued", (z) => (z > 1 ? 1 : 0)],
  ["periodic", (_, i) => (i % 7) * 0.1],
  ["alternating", (_, i) => (i % 2 === 0 ? -0.77777 : 0.3333)],
  ["a ramp", (_, i) => i * 0.37],
  ["piecewise constant", (_, i) => Math.sin(Math.floor(i / 97))],
  ["another block first", (z, i) => (i % 1024 < 64 ? z * 0.01 : z + 3)],
  ["one spike", (_, i) => (i % 1023 === 5 ? 2.6848 : -1.48867702)],
];

// What is summed by blocks from, and with few cells after the last block or sweep.
const ROWS = [256, 257, 319, 448, 512, 1025, 20_000];
const COLUMNS = [64, 256, 257, 271, 304, 513, 4100];

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

describe.each(DATA)("%s", (_, cell) => {
  const setsOf = (length: number) => normal(SETS * length, length).map((z, i) => cell(z, i % length));

  test.each(ROWS)("in rows of %i", async (length) => {
    const data = setsOf(length);
    using x = pool.from(data, [SETS, length]);
    using y = await pool.forward(new LayerNorm(length, { eps: EPS, elementwiseAffine: false }), x);
    expectWithin("output", y.data, layerNorm(data, [length], { eps: EPS }).y, bound);
  });

  test.each(COLUMNS)("in columns of %i", async (length) => {
    const [sets, shape] = [setsOf(length), [length, SETS]];
    const data = sets.map((_, i) => sets[(i % SETS) * length + Math.floor(i / SETS)] as number);
    using x = pool.from(data, shape);
    using y = await pool.forward(new BatchNorm1d(SETS, { eps: EPS, affine: false }), x);
    expectWithin("output", y.data, batchNorm(data, shape, { eps: EPS }).y, bound);
  });
});

// float64 has no digits to spare: a pivot far from the mean would lose as many as there are in the square of the distance.
describe("float64 cells of which the first is far off", () => {
  const value = (i: number) => Math.sin(i * 1.7) + 3;
  test.each([
    [
      "rows",
      [3, 700],
      new LayerNorm(700, { elementwiseAffine: false, dtype: "float64" }),
      (i: number) => i % 700 === 0,
    ],
    ["columns", [700, 3], new BatchNorm1d(3, { affine: false, dtype: "float64" }), (i: number) => i < 3],
    [
      "short runs",
      [60, 3, 20],
      new BatchNorm1d(3, { affine: false, dtype: "float64" }),
      (i: number) => i < 60 && i % 20 === 0,
    ],
  ] as const)("in %s", async (what, shape, layer, isFirst) => {
    const cells = shape.reduce((a, b) => a * b, 1);
    const data = Float64Array.from({ length: cells }, (_, i) => (isFirst(i) ? 1e9 : value(i)));
    using x = pool.from(data, [...shape]);
    using y = await pool.forward(layer, x);
    const { y: expected } = what === "rows" ? layerNorm(data, [700]) : batchNorm(data, [...shape]);
    // The cells beside the first lie within 1e-9 deviations: of those a mean with all its digits leaves some.
    expectWithin("output", y.data, expected, (result) => 16 * spacing("float64", Math.max(1, Math.abs(result))));
  });
});
