// How far a result may be off float64's, derived: what docs/accuracy.md promises, and for float64 cells what its sums imply.
import { expect } from "vitest";
import type { Layer } from "../src/index.js";
import { cellsPerSet, type Geometry } from "../src/plan/geometry.js";
import { SEGMENT_CELLS } from "../src/plan/grid.js";
import type { LayerCase } from "./layer-cases.js";
import { type FloatDtype, largest, spacing } from "./rounding.js";

/** What is allowed of cell `i`, which is `expected`. */
export type Bound = (expected: number, i: number) => number;

/** Half the distance of 1 to the next float64. */
const U = 2 ** -53;

/** How far a sum of random terms that goes through `depth` roundings is off, by the sum of the terms' absolute values. */
function sumError(depth: number): number {
  // Roundings of random cells go either way: more than 6 sqrt(depth) of them add up with a probability under 2 exp(-18), 3e-8 (Higham,
  // Mary 2019, "A new approach to probabilistic rounding error analysis"). If all went the same way it were depth.
  return Math.min(depth, 6 * Math.sqrt(depth)) * U;
}

/** What of some sets of float64 cells their roundings hang on. */
export interface Sets64 {
  readonly geometry: Geometry;
  readonly mean: LayerCase["mean"];
  /** The mean that is taken off, in deviations of the set with the smallest. */
  readonly meanInDeviations: number;
  /** The largest of the cells' deviations, in deviations of its set. */
  readonly farthest: number;
}

/** The sets that the layer makes of cells with this mean, of which the oracle says the variances. */
export function sets64(
  layerCase: LayerCase,
  layer: Layer,
  mean: number,
  variance: Float64Array = Float64Array.of(1),
): Sets64 {
  const { shape, channelAxis } = layerCase;
  const computation = layer.prepare(shape, { dtype: "float64", channelAxis, partOfBatch: false });
  if (computation.kind !== "normalization") throw new Error("expected a normalization");
  const { geometry, eps } = computation;
  const smallest = variance.reduce((a, b) => Math.min(a, b));
  // No cell of a set deviates by more than the root of their number, and of a million normal ones none by 6.
  const farthest = Math.min(6, Math.sqrt(cellsPerSet(geometry)));
  return { geometry, mean: layerCase.mean, meanInDeviations: Math.abs(mean) / Math.sqrt(smallest + eps), farthest };
}

/** How a set's cells are summed: in how many segments, through how many additions in each, and from a pivot how many deviations off. */
function summation(
  { r, k, s }: Geometry,
  farthest: number,
): readonly [segments: number, depth: number, offset: number] {
  const run = k * s;
  // Eight lanes over a segment at most, a second time from the mean where the first pivot was more than half a deviation off.
  if (r === 1 || run >= SEGMENT_CELLS) {
    return [r * Math.ceil(run / SEGMENT_CELLS), Math.min(run, SEGMENT_CELLS) / 8 + 12, 0.5];
  }
  // Columns of 512 to 4096 rows, or all that there are; the pivot is their first cell.
  if (run < 16) return [run * Math.ceil(r / 512), Math.min(r, 4096) + 2, farthest];
  if (run >= 1024) return [r, run / 8 + 12, 0.5];
  // Runs side by side, each in lanes; the pivot is the first cell.
  const perSegment = Math.floor(SEGMENT_CELLS / run);
  return [Math.ceil(r / perSegment), run / 8 + 12 + Math.min(r, perSegment), farthest];
}

interface StatisticsErrors {
  /** Of the mean, in deviations. */
  readonly mean: number;
  /** Of the deviation, as a share of it. */
  readonly deviation: number;
}

/**
 * Errors of a set's statistics in float64. Of cells that deviate from a pivot by `o` deviations more than from the mean, sums of |x - p| are
 * n (1 + o) at most; sums of squares, with the square of the sum that is taken off them, n (1 + 2 o)^2, of whose share the deviation
 * has half. A merge of segments rounds the mean and what it is moved by, and so does the oracle, twice.
 */
function statisticsErrors({ geometry, mean, meanInDeviations, farthest }: Sets64): StatisticsErrors {
  if (mean === "running") return { mean: 0, deviation: 0 };
  const [segments, depth, o] = summation(geometry, farthest);
  const inSegment = sumError(depth);
  return {
    mean: mean === "none" ? 0 : (segments + 4) * (meanInDeviations + farthest) * U + inSegment * (1 + o),
    deviation: (inSegment * (1 + 2 * o) ** 2) / 2 + (2 * segments + 4) * U,
  };
}

/** Float64 output: the statistics' errors times the weight, and six roundings of what is applied, the oracle's among them. */
export function output64(sets: Sets64, weight: number, applied: number): Bound {
  const errors = statisticsErrors(sets);
  const bound = weight * (errors.mean + sets.farthest * errors.deviation) + 6 * U * applied;
  return () => bound;
}

/**
 * Float64 gradient of the input, by the sum of its terms' absolute values: its sums go through no more additions than a set has
 * cells, and no more than the 32,768 of a lane over the largest set that is summed at once, with those of the parts. A mean that is off
 * moves xhat in two of its terms, of which each is a part of the scale times the cell's deviation; the deviation is in each up to 4 times.
 */
export function gradInput64(sets: Sets64, scale: Float64Array): Bound {
  const { mean, deviation } = statisticsErrors(sets);
  const share =
    sumError(Math.min(cellsPerSet(sets.geometry), 36_864)) + 4 * deviation + 2 * sets.farthest * mean + 16 * U;
  return (_, i) => share * (scale[i] as number);
}

/**
 * Float64 gradient of a weight or bias, sums of so many terms: by the absolute values of its own terms, and of the gradients that a
 * mean which is off is multiplied by.
 */
export function gradParameter64(sets: Sets64, terms: number, scale: Float64Array, gradients: Float64Array): Bound {
  const { mean, deviation } = statisticsErrors(sets);
  const share = sumError(Math.min(terms, 36_864)) + 2 * deviation + 16 * U;
  return (_, i) => share * (scale[i] as number) + mean * (gradients[i] as number);
}

/**
 * `ulps` float32 ulp at each result's scale; of a half type its own rounding is added, which may be of a result that is so
 * much larger.
 */
export function withinUlps(dtype: FloatDtype, ulps: number, scale: Bound): Bound {
  return (expected, i) => {
    const inFloat32 = ulps * spacing("float32", scale(expected, i));
    const isHalf = dtype === "float16" || dtype === "bfloat16";
    return isHalf ? inFloat32 + spacing(dtype, Math.abs(expected) + inFloat32) / 2 : inFloat32;
  };
}

/** The largest magnitude of a parameter; `absent` where there is none. */
export function largestOf(parameter: ArrayLike<number> | null | undefined, absent: number): number {
  return parameter ? largest(parameter) : absent;
}

/** Holds every cell within its bound. On failure prints the worst cell's index, both values, and the bound. */
export function expectWithin(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>, bound: Bound): void {
  expect(actual.length, what).toBe(expected.length);
  let [worst, worstShare] = [-1, 1];
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i] as number, expected[i] as number];
    const error = a === e ? 0 : Math.abs(a - e);
    const share = error === 0 ? 0 : error / bound(e, i);
    if (!(share <= worstShare)) [worst, worstShare] = [i, share];
  }
  if (worst < 0) return;
  const [a, e] = [actual[worst] as number, expected[worst] as number];
  const times = `${worstShare.toFixed(3)} times the ${bound(e, worst)} that are allowed`;
  expect.fail(`${what}, cell ${worst}: got ${a}, expected ${e}: ${times}`);
}
