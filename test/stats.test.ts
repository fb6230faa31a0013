// What a pool tells of itself: `stats`, diagnostics channels, NODE_DEBUG=normpool; and that it prints nothing otherwise.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { expect, test } from "vitest";
import { BatchNorm1d, InvalidShapeError, LayerNorm, NormPool } from "../src/index.js";
import { ran } from "./child.js";

const BYTES = 1200 * 1024 * 4;

test("stats are true at each step of a pool's life", async () => {
  const pool = new NormPool({ threads: 2, maxMemory: 64 << 20 });
  const none = {
    threads: 0,
    threadsLost: 0,
    slicesLost: 0,
    callsRunning: 0,
    callsWaiting: 0,
    callsEnded: 0,
    callsFailed: 0,
    bytes: 0,
    callTime: 0,
    waitTime: 0,
  };
  const fresh = pool.stats();
  expect(fresh).toMatchObject({ ...none, memoryInUse: 0, memoryPeak: 0 });
  expect(fresh.memoryLimit).toBeLessThanOrEqual(64 << 20);
  expect(fresh.memorySize).toBeLessThanOrEqual(fresh.memoryLimit);

  const x = pool.tensor("float32", [1200, 1024]);
  expect(pool.stats().memoryInUse).toBeGreaterThanOrEqual(BYTES);
  expect(pool.stats()).toMatchObject(none);

  // A small call has no thread, and no time.
  const small = pool.tensor("float32", [2, 4]);
  await pool.forward(new LayerNorm(4), small, { out: small });
  expect(pool.stats()).toMatchObject({ ...none, callsEnded: 1, bytes: 32 });

  // Of two large ones the first has both threads.
  const calls = [1, 2].map(() => pool.forward(new BatchNorm1d(1024), x, { out: x, onProgress: () => {} }));
  expect(pool.stats()).toMatchObject({ threads: 2, callsRunning: 1, callsWaiting: 1, callsEnded: 1 });
  const during = pool.stats().memoryInUse;
  await Promise.all(calls);
  const done = pool.stats();
  expect(done).toMatchObject({
    ...none,
    threads: 2,
    callsEnded: 3,
    bytes: 32 + 2 * BYTES,
    callTime: done.callTime,
    waitTime: done.waitTime,
  });
  expect(done.callTime).toBeGreaterThan(0);
  expect(done.waitTime).toBeGreaterThan(0);
  expect(done.waitTime).toBeLessThan(done.callTime);
  expect(done.memoryInUse).toBeLessThan(during);
  expect(done.memoryPeak).toBeGreaterThanOrEqual(during);
  expect(done.memorySize).toBeGreaterThanOrEqual(done.memoryPeak);

  // One that fails once it has started: its second phase cannot start before the event loop has a turn. One that is refused has not.
  const controller = new AbortController();
  const failing = pool.forward(new BatchNorm1d(1024), x, { out: x, signal: controller.signal });
  controller.abort();
  await expect(failing).rejects.toThrow();
  await expect(pool.forward(new LayerNorm(5), x)).rejects.toThrow(InvalidShapeError);
  expect(pool.stats()).toMatchObject({ callsEnded: 4, callsFailed: 1, bytes: 32 + 2 * BYTES, callsWaiting: 0 });

  x.dispose();
  small.dispose();
  expect(pool.stats().memoryInUse).toBe(0);
  await pool.close();
  expect(pool.stats()).toMatchObject({ threads: 0, threadsLost: 0, slicesLost: 0 });
});

