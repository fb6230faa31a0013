// Promises and timers that a program replaces after normpool is loaded: calls wait for their workers, and end.
import { expect, test } from "vitest";
import { printed } from "./child.js";

/** Large calls of each placement, with a progress report; prints whether all cells are what they are without workers. */
const CALLS = `
  const { BatchNorm1d, LayerNorm, NormPool } = normpool;
  const pool = new NormPool({ threads: 2 });
  const right = (y, row) => y.data.every((cell, i) => cell === row.data[i % 1024]);
  const one = pool.tensor("float32", [1, 1024]);
  for (let i = 0; i < 1024; i++) one.data[i] = i % 7;
  const layer = new LayerNorm(1024);
  const row = await pool.forward(layer, one);
  for (const rows of [300, 3000]) {
    const x = pool.tensor("float32", [rows, 1024]);
    for (let at = 0; at < x.size; at += 1024) x.data.set(one.data, at);
    let reports = 0;
    const onProgress = () => void reports++;
    console.log(rows, right(await pool.forward(layer, x), row));
    console.log(rows, right(await pool.forward(layer, x, { onProgress }), row), reports > 0);
    const { gradInput } = await pool.backward(layer, { input: x, gradOutput: x });
    console.log(rows, gradInput.data.every((cell, i) => cell === gradInput.data[i % 1024]) && gradInput.data[0] !== 0);
    await pool.forward(new BatchNorm1d(1024), x, { out: x });
    console.log(rows, x.data.every((cell) => cell === 0));
  }
  await pool.close();
`;
const RIGHT = [300, 3000].map((rows) => `${rows} true\n${rows} true true\n${rows} true\n${rows} true\n`).join("");

test("a subclass in the place of Promise, of which async functions' promises are no instances", async () => {
  expect(await printed(`globalThis.Promise = class extends Promise {};\n${CALLS}`)).toBe(RIGHT);
});

test("a Promise that was replaced before normpool was loaded", async () => {
  const before = "data:text/javascript,globalThis.Promise = class extends Promise {};";
  expect(await printed(CALLS, "--import", before)).toBe(RIGHT);
});

test("timers and ticks that do nothing, as mocked ones do until they are told", async () => {
  const dead = `
    for (const name of ["setImmediate", "setInterval", "setTimeout", "clearInterval", "clearTimeout", "clearImmediate"]) {
      globalThis[name] = () => undefined;
    }
    process.nextTick = () => {};
    performance.now = () => 0;
  `;
  expect(await printed(dead + CALLS)).toBe(RIGHT);
});
