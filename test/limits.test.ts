// What a pool is told to bound: its memory, its queue, the time of a call; and how it is closed while calls run, wait and start.
import type { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  LayerNorm,
  NormPool,
  type NormPoolOptions,
  OutOfMemoryError,
  PoolClosedError,
  QueueFullError,
  type Tensor,
  TimedOutError,
} from "../src/index.js";
import { bytesOf } from "./cells.js";
import { normal } from "./support.js";

const LARGE = [1200, 1024];
const layer = new LayerNorm(1024);

/** A pool with a large tensor, and what a call makes of it. */
async function poolOf(options: NormPoolOptions = {}) {
  const pool = new NormPool({ threads: 2, ...options });
  const x = pool.from(normal(1200 * 1024, 7), LARGE);
  return { pool, x, expected: bytesOf((await pool.forward(layer, x)).data) };
}

async function expectUsable(pool: NormPool, x: Tensor<"float32">, expected: Uint8Array): Promise<void> {
  expect(Buffer.compare(bytesOf((await pool.forward(layer, x)).data), expected)).toBe(0);
}

describe("maxMemory", () => {
  test("bounds tensors and what calls make, and what is given back can be had again", async () => {
    const pool = new NormPool({ threads: 2, maxMemory: 8 << 20 });
    expect(pool.stats().memoryLimit).toBeLessThanOrEqual(8 << 20);
    const x = pool.from(normal(1200 * 1024, 7), LARGE);
    expect(() => pool.tensor("float32", LARGE)).toThrow(OutOfMemoryError);
    // The result has no room.
    await expect(pool.forward(layer, x)).rejects.toThrow(OutOfMemoryError);
    await pool.forward(layer, x, { out: x });
    expect(pool.stats().memorySize).toBeLessThanOrEqual(8 << 20);
    x.dispose();
    pool.tensor("float32", LARGE).dispose();
    await pool.close();
  });
});

describe("maxQueue", () => {
  test("refuses one call more, by name, at once; small ones are no matter, and those in the queue go on", async () => {
    const { pool, x, expected } = await poolOf({ maxQueue: 3 });
    const out = () => pool.empty("float32", LARGE);
    const calls = [out(), out(), out()].map((y) => pool.forward(layer, x, { out: y }));
    const kept = out();
    kept.data.fill(9);
    // Before the event loop turns: no call of the queue can have ended yet.
    const refused = [pool.forward(layer, x, { out: kept }), pool.backward(layer, { input: x, gradOutput: x })];
    for (const { status, reason } of (await Promise.allSettled(refused)) as PromiseRejectedResult[]) {
      expect(status).toBe("rejected");
      expect(reason).toBeInstanceOf(QueueFullError);
      expect(reason).toMatchObject({ code: "queue-full" });
    }
    expect(kept.data.every((cell) => cell === 9)).toBe(true);
    await pool.forward(new LayerNorm(4), pool.tensor("float32", [2, 4]));
    for (const y of await Promise.all(calls)) expect(Buffer.compare(bytesOf(y.data), expected)).toBe(0);
    await expectUsable(pool, x, expected);
    await pool.close();
  });
});

describe("timeout", () => {
  test("ends a call that runs and one that waits, and the pool goes on", async () => {
    const { pool, x, expected } = await poolOf();
    // So large that it cannot be done in a millisecond.
    const huge = pool.tensor("float32", [20_000, 1024]);
    const running = new BatchNorm1d(1024);
    const calls = [1, 2].map(() => pool.forward(running, huge, { out: huge, timeout: 1 }));
    for (const { status, reason } of (await Promise.allSettled(calls)) as PromiseRejectedResult[]) {
      expect(status).toBe("rejected");
      expect(reason).toBeInstanceOf(TimedOutError);
      expect(reason).toMatchObject({ code: "timed-out" });
    }
    expect(running.numBatchesTracked).toBe(0);
    expect(pool.stats()).toMatchObject({ threadsLost: 0, callsRunning: 0, callsWaiting: 0, callsFailed: 2 });
    await expectUsable(pool, x, expected);
    await pool.close();
  });

  test("of a call that is done in time leaves no timer, nor does one that its signal ends", async () => {
    const { pool, x } = await poolOf();
    // So large that it cannot be done before its signal fires, although this thread may have to wait in between.
    const huge = pool.tensor("float32", [40_000, 1024]);
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const before = timers();
    await pool.forward(layer, x, { timeout: 1e9 });
    const controller = new AbortController();
    const aborted = pool.forward(layer, huge, { out: huge, timeout: 1e9, signal: controller.signal });
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: "aborted" });
    expect(timers()).toBeLessThanOrEqual(before);
    await pool.close();
  });
});

describe("close", () => {
  /** What happens with a pool's threads. */
  async function withThreads(run: (born: Worker[]) => Promise<void>): Promise<void> {
    const born: Worker[] = [];
    const onWorker = (worker: Worker) => void born.push(worker);
    process.on("worker", onWorker);
    try {
      await run(born);
      expect(born.filter(({ threadId }) => threadId !== -1)).toEqual([]);
    } finally {
      process.off("worker", onWorker);
    }
  }

  test("with abort rejects calls that run and that wait, and settles with no thread left", async () => {
    await withThreads(async (born) => {
      const { pool, x } = await poolOf();
      const calls = Array.from({ length: 5 }, () => pool.forward(new BatchNorm1d(1024), x));
      const before = pool.stats();
      expect(before.callsRunning + before.callsWaiting).toBe(5);
      const closing = pool.close({ abort: true });
      for (const { reason } of (await Promise.allSettled(calls)) as PromiseRejectedResult[]) {
        expect(reason).toBeInstanceOf(PoolClosedError);
      }
      await closing;
      expect(born.length).toBe(2);
      expect(pool.stats()).toMatchObject({
        threads: 0,
        threadsLost: 0,
        callsRunning: 0,
        callsWaiting: 0,
        callsFailed: 5,
      });
    });
  });

  test("with abort, before any thread has started and as calls come in the same turn, rejects those as well", async () => {
    await withThreads(async () => {
      const pool = new NormPool({ threads: 2 });
      const x = pool.tensor("float32", LARGE);
      const before = pool.forward(layer, x);
      const closing = pool.close({ abort: true });
      const after = pool.forward(layer, x);
      await expect(before).rejects.toThrow(PoolClosedError);
      await expect(after).rejects.toThrow(PoolClosedError);
      await closing;
    });
  });

  test("with abort rejects a call that is between two phases", async () => {
    await withThreads(async () => {
      const { pool, x } = await poolOf();
      let closing: Promise<void> | undefined;
      // Moments are merged after this report, and then the next phase would begin.
      const onProgress = () => {
        closing ??= pool.close({ abort: true });
      };
      await expect(pool.forward(new BatchNorm1d(1024), x, { onProgress })).rejects.toThrow(PoolClosedError);
      await closing;
    });
  });

  test("twice is once; with abort the second time ends what the first one waits for", async () => {
    await withThreads(async () => {
      const { pool, x } = await poolOf();
      const running = pool.forward(new BatchNorm1d(1024), x);
      const first = pool.close();
      const second = pool.close({ abort: true });
      expect(second).toBe(first);
      await expect(running).rejects.toThrow(PoolClosedError);
      await first;
      await pool.close({ abort: true });
    });
  });
});
