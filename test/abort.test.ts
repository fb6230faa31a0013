// A signal that fires in the middle of a call: no more is computed than what was begun, no thread is lost, and the pool goes on. Not by the clock:
// a thread is held in the middle, the signal fires, and what is computed after it is counted.
import { afterAll, describe, expect, test } from "vitest";
import { backward } from "../src/calls/backward.js";
import { forward } from "../src/calls/forward.js";
import { AbortedError, type Dtype, LocalResponseNorm, type Tensor } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { CELL_BYTES } from "../src/plan/cells.js";
import { Executor, type Jobs } from "../src/run/executor.js";
import { type Crew, Queue } from "../src/run/queue.js";
import { drive } from "../src/run/steps.js";
import type { Job } from "../src/run/work.js";
import { DTYPES } from "../src/tensor/dtype.js";
import { holdingOf } from "../src/tensor/sources.js";
import { Tensor as TensorClass } from "../src/tensor/tensor.js";
import { ALL_RESPONSE_STEPS } from "../workers/arithmetic.js";
import { instantiate, kernelModule } from "../workers/kernels.js";
import { responseBytes } from "../workers/scratch.js";
import { bytesOf, normalCells } from "./cells.js";
import { HOLDING, Hold } from "./holding.js";
import {
  batchNormCase,
  groupNormCase,
  instanceNormCase,
  type LayerCase,
  layerNormCase,
  localResponseNormCase,
  rmsNormCase,
  unitNormCase,
} from "./layer-cases.js";
import { inputOf, layerFor } from "./same-bits-cases.js";

const arena = new Arena();
const hold = new Hold();
const THREADS = 2;
const workers = new Executor(THREADS, arena, { placer: () => "workers", modules: [HOLDING] });
afterAll(() => workers.close());

const LONG_UNITS = localResponseNormCase(5, [1, 100_000, 2]);
const CASES: readonly LayerCase[] = [
  layerNormCase([1200], [1024]),
  layerNormCase([2], [600_001]),
  rmsNormCase([1200], [1024]),
  unitNormCase([1200], [1024]),
  groupNormCase(4, [5, 8, 300, 100]),
  instanceNormCase([4, 8, 200, 200]),
  batchNormCase([8, 8, 200, 200]),
  batchNormCase([3000, 400]),
  localResponseNormCase(5, [5, 20, 100, 100]),
  LONG_UNITS,
];

interface Way {
  readonly dtype: Dtype;
  readonly direction: "forward" | "backward";
  readonly wrapped?: boolean;
  readonly safe?: boolean;
}

const WAYS: readonly Way[] = [
  { dtype: "float32", direction: "forward" },
  { dtype: "float32", direction: "backward" },
  { dtype: "float16", direction: "forward" },
  { dtype: "float32", direction: "forward", wrapped: true },
  { dtype: "bfloat16", direction: "backward", wrapped: true },
  { dtype: "float64", direction: "backward", safe: true },
];

function tensorOf({ shape }: LayerCase, dtype: Dtype, wrapped: boolean): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  if (!wrapped) return workers.allocate("test", dtype, shape, false);
  const data = DTYPES[dtype].view(new SharedArrayBuffer(size * CELL_BYTES[dtype]), 0, size);
  return new TensorClass(holdingOf(data), dtype, shape);
}

/** A call's results; `begun` is told the call, which has started. */
async function callOf(
  on: Executor,
  layerCase: LayerCase,
  { dtype, direction, wrapped = false, safe = false }: Way,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const x = tensorOf(layerCase, dtype, wrapped);
  const y = safe ? x : tensorOf(layerCase, dtype, wrapped);
  const cells = inputOf(layerCase, dtype);
  new Uint8Array(x.data.buffer, x.data.byteOffset, x.data.byteLength).set(bytesOf(cells));
  const options = { out: y, signal, inPlaceSafe: safe, channelAxis: layerCase.channelAxis };
  const layer = layerFor(layerCase, dtype);
  try {
    if (direction === "forward") await forward(on, layer, x, options);
    else await drive(backward(on, layer, { ...options, input: x, gradOutput: x }));
    return bytesOf(y.data);
  } finally {
    x.dispose();
    y.dispose();
  }
}

