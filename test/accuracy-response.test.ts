// LocalResponseNorm and its gradient against the float64 oracle. y = x S^-beta has no statistics that roundings could gather in: all is
// float64 with one rounding at the end, so an ulp of the cell itself is more than enough, and of its gradient's terms together.
//
// float64, in u = 2^-53: a window of `size` squares goes through size + 2 roundings, of which S^-beta has beta times as many; the power
// function (6 L + 6) u with L = beta log(S) (power.test.ts); two products more, and the oracle's as many again, but for its compensated sums.
// The gradient has S^(-beta - 1), a second window, and three products more.
import { afterAll, describe, expect, test } from "vitest";
import { LocalResponseNorm, NormPool, type Tensor } from "../src/index.js";
import { type Bound, expectWithin, withinUlps } from "./accuracy-bounds.js";
import { normalCells, numbersOf } from "./cells.js";
import { type LayerCase, localResponseNormCase } from "./layer-cases.js";
import { type FloatDtype, largest } from "./rounding.js";

const U = 2 ** -53;
const DTYPES = ["float32", "float64", "float16", "bfloat16"] as const satisfies readonly FloatDtype[];

// A tile is 512 positions, or as many as 32,768 numbers hold of all channels; windows are odd, even, one, and more than there are channels.
const CASES: readonly (readonly [size: number, shape: readonly number[], beta: number])[] = [
  ...[511, 512, 513, 1025].map((space) => [5, [2, 3, space], 0.75] as const),
  // Columns are summed by eights, roots taken by fours.
  ...[2, 3, 4, 5, 7, 8, 9].map((space) => [3, [2, 6, space], space % 2 ? 0.5 : 0.75] as const),
  [4, [2, 7, 31, 17], 0.75],
  [4, [2, 7, 31, 33], 0.6],
  [3, [1, 100, 7, 3, 41], 0.5],
  [5, [3, 33, 1], 1],
  [1, [2, 5, 101], 2],
  [12, [2, 5, 101], 0.75],
  [6, [1, 33_000, 2], 1.3],
  [5, [1, 96, 27, 29], 0.75],
  // About the longest window that is summed anew, and longer than half and all of the channels.
  ...[16, 17, 18].map((size) => [size, [2, 50, 9, 7], 0.75] as const),
  [40, [2, 50, 63], 0.6],
  [99, [2, 50, 63], 0.75],
  [100, [2, 50, 5], 0.75],
  [1001, [1, 700, 40], 0.75],
];

const pool = new NormPool({ threads: 3 });
afterAll(() => pool.close());

/** In u by each result's scale. */
function bound64(size: number, beta: number, farthest: number, scale: Bound, ofGradient: boolean): Bound {
  // k is 2, alpha 0.1: S is between 2 and that of a window of nothing but the largest cell.
  const logarithm = Math.log(2 + 0.1 * farthest ** 2);
  const power = (size + 2) * beta + 6 * beta * logarithm + 6;
  const second = (size + 2) * (beta + 2) + 6 * (beta + 1) * logarithm + 6;
  const share = 2 * (ofGradient ? power + second + 5 : power + 2) * U;
  return (expected, i) => share * scale(expected, i);
}

describe.each(DTYPES)("%s", (dtype) => {
  const named = CASES.map(([size, shape, beta]) => {
    const layerCase: LayerCase = localResponseNormCase(size, shape, beta);
    return [layerCase.name, layerCase, size, beta] as const;
  });

  test.each(named)("%s and its gradient agree with float64", async (_, layerCase, size, beta) => {
    const { shape } = layerCase;
    const length = shape.reduce((a, b) => a * b, 1);
    for (const mean of dtype === "float32" || dtype === "float64" ? [0, 100] : [1]) {
      const [x, g] = [normalCells(dtype, length, mean + 1, mean), normalCells(dtype, length, 2, 0)];
      const layer = layerCase.make(dtype === "float64" ? "float64" : "float32");
      using input = pool.from(x as never, shape, dtype as never) as Tensor;
      using gradOutput = pool.from(g as never, shape, dtype as never) as Tensor;
      using output = await pool.forward(layer, input);
      const { gradInput } = await pool.backward(layer, { input, gradOutput });
      using own = gradInput;

      const [numbers, gradients] = [numbersOf(dtype, x), numbersOf(dtype, g)];
      const { y } = layerCase.forward(layer, numbers);
      const exact = layerCase.backward(layer, numbers, gradients);
      const ofCell: Bound = (expected) => Math.abs(expected);
      const ofTerms: Bound = (_expected, i) => exact.scale[i] as number;
      const bounds =
        dtype === "float64"
          ? [ofCell, ofTerms].map((scale, i) => bound64(size, beta, largest(numbers), scale, i === 1))
          : [ofCell, ofTerms].map((scale) => withinUlps(dtype, 1, scale));
      expectWithin("output", numbersOf(dtype, output.data), y, bounds[0] as Bound);
      expectWithin("gradInput", numbersOf(dtype, own.data), exact.gradInput, bounds[1] as Bound);
    }
  });
});

test.each(CASES)(
  "uint8, windows of %i of [%s] to the %d: float32 results agree with float64",
  async (size, shape, beta) => {
    const layerCase = localResponseNormCase(size, shape, beta);
    const x = normalCells(
      "uint8",
      shape.reduce((a, b) => a * b, 1),
      1,
      128,
    );
    const layer = layerCase.make("float32");
    using input = pool.from(x as Uint8Array, shape);
    using output = await pool.forward(layer, input);
    const { y } = layerCase.forward(layer, numbersOf("uint8", x));
    expectWithin(
      "output",
      output.data,
      y,
      withinUlps("float32", 1, (expected) => Math.abs(expected)),
    );
  },
);

// The power of a sum within float32's range is made of roots, that of another one of logarithms or float64's roots: a row may have both.
test.each([0.5, 0.75])("to the %s, a cell has the same bits beside sums of any size", async (beta) => {
  const layer = new LocalResponseNorm(1, { alpha: 1, beta, k: 1e-3 });
  for (const space of [1, 2, 3, 4, 5, 8, 13, 512, 513]) {
    for (const special of [1e25, Number.POSITIVE_INFINITY, Number.NaN]) {
      const cells = normalCells("float32", space, 1, 0) as Float32Array;
      const run = async (input: Float32Array) => {
        using x = pool.from(input, [1, 1, space]);
        using g = pool.from(new Float32Array(space).fill(0.3), [1, 1, space]);
        using y = await pool.forward(layer, x);
        const { gradInput } = await pool.backward(layer, { input: x, gradOutput: g });
        using own = gradInput;
        return [y, own].map(({ data }) => [...new Uint32Array(data.slice().buffer)]);
      };
      const [alone, beside] = [await run(cells), await run(cells.with(space >> 1, special))];
      for (const bits of [alone, beside].flat()) bits.splice(space >> 1, 1);
      expect(beside, `${space} cells, ${special}`).toEqual(alone);
    }
  }
});
