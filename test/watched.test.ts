// What a pool is told not to exceed, and how it is watched: stats(), diagnostics channels, NODE_DEBUG.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, expect, test } from "vitest";
import {
  AbortedError,
  type CallEvent,
  LayerNorm,
  NormPool,
  OutOfMemoryError,
  type PhaseEvent,
  PoolClosedError,
  QueueFullError,
  TimedOutError,
} from "../src/index.js";
import { printed } from "./child.js";

/** So many calls that the last one waits long: each is left to the workers. */
const WIDTH = 1024;
const layer = new LayerNorm(WIDTH);
const tensorOf = (pool: NormPool) => pool.tensor("float32", [4096, WIDTH]);
const tensorsOf = (pool: NormPool, count: number) => Array.from({ length: count }, () => tensorOf(pool));

describe("a pool's limits", () => {
  test("maxMemory: a tensor beyond it is an OutOfMemoryError that says how much there is", async () => {
    await using pool = new NormPool({ threads: 1, maxMemory: 8 << 20 });
    expect(() => pool.empty("float32", [4 << 20])).toThrow(OutOfMemoryError);
    expect(() => pool.empty("float32", [4 << 20])).toThrow(/asked for 16777216 bytes, but \d+ are in use/);
    expect(pool.stats().memoryLimit).toBe(8 << 20);
    pool.empty("float32", [1 << 18]).dispose();
  });

  test("maxQueue: one large call more is refused at once, a small one is not, and there is room again afterwards", async () => {
    await using pool = new NormPool({ threads: 1, maxQueue: 2 });
    const [a, b, c] = [tensorOf(pool), tensorOf(pool), tensorOf(pool)];
    const calls = [pool.forward(layer, a, { out: a }), pool.forward(layer, b, { out: b })];
    const refused = await pool.forward(layer, c, { out: c }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(QueueFullError);
    expect(refused).toMatchObject({ code: "queue-full", maxQueue: 2 });
    await pool.forward(layer, pool.tensor("float32", [2, WIDTH]));
    await Promise.all(calls);
    await pool.forward(layer, c, { out: c });
  });

  test("timeout: a call that takes longer is a TimedOutError, and the pool goes on", async () => {
    await using pool = new NormPool({ threads: 1 });
    const tensors = tensorsOf(pool, 6);
    const calls = tensors.map((x, i) => pool.forward(layer, x, { out: x, ...(i === 5 && { timeout: 1 }) }));
    const last = await (calls[5] as Promise<unknown>).catch((error: unknown) => error);
    expect(last).toBeInstanceOf(TimedOutError);
    expect(last).toMatchObject({ code: "timed-out", name: "TimeoutError", timeout: 1 });
    await Promise.all(calls.slice(0, 5));
  });

  test("close({ abort: true }) ends calls with a PoolClosedError, also those that close() waits for", async () => {
    const pool = new NormPool({ threads: 1 });
    const outcomes = Promise.allSettled(tensorsOf(pool, 6).map((x) => pool.forward(layer, x, { out: x })));
    const closed = pool.close();
    await pool.close({ abort: true });
    await closed;
    expect((await outcomes).at(-1)).toMatchObject({ reason: expect.any(PoolClosedError) });
    expect(pool.stats()).toMatchObject({ threads: 0, callsRunning: 0, callsWaiting: 0 });
  });
});

describe("who watches", () => {
  test("stats() counts calls, bytes, memory and threads", async () => {
    await using pool = new NormPool({ threads: 2 });
    expect(pool.stats()).toMatchObject({ threads: 0, callsEnded: 0, bytes: 0, memoryInUse: 0 });
    const x = tensorOf(pool);
    await pool.forward(layer, x, { out: x });
    await pool.forward(layer, pool.tensor("float32", [2, WIDTH]));
    // Before the event loop has a turn in which the call could end.
    const controller = new AbortController();
    const aborted = pool.forward(layer, x, { out: x, signal: controller.signal });
    controller.abort();
    await expect(aborted).rejects.toThrow(AbortedError);
    const stats = pool.stats();
    expect(stats).toMatchObject({ callsEnded: 3, callsFailed: 1, bytes: 4 * WIDTH * 4098, threadsLost: 0 });
    expect(stats.threads).toBeGreaterThan(0);
    expect(stats.memoryInUse).toBeGreaterThanOrEqual(4 * WIDTH * 4096);
    expect(stats.memoryPeak).toBeGreaterThanOrEqual(stats.memoryInUse);
    expect(stats.callTime).toBeGreaterThan(0);
    expect(stats.waitTime).toBeGreaterThan(0);
  });

  test("diagnostics channels tell of each call, and of each phase of large ones", async () => {
    const told: string[] = [];
    const calls = { start: [] as CallEvent[], end: [] as CallEvent[] };
    const onCall = (edge: "start" | "end") => (message: unknown) => {
      calls[edge].push(message as CallEvent);
      told.push(`call ${edge}`);
    };
    const onPhase = (edge: string) => (message: unknown) =>
      void told.push(`${(message as PhaseEvent).phase} ${edge}${(message as PhaseEvent).slices > 1 ? "" : "?"}`);
    const listeners = {
      "normpool:call:start": onCall("start"),
      "normpool:call:end": onCall("end"),
      "normpool:phase:start": onPhase("start"),
      "normpool:phase:end": onPhase("end"),
    };
    for (const [name, listener] of Object.entries(listeners)) subscribe(name, listener);
    try {
      await using pool = new NormPool({ threads: 1 });
      const x = tensorOf(pool);
      await pool.forward(layer, x, { out: x });
      await pool.forward(layer, pool.tensor("float32", [2, WIDTH]));
      const signal = AbortSignal.abort(new Error("not wanted"));
      await expect(pool.forward(layer, x, { signal })).rejects.toThrow(AbortedError);
    } finally {
      for (const [name, listener] of Object.entries(listeners)) unsubscribe(name, listener);
    }
    expect(told.slice(0, 4)).toEqual(["call start", "normalize start", "normalize end", "call end"]);
    expect(calls.start.map(({ operation, cells }) => [operation, cells])).toEqual([
      ["LayerNorm", 4096 * WIDTH],
      ["LayerNorm", 2 * WIDTH],
      ["LayerNorm", 4096 * WIDTH],
    ]);
    expect(calls.end).toEqual(calls.start);
    expect(calls.end.map(({ error, took }) => [error instanceof AbortedError, typeof took])).toEqual([
      [false, "number"],
      [false, "number"],
      [true, "number"],
    ]);
  });

  test("NODE_DEBUG=normpool prints the same on stderr, and without it nothing is printed", async () => {
    const source = `
      import { spawnSync } from "node:child_process";
      if (process.env.CHILD) {
        const pool = new normpool.NormPool({ threads: 1 });
        await pool.forward(new normpool.LayerNorm(4), pool.tensor("float32", [2, 4]));
        await pool.close();
      } else {
        for (const NODE_DEBUG of ["", "normpool"]) {
          const env = { ...process.env, CHILD: "1", NODE_DEBUG };
          const { stdout, stderr } = spawnSync(process.execPath, [process.argv[1]], { env, encoding: "utf8" });
          console.log(JSON.stringify({ stdout, stderr }));
        }
      }`;
    const [quiet, loud] = (await printed(source))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(quiet).toEqual({ stdout: "", stderr: "" });
    expect(loud.stdout).toBe("");
    expect(loud.stderr).toMatch(/NORMPOOL \d+: call:start \{ operation: 'LayerNorm', cells: 8 \}/);
    expect(loud.stderr).toMatch(/NORMPOOL \d+: call:end \{ operation: 'LayerNorm', cells: 8, took: [\d.]+ \}/);
  });
});