describe.each(CASES.map((layerCase) => ({ name: layerCase.name, layerCase })))("$name", ({ layerCase }) => {
  test("stops on the workers, in the kernels that were begun, whatever the call; and the next has its bits", async () => {
    for (const way of WAYS) {
      const what = JSON.stringify(way);
      hold.begin(0);
      const expected = await callOf(workers, layerCase, way);
      const kernels = hold.kernels;
      const inUse = arena.inUse;
      const at = Math.ceil(kernels / 3);
      hold.begin(at);
      const controller = new AbortController();
      const running = callOf(workers, layerCase, way, controller.signal);
      await hold.held();
      controller.abort();
      const begun = hold.kernels;
      hold.release();
      await expect(running, what).rejects.toThrow(AbortedError);
      expect(hold.kernels - begun, what).toBeLessThan(THREADS);
      // There would have been more, had the other thread not done all meanwhile.
      expect(hold.kernels, what).toBeLessThanOrEqual(kernels);
      expect(arena.inUse, what).toBe(inUse);
      hold.begin(0);
      expect(Buffer.compare(await callOf(workers, layerCase, way), expected), what).toBe(0);
    }
    expect(workers.jobs.stats).toMatchObject({ threadsLost: 0, slicesLost: 0, running: 0, waiting: 0 });
  });

  test("stops on the calling thread, where there are no workers, after the slice that was begun", async () => {
    const none: Crew = {
      count: 2,
      alive: 0,
      lost: 0,
      post: async () => ({ kind: "died", error: new Error("none"), ready: false }),
      end: () => {},
      close: async () => {},
    };
    const queue = new Queue(none);
    let slices = 0;
    let controller = new AbortController();
    const jobs: Jobs = {
      ticket: (operation) => queue.ticket(operation),
      leave: () => queue.leave(),
      stop: (errorOf) => queue.stop(errorOf),
      share: (job) => queue.share(job),
      close: () => queue.close(),
      get stats() {
        return queue.stats;
      },
      run: (job: Job, options) => {
        const claim: Job["claim"] = (...args) => {
          if (++slices === 2) controller.abort();
          job.claim(...args);
        };
        return queue.run({ ...job, claim }, options);
      },
    };
    const here = new Executor(2, arena, { placer: () => "workers", jobs });
    for (const way of WAYS) {
      controller = new AbortController();
      slices = 0;
      await expect(callOf(here, layerCase, way, controller.signal)).rejects.toThrow(AbortedError);
      expect(slices, JSON.stringify(way)).toBe(2);
      controller = new AbortController();
      const found = await callOf(here, layerCase, way);
      hold.begin(0);
      expect(Buffer.compare(found, await callOf(workers, layerCase, way)), JSON.stringify(way)).toBe(0);
    }
    await here.close();
  });
});

test("a slice of LocalResponseNorm is left in the middle of a unit of many channels", async () => {
  hold.begin(0);
  await callOf(workers, LONG_UNITS, { dtype: "float32", direction: "backward" });
  // Two units, of which each is a slice: a slice has many kernels.
  expect(hold.kernels).toBeGreaterThan(20);
});

test.each([5, 101])("a unit of many channels has the same bits in pieces, of windows of %i", async (size) => {
  const shape = [1, 70_001, 2];
  const kernels = instantiate(kernelModule(), arena.memory, 0);
  const layer = new LocalResponseNorm(size, { alpha: 0.3 });
  const cells = normalCells("float32", 140_002, 4, 1) as Float32Array;
  using x = workers.allocate("test", "float32", shape, false);
  using whole = workers.allocate("test", "float32", shape, false);
  x.data.set(cells);
  const bytes = responseBytes(4 * 70_001 + 3, 1);
  const scratch = arena.take("test", bytes);
  kernels.setCells("float32", scratch);
  const [before, after] = [Math.floor(size / 2), Math.floor((size - 1) / 2)];
  const back = (2 * 0.3 * layer.beta) / size;
  for (const direction of ["forward", "backward"] as const) {
    const found =
      direction === "forward"
        ? await forward(workers, layer, x, undefined)
        : (await drive(backward(workers, layer, { input: x, gradOutput: x }))).gradInput;
    const g = direction === "forward" ? 0 : x.data.byteOffset;
    const { byteOffset: from } = x.data;
    const { byteOffset: to } = whole.data;
    const geometry = [70_001, 2, 1, before, after] as const;
    const all = [ALL_RESPONSE_STEPS, 0, 70_001] as const;
    kernels.float32.respond(from, g, to, 0, 2, ...geometry, 0.3 / size, layer.beta, layer.k, back, scratch, ...all);
    expect(Buffer.compare(bytesOf(found.data), bytesOf(whole.data)), direction).toBe(0);
    found.dispose();
  }
  arena.giveBack(scratch, bytes);
});
