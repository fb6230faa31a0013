// Every layer in every layout and of every dtype against the float64 oracle.
import { afterAll, describe, test } from "vitest";
import { type Dtype, NormPool, type Tensor } from "../src/index.js";
import { LARGE_CASES, smallCases } from "./accuracy-cases.js";
import { expectOutput } from "./against-oracle.js";
import { normalCells } from "./cells.js";
import { batchNormCase, instanceNormCase, type LayerCase } from "./layer-cases.js";

/** Means that the dtype's cells still deviate by 1 from; of uint8, whose deviation is 40, some end at 0 and 255. */
const MEANS: readonly (readonly [Dtype, readonly number[]])[] = [
  ["float32", [0, 1, 1e2, 1e4, 1e6]],
  ["float64", [0, 1, 1e2, 1e4, 1e6]],
  ["float16", [0, 1, 1e2]],
  ["bfloat16", [0, 1, 1e2]],
  ["uint8", [128]],
];

const pool = new NormPool({ threads: 3 });
afterAll(() => pool.close());

async function hold(layerCase: LayerCase, dtype: Dtype, mean: number): Promise<void> {
  const { shape, channelAxis } = layerCase;
  const length = shape.reduce((a, b) => a * b, 1);
  const cells = normalCells(dtype, length, mean + 1, mean);
  const layer = layerCase.make(dtype === "float64" ? "float64" : "float32");
  using input = pool.from(cells as never, shape, dtype as never) as Tensor;
  using output = await pool.forward(layer, input, { channelAxis });
  expectOutput({ layerCase, layer, dtype, mean }, cells, output.data);
}

const named = (cases: readonly LayerCase[]) => cases.map((c) => [c.name, c] as const);

describe.each(MEANS)("%s agrees with float64", (dtype, means) => {
  test.each(named(smallCases(false)))("%s", async (_, layerCase) => {
    for (const mean of means) await hold(layerCase, dtype, mean);
  });

  test.each(named(smallCases(true)))("%s", async (_, layerCase) => {
    for (const mean of new Set([means[0], means.at(-1)])) await hold(layerCase, dtype, mean as number);
  });

  test.each(named(LARGE_CASES))("%s", async (_, layerCase) => {
    await hold(layerCase, dtype, means.at(-1) as number);
  });

  test.each(means)("in evaluation, with running means about %s", async (mean) => {
    for (const affine of [false, true]) {
      const options = { affine, runningMean: mean };
      for (const layerCase of [
        batchNormCase([50, 11], options),
        batchNormCase([9, 5, 1025], options),
        batchNormCase([3, 5, 7, 31, 16], options),
        batchNormCase([4, 17, 9, 13], { ...options, channelAxis: -1 }),
        instanceNormCase([3, 5, 33], options),
        instanceNormCase([3, 5, 7, 33], { ...options, channelAxis: 2 }),
      ]) {
        await hold(layerCase, dtype, mean);
      }
    }
  });
});
