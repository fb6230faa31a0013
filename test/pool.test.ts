// What a pool promises about calls: errors before any work, abort, progress, many at once, close, exit.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Worker } from "node:worker_threads";
import { afterAll, describe, expect, test } from "vitest";
import {
  AbortedError,
  BatchNorm1d,
  InvalidArgumentError,
  InvalidShapeError,
  LayerNorm,
  NormPool,
  PoolClosedError,
  type Progress,
  type Tensor,
  UnsupportedDtypeError,
  WorkerFailedError,
} from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { threadsOf } from "../src/run/executor.js";
import { Queue } from "../src/run/queue.js";
import { phaseJob } from "./jobs.js";
import { layerNorm } from "./reference.js";
import { expectSameBits, expectWithinUlps, normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

/** Large enough to be left to the workers. */
const LARGE = [1200, 1024];

describe("arguments", () => {
  test.each([
    [0, "NormPool: expected a positive safe integer for threads but got 0"],
    [1.5, "NormPool: expected a positive safe integer for threads but got 1.5"],
    [Number.NaN, "NormPool: expected a positive safe integer for threads but got NaN"],
    [256, "NormPool: expected at most 255 for threads but got 256"],
    ["2", 'NormPool: expected a positive safe integer for threads but got "2"'],
  ])("threads: %s", (threads, message) => {
    expect(() => new NormPool({ threads: threads as number })).toThrow(message);
  });

  test("an unknown option is named", () => {
    expect(() => new NormPool({ thread: 2 } as object)).toThrow(
      'NormPool: expected only threads, maxMemory, maxQueue, fallback, sliceTimeout for options but got "thread"',
    );
  });

  test("pool.tensor", () => {
    expect(() => pool.tensor("int8" as "float32", [2])).toThrow(UnsupportedDtypeError);
    expect(() => pool.tensor("float32", [2, -1])).toThrow("a shape of non-negative safe integers but got [2, -1]");
    expect(() => pool.tensor("float32", [2.5])).toThrow(InvalidShapeError);
    expect(() => pool.tensor("float32", 5 as unknown as number[])).toThrow(InvalidShapeError);
    expect(() => pool.tensor("float32", [2 ** 30, 2 ** 30])).toThrow("whose product is a safe integer");
    expect(() => pool.tensor("float32", [2 ** 40])).toThrow(/asked for 4398046511104 bytes/);
    expect(pool.tensor("float32", []).data.length).toBe(1);
  });

  test("pool.from copies, and refuses what does not fit", () => {
    const array = new Float32Array([1, 2, 3, 4]);
    const x = pool.from(array, [2, 2]);
    array[0] = 9;
    expect([...x.data]).toEqual([1, 2, 3, 4]);
    expect(x.data.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(() => pool.from(array, [3])).toThrow("pool.from: expected 3 elements for shape [3] but got 4");
    expect(() => pool.from(new Int32Array(4) as unknown as Float32Array)).toThrow(UnsupportedDtypeError);
    expect(() => pool.from(new Uint16Array(4))).toThrow("float16 or bfloat16 for a Uint16Array");
    expect(() => pool.from(array, [4], "float64" as never)).toThrow(UnsupportedDtypeError);
    expect(() => pool.from([1, 2] as unknown as Float32Array)).toThrow(UnsupportedDtypeError);
  });

  test("pool.forward refuses before it writes", async () => {
    const x = pool.from(normal(6, 1), [2, 3]);
    const layer = new LayerNorm(3);
    const out = pool.tensor("float32", [3, 2]);
    await expect(pool.forward(layer, x, { out })).rejects.toThrow(
      "expected out of the input's shape [2, 3] but got [3, 2]",
    );
    await expect(pool.forward(layer, {} as Tensor<"float32">)).rejects.toThrow(InvalidArgumentError);
    await expect(pool.forward({} as LayerNorm, x)).rejects.toThrow("pool.forward: expected a layer for layer");
    await expect(pool.forward(layer, x, { inPlace: true } as object)).rejects.toThrow('but got "inPlace"');
    await expect(pool.forward(layer, x, { onProgress: 1 as never })).rejects.toThrow(
      "a function for onProgress but got 1",
    );
    await expect(pool.forward(layer, x, { signal: {} as AbortSignal })).rejects.toThrow("an AbortSignal for signal");
    await expect(pool.forward(new LayerNorm(4), x, { out: x })).rejects.toThrow(InvalidShapeError);
    expectSameBits(x.data, normal(6, 1));
  });
});

describe("a call on the workers", () => {
  test("reports progress up to all slices done", async () => {
    const seen: Progress[] = [];
    const x = pool.from(normal(1200 * 1024, 1), LARGE);
    await pool.forward(new BatchNorm1d(1024), x, { onProgress: (progress) => seen.push(progress) });
    const last = seen.at(-1);
    expect(last?.phase).toBe("apply");
    expect(last?.done).toBe(last?.total);
    expect(seen.some(({ phase }) => phase === "moments")).toBe(true);
    for (let i = 1; i < seen.length; i++) expect(seen[i]?.done).toBeGreaterThanOrEqual(seen[i - 1]?.done as number);
  });

  test("stops when its signal fires, leaves no running statistics, and the pool goes on", async () => {
    const fresh = new NormPool({ threads: 2 });
    const x = fresh.tensor("float32", [40_000, 1024]);
    const layer = new BatchNorm1d(1024);
    const controller = new AbortController();
    const reason = new Error("enough");
    // The threads have not even started when the signal fires, so no slice can be finished before it.
    const running = fresh.forward(layer, x, { out: x, signal: controller.signal });
    controller.abort(reason);
    const error: unknown = await running.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AbortedError);
    expect(error).toMatchObject({ name: "AbortError", code: "aborted", cause: reason });
    expect(layer.numBatchesTracked).toBe(0);
    expect(layer.runningMean?.every((mean) => mean === 0)).toBe(true);
    const small = fresh.from(normal(1200 * 1024, 2), LARGE);
    const y = await fresh.forward(new LayerNorm(1024), small);
    expectWithinUlps(y.data, layerNorm(small.data, [1024]).y, 2);
    await fresh.close();
  });

  test("a signal that fires in the last progress report of a phase stops the next before its first slice", async () => {
    const x = pool.from(normal(1200 * 1024, 1), LARGE);
    const out = pool.tensor("float32", LARGE);
    const controller = new AbortController();
    const reports: Partial<Record<Progress["phase"], number>> = {};
    const running = pool.forward(new BatchNorm1d(1024), x, {
      out,
      signal: controller.signal,
      onProgress: ({ phase }) => {
        reports[phase] = (reports[phase] ?? 0) + 1;
        if (phase === "moments") controller.abort();
      },
    });
    await expect(running).rejects.toThrow(AbortedError);
    expect(reports.moments).toBeGreaterThan(0);
    expect(reports.apply).toBe(undefined);
    expect(out.data.every((cell) => cell === 0)).toBe(true);
  });

  test("what onProgress throws is the call's rejection", async () => {
    const x = pool.from(normal(1200 * 1024, 1), LARGE);
    const boom = new Error("boom");
    const onProgress = () => {
      throw boom;
    };
    await expect(pool.forward(new LayerNorm(1024), x, { onProgress })).rejects.toBe(boom);
  });

  test("twenty calls on one signal warn of nothing and all stop", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on("warning", onWarning);
    // Its threads have not started when the signal fires, so no call can be done before.
    await using fresh = new NormPool({ threads: 2 });
    const x = fresh.from(normal(1200 * 1024, 1), LARGE);
    const controller = new AbortController();
    const { signal } = controller;
    const calls = Array.from({ length: 20 }, () => fresh.forward(new LayerNorm(1024), x, { signal }));
    controller.abort();
    for (const call of await Promise.allSettled(calls)) {
      expect(call.status === "rejected" && call.reason).toBeInstanceOf(AbortedError);
    }
    await new Promise(setImmediate);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  test("a signal that fired before is seen at once, for small tensors too", async () => {
    const x = pool.from(normal(6, 1), [2, 3]);
    await expect(pool.forward(new LayerNorm(3), x, { out: x, signal: AbortSignal.abort() })).rejects.toThrow(
      AbortedError,
    );
    expectSameBits(x.data, normal(6, 1));
  });

  test("a phase that traps in a worker is an error for its call alone", async () => {
    const arena = new Arena();
    const queue = new Queue(threadsOf(3, arena));
    const address = arena.take("test", 4 * 1024 * 1000);
    const rows = { rows: 1000, width: 1024, perSlice: 1, x: address, y: address };
    const [bad, good] = await Promise.allSettled([
      queue.run(phaseJob(queue.ticket("test"), { ...rows, x: 2 ** 31 }), {}),
      queue.run(phaseJob(queue.ticket("test"), rows), {}),
    ]);
    expect(bad.status === "rejected" && bad.reason).toBeInstanceOf(WorkerFailedError);
    expect(good.status).toBe("fulfilled");
    await queue.close();
  });

  test("a worker that exits in the middle costs its call nothing but time, and another takes its place", async () => {
    const born: Worker[] = [];
    const onWorker = (worker: Worker) => void born.push(worker);
    process.on("worker", onWorker);
    await using own = new NormPool({ threads: 2 });
    const x = own.from(normal(8192 * 1024, 1), [8192, 1024]);
    const layer = new LayerNorm(1024);
    const expected = await own.forward(layer, x);
    const running = own.forward(layer, x);
    await Promise.all(born.slice(0, 2).map((worker) => worker.terminate()));
    expectSameBits((await running).data, expected.data);
    process.off("worker", onWorker);
    expect(born.length).toBeGreaterThanOrEqual(3);
  });
});

test("many calls at once, large and small, each get their own result", async () => {
  const inputs = Array.from({ length: 40 }, (_, i) => ({ rows: i % 6 === 0 ? 1200 : i % 3 === 0 ? 300 : 3, seed: i }));
  const results = await Promise.all(
    inputs.map(async ({ rows, seed }) => {
      const data = normal(rows * 1024, seed, seed);
      using x = pool.from(data, [rows, 1024]);
      using y = await pool.forward(new LayerNorm(1024), x);
      return { data, y: y.data.slice() };
    }),
  );
  for (const { data, y } of results) expectWithinUlps(y, layerNorm(data, [1024]).y, 2);
});

describe("close", () => {
  test("waits for what runs, refuses what comes after, and leaves tensors readable", async () => {
    const own = new NormPool({ threads: 2 });
    const x = own.from(normal(1200 * 1024, 1), LARGE);
    const running = own.forward(new LayerNorm(1024), x);
    const closing = own.close();
    await expect(own.forward(new LayerNorm(1024), x)).rejects.toThrow(PoolClosedError);
    expect(() => own.tensor("float32", [1])).toThrow("pool.tensor: expected an open pool but it is closed");
    expectWithinUlps((await running).data, layerNorm(x.data, [1024]).y, 2);
    await closing;
    expect(own.close()).toBe(own.close());
    expect(x.data[0]).toBe(normal(1, 1)[0]);
  });

  test("a process that forgets to close exits by itself", async () => {
    const url = new URL("../src/index.js", import.meta.url).href;
    const script = `
      import { LayerNorm, NormPool } from ${JSON.stringify(url)};
      const pool = new NormPool({ threads: 2 });
      const y = await pool.forward(new LayerNorm(1024), pool.tensor("float32", [1200, 1024]));
      console.log(y.data[0]);
    `;
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { timeout: 55_000 });
    expect((await run).stdout).toBe("0\n");
  });
});

test("pool.moments has count, mean and M2 of all cells", async () => {
  for (const length of [1, 1000, 16_385, 700_001]) {
    const data = normal(length, length, 5, 2);
    const { count, mean, m2 } = await pool.moments(pool.from(data));
    const reference = layerNorm(data, [length]);
    expect(count).toBe(length);
    expect(Math.abs(mean - (reference.mean[0] as number))).toBeLessThan(1e-7);
    expect(Math.abs(m2 / count - (reference.variance[0] as number))).toBeLessThan(1e-7 * 4);
  }
  expect(await pool.moments(pool.tensor("float32", [0]))).toEqual({ count: 0, mean: 0, m2: 0 });
});
