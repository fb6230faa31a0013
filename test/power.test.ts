// The power function of LocalResponseNorm, against Math.pow. A cell of 1 with alpha 0 comes out as k^-beta, from the kernel itself: a layer
// refuses a k that is not finite, but the sums that the kernel takes a power of may be anything.
//
// The bound, in u = 2^-53 of the result and with L = |beta * log(k)|. log: a quotient of two roundings, a series with one and a tenth of
// some more, the sum with the exponent's part two; times beta one: 6 u at most of L, which is what an error of L is worth after exp.
// exp: its argument less n log(2) one rounding of 0.35, a polynomial that is added last to 1 two, and some tenths: 4 u. Math.pow of V8
// (fdlibm's) has 0.7 ulp, 1.4 u. So (6 L + 6) u; and where the result is subnormal its own spacing, once for each of the two.
import { beforeAll, describe, expect, test } from "vitest";
import { ALL_RESPONSE_STEPS } from "../workers/arithmetic.js";
import { instantiate, type Kernels, kernelModule } from "../workers/kernels.js";
import { wasm } from "../workers/webassembly.js";
import { seeded } from "./support.js";

const U = 2 ** -53;
const memory = new wasm.Memory({ initial: 2, maximum: 65_536, shared: true });
const [X, Y, SCRATCH] = [65_536, 65_600, 65_664];
let kernels: Kernels;
beforeAll(() => {
  kernels = instantiate(kernelModule(), memory, 1024);
});

/** k^b of a pair of lanes, and of the one cell that is left over in a row of three. */
function powers(k: number, b: number): number[] {
  const [x, y] = [new Float64Array(memory.buffer, X, 3).fill(1), new Float64Array(memory.buffer, Y, 3)];
  kernels.setCells("float64", SCRATCH);
  kernels.float64.respond(
    x.byteOffset,
    0,
    y.byteOffset,
    0,
    1,
    1,
    3,
    3,
    0,
    0,
    0,
    -b,
    k,
    0,
    SCRATCH,
    ALL_RESPONSE_STEPS,
    0,
    1,
  );
  return [...y];
}

function expectPower(k: number, b: number): void {
  const expected = k ** b;
  for (const found of powers(k, b)) {
    if (Object.is(found, expected)) continue;
    const bound = (6 * Math.abs(b * Math.log(Math.abs(k))) + 6) * U * Math.abs(expected) + 2 * Number.MIN_VALUE;
    // Near the largest number one of the two may be Infinity already.
    const [low, high] = [found, expected].map(
      (value) => Math.sign(value) * Math.min(Math.abs(value), Number.MAX_VALUE),
    );
    if (!(Math.abs((low as number) - (high as number)) <= bound)) {
      expect.fail(`${k} to the ${b}: got ${found}, expected ${expected} within ${bound}`);
    }
  }
}

const EXPONENTS = [
  0.75, -0.75, 0.5, -0.5, 0.25, -0.25, 0.6, -0.6, -1.6, 1, -1, 2, -2, 3, -3, 1.75, -1.75, 7.3, -7.3, 100, -100, 1e-3,
  -1e-3, 1e-300, 333.3, -333.3, 0,
];

describe.each(EXPONENTS)("to the %s", (b) => {
  test("of numbers that LocalResponseNorm has: from 1 to 100", () => {
    const random = seeded(1);
    for (let i = 0; i < 2000; i++) expectPower(100 ** random(), b);
  });

  test("of numbers about 1, whose logarithms are small", () => {
    for (let exponent = 1; exponent <= 53; exponent++) {
      for (const near of [1 + 2 ** -exponent, 1 - 2 ** -exponent, 1 + 3 * 2 ** -exponent]) {
        if (near !== 1) expectPower(near, b);
      }
    }
    expect(powers(1, b)).toEqual([1, 1, 1]);
  });

  test("of numbers about those where the exponent changes", () => {
    for (let exponent = -1022; exponent < 1024; exponent++) {
      for (const mantissa of [
        1,
        Math.SQRT1_2,
        Math.SQRT1_2 + 2 ** -53,
        Math.SQRT2,
        Math.SQRT2 - 2 ** -52,
        2 - 2 ** -52,
      ]) {
        expectPower(mantissa * 2 ** exponent, b);
      }
    }
  });

  test("of subnormal numbers", () => {
    for (let exponent = -1074; exponent < -1022; exponent++) expectPower(1.3 * 2 ** exponent, b);
  });

  test("of 0, of infinities, NaN and negative numbers: what Math.pow has", () => {
    for (const k of [0, Infinity, -Infinity, Number.NaN]) {
      const expected = k ** b;
      expect(powers(k, b), `${k} to the ${b}`).toEqual([expected, expected, expected]);
    }
    for (const k of [-1, -0.3, -2, -17.5, -1e300, -1e-310]) expectPower(k, b);
  });
});

test("lanes of which one is not a normal number do not disturb each other", () => {
  const x = new Float64Array(memory.buffer, X, 2);
  const y = new Float64Array(memory.buffer, Y, 2);
  for (const [other, expected] of [
    [1e200, 0],
    [Number.NaN, Number.NaN],
  ] as const) {
    for (const at of [0, 1]) {
      x.fill(2);
      x[at] = other;
      kernels.setCells("float64", SCRATCH);
      kernels.float64.respond(X, 0, Y, 0, 1, 1, 2, 2, 0, 0, 1, 0.6, 1, 0, SCRATCH, ALL_RESPONSE_STEPS, 0, 1);
      expect(y[at]).toBe(expected);
      expect(Math.abs((y[1 - at] as number) - 2 * 5 ** -0.6)).toBeLessThanOrEqual((6 * Math.log(5) + 8) * U);
    }
  }
});
