// The bits of a result are a function of the tensor: not of threads, slices, their order, nor of where the result goes.
// Nor of stripes. Here forward; same-bits-backward.test.ts has the gradients.
import { afterAll, describe, expect, test } from "vitest";
import type { Dtype } from "../src/index.js";
import {
  closeThreads,
  expectSameBytes,
  forward,
  onCallingThread,
  type PhaseName,
  type Seen,
  WAYS,
  watched,
} from "./every-way.js";
import { CASES, inputOf, layerFor, momentsOfBatch, PARTS } from "./same-bits-cases.js";

const DTYPES = ["float32", "float64", "float16", "bfloat16", "uint8"] as const satisfies readonly Dtype[];

/** Every phase that there is, and whether it is of the forward pass. One that is new does not compile before it is here. */
const OF_FORWARD: Readonly<Record<PhaseName, boolean>> = {
  normalize: true,
  "moments stretches": true,
  "moments runs": true,
  "moments columns": true,
  "apply stretches": true,
  "apply cells": true,
  "apply columns": true,
  "reduce stretches": false,
  "reduce runs": false,
  "reduce columns": false,
  sumRows: false,
  accumulate: false,
  "propagate stretches": false,
  "propagate cells": false,
  "propagate columns": false,
  differentiate: false,
  response: true,
};

afterAll(closeThreads);

describe.each(DTYPES)(
  "%s: at any threads and slices, in place or not, the bits are those of the calling thread",
  (dtype) => {
    const all = [
      ...CASES.map(([why, layerCase]) => [why, layerCase.name, layerCase, false] as const),
      ...PARTS.map(([why, layerCase]) => [why, layerCase.name, layerCase, true] as const),
    ];
    test.each(all)("%s: %s", async (_, _name, layerCase, isPart) => {
      const moments = isPart ? momentsOfBatch(layerCase) : undefined;
      const call = { layerCase, layer: layerFor(layerCase, dtype), dtype, x: inputOf(layerCase, dtype), moments };
      const { bits } = await forward({ ...call, on: onCallingThread });
      const unasked = await forward({ ...call, on: onCallingThread, wanted: false });
      expectSameBytes({ ...bits, ...unasked.bits }, bits, "where no moments are asked for");
      for (const [what, on] of WAYS) expectSameBytes((await forward({ ...call, on })).bits, bits, what);
      if (dtype === "uint8") return; // Its results are float32: there is no place for them.
      for (const [what, on] of [["the calling thread", onCallingThread] as const, ...WAYS.slice(2, 5)]) {
        expectSameBytes((await forward({ ...call, on, inPlace: true })).bits, bits, `${what}, in place`);
      }
    });

    test("every phase of the forward pass is among these, in each layout and in several slices", async () => {
      const seen: Seen = new Map();
      for (const [, layerCase] of CASES) {
        const [layer, x] = [layerFor(layerCase, dtype), inputOf(layerCase, dtype)];
        await forward({ layerCase, layer, dtype, x, on: watched(seen) });
      }
      const expected = Object.entries(OF_FORWARD).filter(([, isForward]) => isForward);
      expect([...seen.keys()].sort()).toEqual(expected.map(([name]) => name).sort());
      for (const [name, slices] of seen) expect(slices, name).toBeGreaterThanOrEqual(4);
    });
  },
);
