// Every layer's gradients in every layout and of every dtype against the float64 oracle. As docs/accuracy.md promises, they are within 2
// float32 ulp of the sum of their terms' absolute values; of halves the input's are rounded once more. float64's bounds: accuracy-bounds.ts.
import { afterAll, describe, expect, test } from "vitest";
import { NormPool, type SetMoments, type Tensor } from "../src/index.js";
import {
  type Bound,
  expectWithin,
  gradInput64,
  gradParameter64,
  type Sets64,
  sets64,
  withinUlps,
} from "./accuracy-bounds.js";
import { LARGE_CASES, smallCases } from "./accuracy-cases.js";
import { normalCells, numbersOf } from "./cells.js";
import { batchNormCase, instanceNormCase, type LayerCase, type OracleGradients } from "./layer-cases.js";
import type { FloatDtype } from "./rounding.js";

/** Means that the dtype's cells still deviate by 1 from. */
const MEANS: readonly (readonly [FloatDtype, readonly number[]])[] = [
  ["float32", [0, 1, 1e2, 1e4, 1e6]],
  ["float64", [1, 1e6]],
  ["float16", [1e2]],
  ["bfloat16", [1]],
];

const ULPS = 2;

const pool = new NormPool({ threads: 3 });
afterAll(() => pool.close());

interface Bounds {
  readonly gradInput: Bound;
  readonly gradWeight: Bound;
  readonly gradBias: Bound;
}

function boundsInUlps(
  dtype: FloatDtype,
  { mean }: LayerCase,
  { scale, weightScale, biasScale }: OracleGradients,
): Bounds {
  // A mean that is off by a share of the deviation moves each term g * xhat of a weight's gradient by that share of g.
  const beside = mean === "own" ? biasScale : undefined;
  return {
    gradInput: withinUlps(dtype, ULPS, (_, i) => scale[i] as number),
    gradWeight: withinUlps("float32", ULPS, (_, i) => (weightScale?.[i] as number) + (beside?.[i] ?? 0)),
    gradBias: withinUlps("float32", ULPS, (_, i) => biasScale?.[i] as number),
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

async function hold(layerCase: LayerCase, dtype: FloatDtype, mean: number, save = false): Promise<void> {
  const { shape, channelAxis } = layerCase;
  const length = shape.reduce((a, b) => a * b, 1);
  const [x, g] = [normalCells(dtype, length, mean + 1, mean), normalCells(dtype, length, 2, 0)];
  const layer = layerCase.make(dtype === "float64" ? "float64" : "float32");
  using input = pool.from(x as never, shape, dtype as never) as Tensor;
  using gradOutput = pool.from(g as never, shape, dtype as never) as Tensor;
  let moments: SetMoments | undefined;
  const onMoments = (found: SetMoments) => {
    moments = found;
  };
  if (save) (await pool.forward(layer, input, { channelAxis, onMoments })).dispose();
  const { gradInput, gradWeight, gradBias } = await pool.backward(layer, { input, gradOutput, channelAxis, moments });
  using own = gradInput;

  const numbers = numbersOf(dtype, x);
  const oracle = layerCase.backward(layer, numbers, numbersOf(dtype, g));
  const bounds =
    dtype === "float64"
      ? bounds64(sets64(layerCase, layer, mean, layerCase.forward(layer, numbers).variance), oracle)
      : boundsInUlps(dtype, layerCase, oracle);
  expectWithin("gradInput", numbersOf(dtype, own.data), oracle.gradInput, bounds.gradInput);
  const { weight = null, bias = null } = layer as { weight?: object | null; bias?: object | null };
  expect([gradWeight === null, gradBias === null]).toEqual([weight === null, bias === null]);
  if (gradWeight !== null) expectWithin("gradWeight", gradWeight, oracle.gradWeight ?? [], bounds.gradWeight);
  if (gradBias !== null) expectWithin("gradBias", gradBias, oracle.gradBias ?? [], bounds.gradBias);
}

const named = (cases: readonly LayerCase[]) => cases.map((c) => [c.name, c] as const);

describe.each(MEANS)("%s gradients agree with float64", (dtype, means) => {
  test.each(named(smallCases(true)))("%s", async (_, layerCase) => {
    for (const mean of means) await hold(layerCase, dtype, mean);
  });

  test.each(named(smallCases(false)))("%s", async (_, layerCase) => {
    await hold(layerCase, dtype, means.at(-1) as number);
  });

  test.each(named(LARGE_CASES))("%s", async (_, layerCase) => {
    await hold(layerCase, dtype, means.at(-1) as number, true);
  });

  test.each(means)("in evaluation, with running means about %s", async (mean) => {
    for (const affine of [false, true]) {
      const options = { affine, runningMean: mean };
      for (const layerCase of [
        batchNormCase([50, 11], options),
        batchNormCase([9, 5, 1025], options),
        batchNormCase([4, 17, 9, 13], { ...options, channelAxis: -1 }),
        instanceNormCase([3, 5, 33], options),
        instanceNormCase([3, 5, 7, 33], { ...options, channelAxis: 2 }),
      ]) {
        await hold(layerCase, dtype, mean);
      }
    }
  });
});
