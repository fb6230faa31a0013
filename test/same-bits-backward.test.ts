// The bits of a gradient are a function of the tensors, as those of a result are (same-bits.test.ts): not of threads, slices, their order,
// of where the input's gradient goes, nor of whether the forward pass saved its moments.
import { afterAll, describe, expect, test } from "vitest";
import type { Dtype } from "../src/index.js";
import {
  backward,
  closeThreads,
  expectSameBytes,
  forward,
  onCallingThread,
  onStripes,
  type PhaseName,
  type Seen,
  sumsOfPart,
  WAYS,
  watched,
} from "./every-way.js";
import { type LayerCase, layerNormCase } from "./layer-cases.js";
import { CASES, inputOf, layerFor, momentsOfBatch, PARTS } from "./same-bits-cases.js";

const DTYPES = ["float32", "float64", "float16", "bfloat16"] as const satisfies readonly Dtype[];

/** Every phase that there is, and whether it is of the backward pass. One that is new does not compile before it is here. */
const OF_BACKWARD: Readonly<Record<PhaseName, boolean>> = {
  normalize: false,
  "moments stretches": true,
  "moments runs": true,
  "moments columns": true,
  "apply stretches": false,
  "apply cells": false,
  "apply columns": false,
  "reduce stretches": true,
  "reduce runs": true,
  "reduce columns": true,
  sumRows: true,
  accumulate: true,
  "propagate stretches": true,
  "propagate cells": true,
  "propagate columns": true,
  differentiate: true,
  response: true,
};

/** For where the gradients go and whether there are moments, which is the kernels' matter more than the threads'. */
const SOME_WAYS = [["the calling thread", onCallingThread] as const, ...WAYS.slice(2, 3)];

afterAll(closeThreads);

/** The gradients' cells are near 3 as the input's are: that no mean of theirs is 0 gives every term something to say. */
function callOf(layerCase: LayerCase, dtype: Dtype) {
  const [x, g] = [inputOf(layerCase, dtype), inputOf(layerCase, dtype, 12)];
  return { layerCase, layer: layerFor(layerCase, dtype), dtype, x, g };
}

const named = (cases: typeof CASES) => cases.map(([why, layerCase]) => [why, layerCase.name, layerCase] as const);

describe.each(DTYPES)("%s: in every way the bits are those of the calling thread", (dtype) => {
  test.each(named(CASES))("%s: %s", async (_, _name, layerCase) => {
    const call = callOf(layerCase, dtype);
    const expected = await backward({ ...call, on: onCallingThread });
    const { moments } = await forward({ ...call, on: onCallingThread });
    for (const [what, on] of WAYS) expectSameBytes(await backward({ ...call, on }), expected, what);
    for (const [what, on] of SOME_WAYS) {
      expectSameBytes(await backward({ ...call, on, over: "g" }), expected, `${what}, over gradOutput`);
      expectSameBytes(await backward({ ...call, on, over: "x" }), expected, `${what}, over the input`);
      if (moments === undefined) continue; // Running statistics, or no statistics at all.
      const saved = await backward({ ...call, on, moments, over: "g" });
      expectSameBytes(saved, expected, `${what}, with saved moments, over gradOutput`);
    }
  });

  test("wide rows, whose sums by cell go on from stripe to stripe", async () => {
    const call = callOf(layerNormCase([40], [17_000]), dtype);
    const expected = await backward({ ...call, on: onCallingThread });
    // Blocks are of 10 rows: stripes of 4, 4 and 2, each with moments of its own; or of 6 and 4.
    for (const bytes of [300, 400])
      expectSameBytes(await backward({ ...call, on: onStripes(bytes) }), expected, `${bytes}`);
  });

  test("many rows, whose sums by cell go on from stripe to stripe within a block", async () => {
    const call = callOf(layerNormCase([2500], [300]), dtype);
    const { moments } = await forward({ ...call, on: onCallingThread });
    const expected = await backward({ ...call, on: onCallingThread });
    // Blocks are of 55 rows, and stripes of 20 of them, or of 8: float32's are added by four.
    for (const bytes of [340, 140])
      expectSameBytes(await backward({ ...call, on: onStripes(bytes), moments }), expected, `${bytes}`);
  });

  test.each(named(PARTS))("%s: %s", async (_, _name, layerCase) => {
    const moments = momentsOfBatch(layerCase);
    const { count, mean, m2 } = moments;
    const call = { ...callOf(layerCase, dtype), moments, sums: { count, sumDy: mean, sumDyXmu: m2 } };
    const expected = await backward({ ...call, on: onCallingThread });
    const expectedSums = await sumsOfPart({ ...call, on: onCallingThread });
    for (const [what, on] of WAYS) {
      expectSameBytes(await sumsOfPart({ ...call, on }), expectedSums, `${what}, the sums`);
      expectSameBytes(await backward({ ...call, on }), expected, what);
    }
    for (const [what, on] of SOME_WAYS) {
      expectSameBytes(await backward({ ...call, on, over: "g" }), expected, `${what}, over gradOutput`);
      expectSameBytes(await backward({ ...call, on, over: "x" }), expected, `${what}, over the input`);
    }
  });

  test("every phase of the backward pass is among these, in each layout and in several slices", async () => {
    const seen: Seen = new Map();
    for (const [, layerCase] of CASES) await backward({ ...callOf(layerCase, dtype), on: watched(seen) });
    const expected = Object.entries(OF_BACKWARD).filter(([, isBackward]) => isBackward);
    expect([...seen.keys()].sort()).toEqual(expected.map(([name]) => name).sort());
    for (const [name, slices] of seen) expect(slices, name).toBeGreaterThanOrEqual(4);
  });
});
