// float16 and bfloat16, exhaustively: what every pattern of bits is to the kernels, and what every number near a tie becomes. A layer that
// changes nothing, BatchNorm in evaluation with mean 0, variance 1 and no eps, is the way in and out; there is one for each way through the
// kernels: planes go by runs, which halves have loops of their own for, and columns by way of the stage.
import { afterAll, describe, expect, test } from "vitest";
import { BatchNorm1d, LocalResponseNorm, NormPool, type Tensor } from "../src/index.js";
import { numbersOf } from "./cells.js";
import { fromHalf, type HalfDtype, toHalf } from "./half.js";
import { nearest, spacing } from "./rounding.js";

const HALVES = ["float16", "bfloat16"] as const;
const PATTERNS = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);

/** Shapes of 65,536 cells whose channels are one column, one run, and runs of which the last cells fill no vector. */
const SHAPES: readonly (readonly [way: string, channels: number, shape: readonly number[]])[] = [
  ["columns", 8, [8192, 8]],
  ["a run", 1, [1, 1, 65_536]],
  ["short runs", 32, [64, 32, 32]],
];

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

/** A layer that multiplies by `weight` and does nothing else. */
function scaling(channels: number, weight: number): BatchNorm1d {
  const layer = new BatchNorm1d(channels, { eps: 0 });
  layer.weight?.fill(weight);
  return layer.eval();
}

/** The bits of a half tensor's cells, whatever the array is that holds them. */
function bitsOf({ data }: Tensor): Uint16Array {
  return new Uint16Array(data.buffer, data.byteOffset, data.length);
}

/** Holds all bits equal; of NaN that it is one. What comes from -0 may have lost its sign: a shift of 0 was added, as PyTorch does. */
function expectBits(dtype: HalfDtype, actual: Uint16Array, expected: Uint16Array, from: ArrayLike<number>): void {
  const [numbers, wanted] = [numbersOf(dtype, actual), numbersOf(dtype, expected)];
  for (let i = 0; i < expected.length; i++) {
    if (Number.isNaN(wanted[i]) && Number.isNaN(numbers[i])) continue;
    if (Object.is(from[i], -0) && numbers[i] === 0) continue;
    if (actual[i] !== expected[i]) {
      expect.fail(
        `cell ${i} from ${from[i]}: got bits ${actual[i]} (${numbers[i]}), expected ${expected[i]} (${wanted[i]})`,
      );
    }
  }
}

/** The numbers rounded to the type. */
function rounded(dtype: HalfDtype, numbers: Float64Array): Uint16Array {
  return toHalf(
    dtype,
    numbers.map((value) => nearest(dtype, value)),
  );
}

describe.each(HALVES)("%s", (dtype) => {
  const numbers = fromHalf(dtype, PATTERNS);

  describe.each(SHAPES)("by %s", (_, channels, shape) => {
    test("every number times 1 is itself, every NaN a NaN", async () => {
      using x = pool.from(PATTERNS, shape, dtype);
      using y = await pool.forward(scaling(channels, 1), x);
      expectBits(dtype, bitsOf(y), PATTERNS, numbers);
    });

    test.each([2, 0.5, 2 ** -13, 2 ** 20])(
      "every number times %s is rounded to the nearest, ties to even",
      async (weight) => {
        using x = pool.from(PATTERNS, shape, dtype);
        using y = await pool.forward(scaling(channels, weight), x);
        const products = numbers.map((value) => value * weight);
        expectBits(dtype, bitsOf(y), rounded(dtype, products), products);
      },
    );

    // Products of 1.5 or 1.25 are exact in float32, and every other one is a tie.
    test.each([1.5, 1.25])("every number times %s is rounded to the nearest, ties to even", async (weight) => {
      using x = pool.from(PATTERNS, shape, dtype);
      using y = await pool.forward(scaling(channels, weight), x);
      const products = numbers.map((value) => value * weight);
      expectBits(dtype, bitsOf(y), rounded(dtype, products), products);
    });

    // float16's subnormals are left out: some are computed on in fewer digits than float32 has, and meet the tie itself.
    test.each([1, -1])("beside a tie by %i float32, numbers are rounded away from it", async (side) => {
      const weight = 1.5 + side * 2 ** -23;
      const normal = PATTERNS.map((bits) => (Math.abs(numbers[bits] as number) < 2 ** -14 ? 0 : bits));
      using x = pool.from(normal, shape, dtype);
      using y = await pool.forward(scaling(channels, weight), x);
      const products = Float64Array.from(numbersOf(dtype, normal), (value) => Math.fround(value * weight));
      expectBits(dtype, bitsOf(y), rounded(dtype, products), products);
    });

    test("every gradient times 1 is itself, whatever the input", async () => {
      using input = pool.from(PATTERNS.toReversed(), shape, dtype);
      using gradOutput = pool.from(PATTERNS, shape, dtype);
      const { gradInput } = await pool.backward(scaling(channels, 1), { input, gradOutput });
      using own = gradInput;
      expectBits(dtype, bitsOf(own), PATTERNS, numbers);
    });
  });

  test("every finite number is itself where nothing is added, -0 too", async () => {
    const finite = PATTERNS.filter((bits) => Number.isFinite(numbers[bits]));
    using x = pool.from(finite, [1, 1, finite.length], dtype);
    using y = await pool.forward(new LocalResponseNorm(1, { alpha: 0 }), x);
    expect(bitsOf(y)).toEqual(finite);
  });

  test("every number has its moments in float64: of a set of two equal cells it is the mean", async () => {
    const finite = PATTERNS.filter((bits) => Number.isFinite(numbers[bits] as number));
    using x = pool.from(
      Uint16Array.from({ length: 2 * finite.length }, (_, i) => finite[i >> 1] as number),
      [finite.length, 2],
      dtype,
    );
    const layer = new BatchNorm1d(finite.length, { affine: false });
    const { mean, m2 } = await pool.momentsOf(layer, x, { channelAxis: 0 });
    expect([...mean]).toEqual([...finite].map((bits) => (numbers[bits] as number) + 0));
    expect(m2.every((value) => value === 0)).toBe(true);
  });

  /**
   * A bias that is float32 on cells of 0: the kernels' float32 results are any number at all. About each number of the type its ties with
   * the one above, and what lies one float32 to either side of them, and of the number itself.
   */
  test("float32 at every tie, and beside it, is rounded to the nearest, ties to even", async () => {
    const found: number[] = [];
    for (const value of numbers) {
      if (!Number.isFinite(value) || value < 0) continue;
      const tie = value + spacing(dtype, value) / 2;
      for (const middle of [value, tie]) {
        const step = spacing("float32", middle === 0 ? 2 ** -149 : middle);
        for (const near of [middle - step, middle, middle + step]) found.push(near, -near);
      }
    }
    const biases = Float32Array.from(found);
    expect([...biases]).toEqual(found);
    const layer = new BatchNorm1d(biases.length, { eps: 0 });
    layer.bias?.set(biases);
    layer.eval();
    for (const shape of [
      [1, biases.length],
      [1, biases.length, 1],
    ]) {
      using x = pool.from(new Uint16Array(biases.length), shape, dtype);
      using y = await pool.forward(layer, x);
      expectBits(
        dtype,
        bitsOf(y),
        rounded(
          dtype,
          Float64Array.from(biases, (bias) => 0 + bias),
        ),
        biases,
      );
    }
  });
});
