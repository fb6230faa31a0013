// Results held against the float64 oracle. accuracy.test.ts says why a float32 output is within 2 ulp, or 3 with weight and bias. As docs/accuracy.md
// promises, gradients are within 2 float32 ulp of the sum of their terms' absolute values. Halves are these, rounded once more.
// float64's bounds are derived in accuracy-bounds.ts.
import { expect } from "vitest";
import type { Dtype, Layer } from "../src/index.js";
import { resultDtype } from "../src/plan/cells.js";
import type { Parameter } from "../src/tensor/parameter.js";
import {
  type Bound,
  expectWithin,
  gradInput64,
  gradParameter64,
  largestOf,
  output64,
  type Sets64,
  sets64,
  withinUlps,
} from "./accuracy-bounds.js";
import { numbersOf } from "./cells.js";
import type { LayerCase, OracleGradients } from "./layer-cases.js";
import { type FloatDtype, largest } from "./rounding.js";

const GRADIENT_ULPS = 2;

/** A layer that was made of the case, given cells of this mean whose deviation is 1 (of uint8: 40). */
interface Given<D extends Dtype> {
  readonly layerCase: LayerCase;
  readonly layer: Layer & { readonly weight?: Parameter | null; readonly bias?: Parameter | null };
  readonly dtype: D;
  readonly mean: number;
}

/** What `pool.backward` finds, its tensor as an array. */
interface Gradients {
  readonly gradInput: ArrayBufferView;
  readonly gradWeight: Parameter | null;
  readonly gradBias: Parameter | null;
}

interface Bounds {
  readonly gradInput: Bound;
  readonly gradWeight: Bound;
  readonly gradBias: Bound;
}

/** Holds what a layer made of the cells x within the bounds. Not LocalResponseNorm of float64. */
export function expectOutput(given: Given<Dtype>, x: ArrayBufferView, output: ArrayBufferView): void {
  const { layerCase, layer, dtype, mean } = given;
  const { weight, bias } = layer;
  const { y, variance } = layerCase.forward(layer, numbersOf(dtype, x));
  const result = resultDtype(dtype) as FloatDtype;
  const numbers = numbersOf(result, output);
  if (result !== "float64") {
    const scale = scaleOf(given, numbersOf(dtype, x), y);
    expectWithin("output", numbers, y, withinUlps(result, weight || bias ? 3 : 2, scale));
    return;
  }
  const sets = sets64(layerCase, layer, mean, variance);
  expectWithin("output", numbers, y, output64(sets, largestOf(weight, 1), largest(y) + largestOf(bias, 0)));
}

/**
 * What a result's ulp is that of: |w| * max(1, |xhat|) + |b|, as docs/accuracy.md promises. A mean that is off by a share of the deviation moves every
 * cell by that much, whatever its result; where none is taken off the 1 does not count.
 */
function scaleOf({ layerCase, layer }: Given<Dtype>, x: ArrayLike<number>, y: ArrayLike<number>): Bound {
  const { weight, bias } = layer;
  const least = layerCase.mean === "none" ? 0 : 1;
  if (!weight) return (expected) => Math.max(least, Math.abs(expected));
  const [ownWeight, ownBias] = [weight.slice(), bias?.slice()];
  weight.fill(1);
  bias?.fill(0);
  const xhat = layerCase.forward(layer, x as never).y;
  weight.fill(0);
  if (ownBias) bias?.set(ownBias);
  const shifts = layerCase.forward(layer, x as never).y;
  weight.set(ownWeight);
  return (_, i) => {
    const [size, shift] = [Math.abs(xhat[i] as number), shifts[i] as number];
    const product = Math.abs((y[i] as number) - shift);
    return (size === 0 ? 0 : (product / size) * Math.max(least, size)) + Math.abs(shift);
  };
}

/** Holds the gradients of a layer given the cells x, and g for its output, within the bounds. Not LocalResponseNorm of float64. */
export function expectGradients(
  given: Given<FloatDtype>,
  x: ArrayBufferView,
  g: ArrayBufferView,
  found: Gradients,
): void {
  const { layerCase, layer, dtype, mean } = given;
  const { weight = null, bias = null } = layer;
  const { gradInput, gradWeight, gradBias } = found;
  const numbers = numbersOf(dtype, x);
  const oracle = layerCase.backward(layer, numbers, numbersOf(dtype, g));
  const bounds =
    dtype === "float64"
      ? bounds64(sets64(layerCase, layer, mean, layerCase.forward(layer, numbers).variance), oracle)
      : boundsInUlps(dtype, layerCase, oracle);
  expectWithin("gradInput", numbersOf(dtype, gradInput), oracle.gradInput, bounds.gradInput);
  expect([gradWeight === null, gradBias === null]).toEqual([weight === null, bias === null]);
  if (gradWeight !== null) expectWithin("gradWeight", gradWeight, oracle.gradWeight ?? [], bounds.gradWeight);
  if (gradBias !== null) expectWithin("gradBias", gradBias, oracle.gradBias ?? [], bounds.gradBias);
}

function boundsInUlps(
  dtype: FloatDtype,
  { mean }: LayerCase,
  { scale, weightScale, biasScale }: OracleGradients,
): Bounds {
  // A mean that is off by a share of the deviation moves each term g * xhat of a weight's gradient by that share of g.
  const beside = mean === "own" ? biasScale : undefined;
  return {
    gradInput: withinUlps(dtype, GRADIENT_ULPS, (_, i) => scale[i] as number),
    gradWeight: withinUlps("float32", GRADIENT_ULPS, (_, i) => (weightScale?.[i] as number) + (beside?.[i] ?? 0)),
    gradBias: withinUlps("float32", GRADIENT_ULPS, (_, i) => biasScale?.[i] as number),
  };
}

function bounds64(sets: Sets64, oracle: OracleGradients): Bounds {
  const { scale, weightScale = new Float64Array(), biasScale = new Float64Array(weightScale.length) } = oracle;
  const terms = scale.length / weightScale.length;
  return {
    gradInput: gradInput64(sets, scale),
    gradWeight: gradParameter64(sets, terms, weightScale, biasScale),
    gradBias: gradParameter64(sets, terms, biasScale, new Float64Array(biasScale.length)),
  };
}
