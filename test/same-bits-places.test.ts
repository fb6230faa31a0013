// The bits of a result are the same wherever the tensors are: in the pool's memory, on the caller's, in files.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "vitest";
import type { Dtype } from "../src/index.js";
import {
  backward,
  closeThreads,
  expectSameBytes,
  forward,
  ON_THREADS,
  onCallingThread,
  sumsOfPart,
} from "./every-way.js";
import { inFiles, onSharedMemory } from "./places.js";
import { CASES, inputOf, layerFor, momentsOfBatch, PARTS } from "./same-bits-cases.js";

const DTYPES = ["float32", "float64", "float16", "bfloat16", "uint8"] as const satisfies readonly Dtype[];

const folder = mkdtempSync(join(tmpdir(), "normpool-places-"));
afterAll(async () => {
  await closeThreads();
  rmSync(folder, { recursive: true });
});

const PLACES = [
  ["shared memory", onSharedMemory],
  ["files", inFiles(folder, "npy")],
] as const;

const all = [
  ...CASES.map(([why, layerCase]) => [why, layerCase.name, layerCase, false] as const),
  ...PARTS.map(([why, layerCase]) => [why, layerCase.name, layerCase, true] as const),
];

describe.each(DTYPES)("%s: wherever tensors are, the bits are those of the pool's memory", (dtype) => {
  test.each(all)("%s: %s, forward", async (_, _name, layerCase, isPart) => {
    const moments = isPart ? momentsOfBatch(layerCase) : undefined;
    const call = { layerCase, layer: layerFor(layerCase, dtype), dtype, x: inputOf(layerCase, dtype), moments };
    const { bits } = await forward({ ...call, on: onCallingThread });
    for (const [where, place] of PLACES) {
      for (const [what, on] of ON_THREADS) {
        expectSameBytes((await forward({ ...call, on, place })).bits, bits, `${where}, ${what}`);
      }
      if (dtype === "uint8") continue; // Its results are float32: there is no place for them.
      const [what, on] = ON_THREADS[1] as (typeof ON_THREADS)[number];
      expectSameBytes((await forward({ ...call, on, place, inPlace: true })).bits, bits, `${where}, ${what}, in place`);
    }
  });

  test.skipIf(dtype === "uint8").each(all)("%s: %s, backward", async (_, _name, layerCase, isPart) => {
    const moments = isPart ? momentsOfBatch(layerCase) : undefined;
    const [x, g] = [inputOf(layerCase, dtype), inputOf(layerCase, dtype, 12)];
    const call = { layerCase, layer: layerFor(layerCase, dtype), dtype, x, g };
    const run =
      moments === undefined
        ? backward
        : (on: typeof call & Parameters<typeof backward>[0]) => sumsOfPart({ ...on, moments });
    const expected = await run({ ...call, on: onCallingThread });
    const [what, on] = ON_THREADS[1] as (typeof ON_THREADS)[number];
    for (const [where, place] of PLACES) {
      expectSameBytes(await run({ ...call, on, place }), expected, `${where}, ${what}`);
      if (isPart) continue;
      expectSameBytes(await run({ ...call, on, place, over: "g" }), expected, `${where}, ${what}, in place`);
    }
  });
});
