// A call gives back all that it holds, however it ends: memory, stages, pins, what drivers opened. Each way to fail is forced.
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { backward, gradientSums } from "../src/calls/backward.js";
import { forward } from "../src/calls/forward.js";
import { momentsOf } from "../src/calls/moments-of.js";
import { BatchNorm1d, type Layer, LayerNorm, type Progress, SyncBatchNorm, type Tensor } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { Executor } from "../src/run/executor.js";
import { drive } from "../src/run/steps.js";
import { addDrivers } from "../workers/drivers/drivers.js";
import { FAILING_DRIVER, type FailingStep, FailingTensor } from "./failing-driver.js";
import { normal } from "./support.js";

await addDrivers(FAILING_DRIVER);

const SHAPE = [300, 1000];
const arena = new Arena();
const options = { modules: [FAILING_DRIVER] };
const PLACES = {
  "the calling thread": new Executor(1, arena, { ...options, placer: () => "calling thread" }),
  "the calling thread and workers": new Executor(2, arena, { ...options, placer: () => "shared" }),
  workers: new Executor(2, arena, { ...options, placer: () => "workers" }),
} as const;
afterAll(() => Promise.all(Object.values(PLACES).map((executor) => executor.close())));

interface Tensors {
  readonly x: FailingTensor;
  readonly g: FailingTensor;
  readonly y: FailingTensor;
}

let tensors: Tensors;
beforeEach(() => {
  const make = (seed: number) => {
    const failing = new FailingTensor("float32", SHAPE);
    (failing.tensor as Tensor<"float32">).data.set(normal(failing.tensor.size, seed, 3));
    return failing;
  };
  tensors = { x: make(1), g: make(2), y: make(3) };
});

type Run = (on: Executor, of: Tensors, more?: object) => Promise<unknown>;

/** Every call, with all the tensors that it takes. */
const CALLS: Readonly<Record<string, { readonly roles: readonly (keyof Tensors)[]; readonly run: Run }>> = {
  "forward of one phase": {
    roles: ["x", "y"],
    run: async (on, { x, y }, more) => forward(on, new LayerNorm(1000), x.tensor, { out: y.tensor, ...more }),
  },
  "forward of two phases": {
    roles: ["x", "y"],
    run: async (on, { x, y }, more) => forward(on, new BatchNorm1d(1000), x.tensor, { out: y.tensor, ...more }),
  },
  backward: {
    roles: ["x", "g", "y"],
    run: async (on, { x, g, y }, more) => {
      const given = { input: x.tensor, gradOutput: g.tensor, out: y.tensor, ...more };
      return drive(backward(on, new BatchNorm1d(1000), given));
    },
  },
  momentsOf: {
    roles: ["x"],
    run: async (on, { x }, more) => drive(momentsOf(on, new BatchNorm1d(1000), x.tensor, more)),
  },
  gradientSums: {
    roles: ["x", "g"],
    run: async (on, { x, g }, more) => {
      const moments = { count: 300, mean: new Float64Array(1000), m2: new Float64Array(1000).fill(300) };
      const given = { input: x.tensor, gradOutput: g.tensor, moments, ...more };
      return drive(gradientSums(on, new SyncBatchNorm(1000), given));
    },
  },
};

function expectNothingHeld(inUse: number): void {
  expect(arena.inUse).toBe(inUse);
  for (const failing of Object.values(tensors)) expect(failing.open).toBe(0);
}

const named = Object.entries(CALLS).map(([name, call]) => ({ name, ...call }));
const places = Object.entries(PLACES).map(([place, executor]) => ({ place, executor }));

describe.each(places)("on $place", ({ executor }) => {
  describe.each(named)("$name", ({ roles, run }) => {
    test("gives everything back when it succeeds", async () => {
      const before = arena.inUse;
      await run(executor, tensors);
      expectNothingHeld(before);
    });

    const steps = (["open", "load", "close"] as const).flatMap((step) => roles.map((role) => [step, role] as const));
    const stores = roles.includes("y") ? ([["store", "y"]] as const) : [];
    // Nothing is loaded of what is only written.
    const all = [...steps, ...stores].filter(([step, role]) => step !== "load" || role !== "y");
    test.each(all)("gives everything back when %s of %s fails", async (step: FailingStep, role: keyof Tensors) => {
      const before = arena.inUse;
      tensors[role].fail(step);
      await expect(run(executor, tensors)).rejects.toThrow(`told to fail at ${step}`);
      expectNothingHeld(before);
      tensors[role].fail(step, 1000);
      await run(executor, tensors);
      expectNothingHeld(before);
    });

    test("gives everything back when a later slice fails", async () => {
      const before = arena.inUse;
      tensors.x.fail("load", 1);
      await expect(run(executor, tensors)).rejects.toThrow("told to fail at load");
      expectNothingHeld(before);
    });

    test("gives everything back when its signal has fired, and what it pinned is released with it", async () => {
      const before = arena.inUse;
      const controller = new AbortController();
      const running = run(executor, tensors, { signal: controller.signal });
      controller.abort();
      await running.catch((error: unknown) => expect(error).toMatchObject({ name: "AbortError" }));
      expectNothingHeld(before);
      for (const { tensor } of Object.values(tensors)) tensor.dispose();
    });
  });

  test.each([
    ["onMoments", "forward of one phase", new LayerNorm(1000)],
    ["onMoments", "forward of two phases", new BatchNorm1d(1000)],
  ] as const)("what %s throws fails the %s, and leaves the layer as it was", async (callback, _, layer) => {
    const before = arena.inUse;
    const boom = new Error("boom");
    const throwing = () => {
      throw boom;
    };
    const call = async (given: object) => forward(executor, layer as Layer, tensors.x.tensor, given);
    await expect(call({ [callback]: throwing })).rejects.toBe(boom);
    // The result that it made is given back too.
    expectNothingHeld(before);
    expect((layer as { numBatchesTracked?: number }).numBatchesTracked ?? 0).toBe(0);
  });
});

test("what onProgress throws fails the call, which gives everything back", async () => {
  const before = arena.inUse;
  const boom = new Error("boom");
  const onProgress = (_: Progress) => {
    throw boom;
  };
  const call = async () => forward(PLACES.workers, new BatchNorm1d(1000), tensors.x.tensor, { onProgress });
  await expect(call()).rejects.toBe(boom);
  expectNothingHeld(before);
});

test("calls at once share their stages, and the last one gives them back", async () => {
  const before = arena.inUse;
  const calls = Array.from({ length: 8 }, async () => {
    const moments = await drive(momentsOf(PLACES.workers, new BatchNorm1d(1000), tensors.x.tensor, undefined));
    return moments.count;
  });
  const atOnce = arena.inUse - before;
  expect(await Promise.all(calls)).toEqual(Array.from({ length: 8 }, () => 300));
  expectNothingHeld(before);
  const alone = drive(momentsOf(PLACES.workers, new BatchNorm1d(1000), tensors.x.tensor, undefined));
  const one = arena.inUse - before;
  await alone;
  // Each has its own partials and moments; stages are most of what one takes.
  expect(atOnce).toBeLessThan(2 * one);
});
