// What several test files need: seeded data, and comparisons that print what differs.
import { expect } from "vitest";

/** A seeded generator of numbers in [0, 1): mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** `length` normal float32 numbers (Box-Muller), the same for the same seed. */
export function normal(length: number, seed: number, mean = 0, deviation = 1): Float32Array {
  const random = seeded(seed);
  const values = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    values[i] = mean + deviation * radius * Math.cos(angle);
    if (i + 1 < length) values[i + 1] = mean + deviation * radius * Math.sin(angle);
  }
  return values;
}

/** The distance of neighbouring float32 numbers at max(1, |value|). */
function ulp(value: number): number {
  return 2 ** (Math.floor(Math.log2(Math.max(1, Math.abs(value)))) - 23);
}

/**
 * Holds every cell within `ulps` float32 ulp of max(1, |expected|). On failure prints the worst cell's index, both values and the bound.
 */
export function expectWithinUlps(actual: ArrayLike<number>, expected: ArrayLike<number>, ulps: number): void {
  expect(actual.length).toBe(expected.length);
  let worst = -1;
  let worstUlps = ulps;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i] as number;
    const b = expected[i] as number;
    const error = Object.is(a, b) || (Number.isNaN(a) && Number.isNaN(b)) ? 0 : Math.abs(a - b) / ulp(b);
    if (!(error <= worstUlps)) {
      worst = i;
      worstUlps = error;
    }
  }
  if (worst >= 0) {
    expect.fail(
      `cell ${worst}: got ${actual[worst]}, expected ${expected[worst]}: ${worstUlps.toFixed(3)} ulp, allowed ${ulps}`,
    );
  }
}

/** Holds two float32 arrays equal bit by bit, NaNs and signs of zero too. */
export function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  const a = new Uint32Array(actual.buffer, actual.byteOffset, actual.length);
  const b = new Uint32Array(expected.buffer, expected.byteOffset, expected.length);
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) expect.fail(`cell ${i}: got ${actual[i]}, expected the bits of ${expected[i]}`);
  }
}
