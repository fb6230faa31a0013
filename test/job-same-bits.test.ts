// A job's output has the bits of one process, however many parts it has, whoever does them, in whatever order.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  type Dtype,
  finishJob,
  type Layer,
  NormPool,
  planFitJob,
  planJob,
  planMomentsJob,
  readSafetensors,
  StandardScaler,
} from "../src/index.js";
import { bytesOf } from "./cells.js";
import { placesIn, resultOf, runAllParts, withStripes, writeRaw } from "./job-files.js";
import {
  batchNormCase,
  groupNormCase,
  instanceNormCase,
  type LayerCase,
  layerNormCase,
  rmsNormCase,
} from "./layer-cases.js";
import { CASES, inputOf, layerFor } from "./same-bits-cases.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-job-"));
const pools = [new NormPool({ threads: 2 }), new NormPool({ threads: 1 }), new NormPool({ threads: 1 })];
afterAll(async () => {
  for (const pool of pools) await pool.close();
  rmSync(folder, { recursive: true });
});
const place = placesIn(folder);
const X = join(folder, "x.raw");

/** The bits of one process, from memory to memory. */
async function inMemory(layer: Layer, layerCase: LayerCase, dtype: Dtype): Promise<Uint8Array> {
  const { shape, channelAxis } = layerCase;
  const [pool] = pools as [NormPool, ...NormPool[]];
  const { data } = await pool.forward(
    layer,
    pool.from(inputOf(layerCase, dtype) as Float32Array, shape, dtype as "float32"),
    {
      channelAxis,
    },
  );
  return bytesOf(data);
}

async function byJob(layerCase: LayerCase, dtype: Dtype, parts: number, stripeBytes?: number): Promise<Buffer> {
  const { shape, channelAxis } = layerCase;
  const input = writeRaw(X, dtype, shape, inputOf(layerCase, dtype));
  const { job, output } = place();
  await planJob(
    layerFor(layerCase, dtype),
    input,
    { path: output, format: "raw" },
    { folder: job, parts, channelAxis },
  );
  if (stripeBytes !== undefined) await withStripes(job, stripeBytes);
  const result = await resultOf(pools, job, output, parts);
  rmSync(output);
  return result;
}

function expectBytes(actual: Uint8Array, expected: Uint8Array): void {
  expect(Buffer.compare(actual, expected)).toBe(0);
}

describe("every layer and layout has the bits of one process", () => {
  test.each(CASES.map(([why, layerCase]) => [why, layerCase.name, layerCase] as const))(
    "%s: %s",
    async (_, _name, layerCase) => {
      const expected = await inMemory(layerFor(layerCase, "float32"), layerCase, "float32");
      // Tables of little room: several stripes.
      expectBytes(await byJob(layerCase, "float32", 3, 8192), expected);
    },
  );
});

describe("by 1, 5 and 64 parts", () => {
  test.each([
    layerNormCase([301], [1000]),
    layerNormCase([1], [1_100_003], { affine: false }),
    rmsNormCase([2], [600_001], { affine: false }),
    groupNormCase(2, [3, 6, 299, 151]),
    instanceNormCase([2, 2, 520, 510]),
    batchNormCase([70, 3, 61, 61]),
    batchNormCase([70_001, 9]),
  ])("$name", async (layerCase) => {
    const expected = await inMemory(layerFor(layerCase, "float32"), layerCase, "float32");
    for (const parts of [1, 5, 64]) expectBytes(await byJob(layerCase, "float32", parts), expected);
  });

  test.each(["float64", "float16", "bfloat16", "uint8"] as const)("BatchNorm and GroupNorm of %s", async (dtype) => {
    for (const layerCase of [batchNormCase([40_001, 7]), groupNormCase(1, [1, 6, 299, 151])]) {
      const expected = await inMemory(layerFor(layerCase, dtype), layerCase, dtype);
      for (const parts of [1, 5, 64]) expectBytes(await byJob(layerCase, dtype, parts), expected);
    }
  });
});

test("the output's dtype may be another one, as of a file that one process writes", async () => {
  const layerCase = batchNormCase([4001, 7]);
  const x = writeRaw(X, "float16", layerCase.shape, inputOf(layerCase, "float16"));
  const [pool] = pools as [NormPool, ...NormPool[]];
  const layer = layerFor(layerCase, "float32");
  const { path, ...options } = x;
  const tensor = await pool.open(path, { ...options, as: "float32" });
  const whole = join(folder, "whole.npy");
  const y = await pool.create(whole, "float32", layerCase.shape, { storedAs: "bfloat16", format: "raw" });
  await pool.forward(layer, tensor, { out: y });
  await y.commit();
  const { job, output } = place();
  await planJob(
    layer,
    { ...x, as: "float32" },
    { path: output, format: "raw", storedAs: "bfloat16" },
    { folder: job, parts: 4 },
  );
  expectBytes(await resultOf(pools, job, output), readFileSync(whole));
});

test("moments of sets are those of pool.momentsOf", async () => {
  const layerCase = batchNormCase([40_001, 7]);
  const layer = layerFor(layerCase, "float32");
  const cells = inputOf(layerCase, "float32");
  const [pool] = pools as [NormPool, ...NormPool[]];
  const { count, mean, m2 } = await pool.momentsOf(layer, pool.from(cells as Float32Array, layerCase.shape));
  const { job, output } = place();
  await planMomentsJob(layer, writeRaw(X, "float32", layerCase.shape, cells), output, { folder: job, parts: 5 });
  expect(await runAllParts(pools, job)).toEqual(["moments"]);
  await finishJob(job);
  const { count: counted, mean: means, m2: squares } = await readSafetensors(output);
  expect(counted?.data).toEqual(BigInt64Array.of(BigInt(count)));
  expect(means?.data).toEqual(mean);
  expect(squares?.data).toEqual(m2);
});

describe("fit", () => {
  const shapes = [
    [900, 33],
    [1, 33],
    [20_001, 33],
  ] as const;
  const cellsOf = (shape: readonly number[], i: number) =>
    inputOf({ ...batchNormCase([...shape]), shape }, "float32", 20 + i) as Float32Array;

  test.each([1, 5, 64])("over several files by %i parts it has the bits of StandardScaler", async (parts) => {
    const scaler = new StandardScaler();
    const [pool] = pools as [NormPool, ...NormPool[]];
    const inputs = [];
    for (const [i, shape] of shapes.entries()) {
      const cells = cellsOf(shape, i);
      // A channel with NaN in one of the files.
      if (i === 2) cells[40 * 33 + 5] = Number.NaN;
      await scaler.partialFit(pool, pool.from(cells, shape));
      inputs.push(writeRaw(join(folder, `fit-${i}.raw`), "float32", shape, cells));
    }
    const { job, output } = place();
    await planFitJob(inputs, output, { folder: job, parts });
    expect(await runAllParts(pools, job, parts)).toEqual(["moments"]);
    await finishJob(job);
    const found = await readSafetensors(output);
    const expected = scaler.stateDict();
    expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, { data }] of Object.entries(expected)) expect(found[name]?.data, name).toEqual(data);
  });
});
