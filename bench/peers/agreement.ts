// No timing of a peer before its result is normpool's.

/** Of max(1, |y|): each has its own order of summing in float32. */
const TOLERANCE = 1e-4;

/** @param first the index of the first cell, where these are a part of all. */
export function checkAgreement(actual: ArrayLike<number>, expected: Float32Array, first = 0): void {
  if (actual.length !== expected.length) throw new Error(`it has ${actual.length} cells, normpool ${expected.length}`);
  for (let i = 0; i < expected.length; i++) {
    const [theirs, own] = [actual[i] as number, expected[i] as number];
    if (Math.abs(theirs - own) <= TOLERANCE * Math.max(1, Math.abs(own))) continue;
    throw new Error(`cell ${first + i} is ${theirs}, of normpool ${own}: not within ${TOLERANCE}`);
  }
}
