// Every layer's gradients in every layout and of every dtype against the float64 oracle.
import { afterAll, describe, test } from "vitest";
import { NormPool, type SetMoments, type Tensor } from "../src/index.js";
import { LARGE_CASES, smallCases } from "./accuracy-cases.js";
import { expectGradients } from "./against-oracle.js";
import { normalCells } from "./cells.js";
import { batchNormCase, instanceNormCase, type LayerCase } from "./layer-cases.js";
import type { FloatDtype } from "./rounding.js";

/** Means that the dtype's cells still deviate by 1 from. */
const MEANS: readonly (readonly [FloatDtype, readonly number[]])[] = [
  ["float32", [0, 1, 1e2, 1e4, 1e6]],
  ["float64", [1, 1e6]],
  ["float16", [1e2]],
  ["bfloat16", [1]],
];

const pool = new NormPool({ threads: 3 });
afterAll(() => pool.close());

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
  const gradients = await pool.backward(layer, { input, gradOutput, channelAxis, moments });
  using own = gradients.gradInput;
  expectGradients({ layerCase, layer, dtype, mean }, x, g, { ...gradients, gradInput: own.data });
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