test("channels tell of each call and each of its phases, from start to end, as one object", async () => {
  const names = ["call:start", "phase:start", "phase:end", "call:end"] as const;
  const told: [name: string, message: Record<string, unknown>][] = [];
  const listeners = names.map((name) => {
    const listener = (message: unknown) => void told.push([name, message as Record<string, unknown>]);
    subscribe(`normpool:${name}`, listener);
    return () => unsubscribe(`normpool:${name}`, listener);
  });
  await using pool = new NormPool({ threads: 2 });
  for (const rows of [2, 300, 1200]) {
    told.length = 0;
    const x = pool.tensor("float32", [rows, 1024]);
    await pool.forward(new BatchNorm1d(1024), x);
    expect(told.map(([name, { phase }]) => (phase === undefined ? name : `${name} ${phase}`))).toEqual([
      "call:start",
      "phase:start moments",
      "phase:end moments",
      "phase:start apply",
      "phase:end apply",
      "call:end",
    ]);
    const messages = told.map(([, message]) => message);
    expect(messages[0]).toBe(messages[5]);
    expect(messages[1]).toBe(messages[2]);
    expect(messages[0]).toMatchObject({ operation: "BatchNorm1d", cells: rows * 1024, took: expect.any(Number) });
    expect(messages[1]).toMatchObject({
      operation: "BatchNorm1d",
      slices: expect.any(Number),
      took: expect.any(Number),
    });
  }
  told.length = 0;
  await pool.forward(new LayerNorm(4), pool.tensor("float32", [2, 4]));
  expect(told.map(([name]) => name)).toEqual(["call:start", "phase:start", "phase:end", "call:end"]);
  told.length = 0;
  await expect(pool.forward(new LayerNorm(5), pool.tensor("float32", [2, 4]))).rejects.toThrow();
  expect(told.map(([name, { error }]) => [name, error instanceof InvalidShapeError])).toEqual([
    ["call:start", true],
    ["call:end", true],
  ]);
  for (const unlisten of listeners) unlisten();
  told.length = 0;
  await pool.forward(new LayerNorm(4), pool.tensor("float32", [2, 4]));
  expect(told).toEqual([]);
});

/** Calls of each placement, forward and backward, and some that fail. */
const CALLS = `
  const { LayerNorm, NormPool } = normpool;
  const pool = new NormPool({ threads: 2 });
  for (const rows of [2, 300, 1200]) {
    const x = pool.tensor("float32", [rows, 1024]);
    const layer = new LayerNorm(1024);
    await pool.forward(layer, x);
    await pool.backward(layer, { input: x, gradOutput: x });
    const controller = new AbortController();
    const calls = [pool.forward(layer, x, { signal: controller.signal }), pool.forward(new LayerNorm(5), x)];
    controller.abort();
    await Promise.allSettled(calls);
  }
  await pool.close();
`;

test("nothing is printed", async () => {
  expect(await ran(CALLS)).toEqual({ stdout: "", stderr: "", code: 0 });
});

test("NODE_DEBUG=normpool prints calls and phases to stderr, and nothing to stdout", async () => {
  const { stdout, stderr, code } = await ran(CALLS, { env: { NODE_DEBUG: "normpool" } });
  expect({ stdout, code }).toEqual({ stdout: "", code: 0 });
  for (const event of ["call:start", "phase:start", "phase:end", "call:end"]) {
    expect(stderr).toMatch(new RegExp(`^NORMPOOL \\d+: ${event} \\{`, "m"));
  }
});

test("worker threads see no environment but NODE_OPTIONS, no arguments, and no input", async () => {
  const program = `
    ${CALLS.replace("await pool.close();", "")}
    const { BroadcastChannel } = await import("node:worker_threads");
    const channel = new BroadcastChannel("seen");
    const seen = new Promise((resolve) => { channel.onmessage = ({ data }) => resolve(data); });
    new BroadcastChannel("ask").postMessage("what do you see?");
    console.log(JSON.stringify(await seen));
    process.exit(0);
  `;
  const preload = `
    const { isMainThread, BroadcastChannel } = require("node:worker_threads");
    if (!isMainThread) {
      const ask = new BroadcastChannel("ask");
      ask.unref();
      ask.onmessage = async () => {
        const chunks = [];
        for await (const chunk of process.stdin) chunks.push(chunk);
        const seen = { env: { ...process.env }, argv: process.argv.slice(2), input: chunks.length };
        new BroadcastChannel("seen").postMessage(seen);
      };
    }
  `;
  const env = { SECRET: "of the host", NODE_OPTIONS: "--no-deprecation" };
  const { stdout, stderr } = await ran(program, { preload, env });
  expect(JSON.parse(stdout || JSON.stringify(stderr))).toEqual({
    env: { NODE_OPTIONS: "--no-deprecation" },
    argv: [],
    input: 0,
  });
});
