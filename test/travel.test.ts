// A plan is plain data: it goes through JSON and is the same, and runs, with the same bits. Also when it is a stripe's.
import { afterAll, describe, expect, test } from "vitest";
import type { Dtype, Layer } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { planBackward } from "../src/plan/backward.js";
import { planForward } from "../src/plan/forward.js";
import { cellsPerSet, type Geometry } from "../src/plan/geometry.js";
import { planMoments, planSums } from "../src/plan/moments.js";
import { PLAN_VERSION, type Plan } from "../src/plan/plan.js";
import { planResponse } from "../src/plan/response.js";
import { stripesOf } from "../src/plan/stripes.js";
import { type Call, NO_INPUTS } from "../src/run/call.js";
import { Executor } from "../src/run/executor.js";
import { runCall } from "../src/run/run-call.js";
import { drive } from "../src/run/steps.js";
import { bytesOf } from "./cells.js";
import { CASES, inputOf, layerFor } from "./same-bits-cases.js";

const executor = new Executor(2, new Arena(), { placer: () => "workers" });
afterAll(() => executor.close());

const DTYPE: Dtype = "float32";

function travelled<T>(data: T): T {
  return JSON.parse(JSON.stringify(data)) as T;
}

/** What a layer's forward and backward calls, and those of its moments and sums, are planned as. */
function plansOf(layer: Layer, shape: readonly number[], channelAxis: number | undefined) {
  const computation = layer.prepare(shape, { dtype: DTYPE, channelAxis, partOfBatch: false });
  if (computation.kind === "response") {
    return [false, true].map((backward) => {
      const plan = planResponse(computation, DTYPE, backward);
      return { plan, planPart: () => plan };
    });
  }
  const { geometry, eps, measure, running, affineRows: rows = false } = computation;
  const own = { dtype: DTYPE, eps, measure, statistics: running === null ? "own" : "running" } as const;
  const forward = { ...own, affine: rows ? "row" : "channel", wanted: running === null } as const;
  const backward = { ...own, parameters: true, rows, weighted: true, givenSums: false };
  const planners = [
    (part?: Geometry) => planForward(geometry, forward, part),
    (part?: Geometry) => planBackward(geometry, backward, part),
    (part?: Geometry) => planMoments(geometry, own, part),
    (part?: Geometry) => planSums(geometry, own, part),
  ];
  return planners.map((planPart) => ({ plan: planPart(), planPart }));
}

describe.each(CASES.map(([why, layerCase]) => ({ why, layerCase })))("$why: $layerCase.name", ({ layerCase }) => {
  const layer = layerFor(layerCase, DTYPE);
  const plans = plansOf(layer, layerCase.shape, layerCase.channelAxis);

  test("its plans, and those of its stripes, are the same after JSON, and say their version", () => {
    for (const { plan, planPart } of plans) {
      expect(travelled(plan)).toEqual(plan);
      expect(plan.version).toBe(PLAN_VERSION);
      let stripes = 0;
      for (const stripe of stripesOf(plan, planPart, 100_000)) {
        if (++stripes > 20) break;
        expect(travelled(stripe)).toEqual(stripe);
      }
    }
  });

  test("a forward plan runs after JSON, with the same bits", async () => {
    const { plan } = plans[0] as { plan: Plan };
    const bits = async (own: Plan) => {
      using x = executor.allocate("test", DTYPE, layerCase.shape, false);
      using y = executor.allocate("test", DTYPE, layerCase.shape, false);
      x.data.set(inputOf(layerCase, DTYPE) as Float32Array);
      const computation = layer.prepare(layerCase.shape, {
        dtype: DTYPE,
        channelAxis: layerCase.channelAxis,
        partOfBatch: false,
      });
      const inputs = computation.kind === "normalization" ? { ...NO_INPUTS, ...affineOf(computation) } : NO_INPUTS;
      const call: Call<Uint8Array> = {
        operation: "test",
        plan: own,
        planPart: () => own,
        x,
        g: null,
        y,
        owned: false,
        inPlaceSafe: false,
        inputs,
        found: {},
        watchers: {},
        finish: () => bytesOf(y.data),
      };
      return await drive(runCall(executor, call));
    };
    expect(Buffer.compare(await bits(travelled(plan)), await bits(plan))).toBe(0);
  });
});

function affineOf({
  weight,
  bias,
  running,
  geometry,
}: Extract<ReturnType<Layer["prepare"]>, { kind: "normalization" }>) {
  // A layer without weights counts as one of ones and zeros.
  const entries = geometry.g * geometry.k;
  expect(cellsPerSet(geometry)).toBeGreaterThan(0);
  return {
    weight: weight ?? new Float32Array(entries).fill(1),
    bias: bias ?? new Float32Array(entries),
    running,
  };
}
