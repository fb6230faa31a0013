// What pools give back that are closed, and that are dropped. In processes of their own: memory and threads are a process'.
import { describe, expect, test } from "vitest";
import { printed } from "./child.js";

const HELPERS = `
import { readdirSync } from "node:fs";
const turn = () => new Promise(setImmediate);
const mib = () => process.memoryUsage.rss() / 2 ** 20;
const threads = () => readdirSync("/proc/self/task").length;
const before = { mib: mib(), threads: threads() };
const layer = new normpool.LayerNorm(1024, { elementwiseAffine: false });
/** Turns of the event loop, until it is so or has not become so for long. */
async function until(isSo) {
  for (const end = performance.now() + 20_000; !isSo() && performance.now() < end; ) await turn();
  return isSo();
}
`;

function run(source: string, ...options: string[]): Promise<string> {
  return printed(HELPERS + source, ...options);
}

describe.skipIf(process.platform !== "linux")("a closed pool", () => {
  test("gives its memory back: seven pools of 0.5 GiB, all still referred to", async () => {
    const source = `
const kept = [];
for (let i = 0; i < 7; i++) {
  const pool = new normpool.NormPool({ threads: 2 });
  // Every page of it is written to.
  const x = pool.tensor("float32", [131_072, 1024]);
  await pool.forward(layer, x, { out: x });
  x.dispose();
  await pool.close();
  kept.push(pool, x);
  if (!(await until(() => mib() < before.mib + 200))) console.log("pool", i, mib());
}
console.log(kept.length);`;
    expect(await run(source)).toBe("14\n");
  }, 60_000);

  test("gives it back when its last tensor is disposed of, and not before", async () => {
    const source = `
const pool = new normpool.NormPool({ threads: 2 });
const [x, y] = [pool.empty("float32", [2 ** 26]), pool.empty("float32", [1])];
x.data.fill(7);
y.data.fill(8);
await pool.close();
for (let i = 0; i < 20; i++) await turn();
console.log(x.data[5], mib() > before.mib + 200);
x.dispose();
y.dispose();
console.log(await until(() => mib() < before.mib + 100));`;
    expect(await run(source)).toBe("7 true\ntrue\n");
  });

  test("gives back what lies in small pieces too", async () => {
    const source = `
let top = 0;
for (let i = 0; i < 60; i++) {
  const pool = new normpool.NormPool({ threads: 1 });
  pool.empty("uint8", [16 * 2 ** 20]).data.fill(1);
  await pool.close();
  top = Math.max(top, mib());
}
console.log(top < before.mib + 300 || top);`;
    expect(await run(source)).toBe("true\n");
  });
});

describe.skipIf(process.platform !== "linux")("a dropped pool", () => {
  test("ends its threads: forty pools", async () => {
    const source = `
let top = 0;
async function use() {
  const pool = new normpool.NormPool({ threads: 1 });
  const x = pool.tensor("float32", [2048, 1024]);
  await pool.forward(layer, x, { out: x });
}
for (let i = 0; i < 40; i++) {
  await use();
  await turn();
  top = Math.max(top, threads() - before.threads);
}
console.log(top < 25 || top, mib() < before.mib + 500 || mib());`;
    expect(await run(source)).toBe("true true\n");
  });

  test("ends them when V8 collects it", async () => {
    const source = `
await (async () => {
  const pool = new normpool.NormPool({ threads: 4 });
  const x = pool.tensor("float32", [4096, 1024]);
  await pool.forward(layer, x, { out: x });
  console.log(threads() >= before.threads + 4);
})();
await turn();
console.log(await until(() => (gc(), threads() === before.threads)));`;
    expect(await run(source, "--expose-gc")).toBe("true\ntrue\n");
  });

  test("finishes the calls that run, and leaves its tensors readable", async () => {
    const source = `
const shared = new Float32Array(new SharedArrayBuffer(2 ** 24));
for (let i = 0; i < shared.length; i++) shared[i] = i % 7;
const start = () => {
  const pool = new normpool.NormPool({ threads: 2 });
  const x = pool.wrap(shared, [4096, 1024]);
  return [1, 2, 3].map(() => pool.forward(layer, x));
};
const calls = start();
let ended = false;
const all = Promise.all(calls).finally(() => { ended = true; });
await until(() => (gc(), ended));
const [y] = await all;
await turn();
console.log(await until(() => (gc(), threads() === before.threads)));
const pool = new normpool.NormPool({ threads: 2 });
const again = await pool.forward(layer, pool.wrap(shared, [4096, 1024]));
console.log(Buffer.compare(y.toBytes(), again.toBytes()));`;
    expect(await run(source, "--expose-gc")).toBe("true\n0\n");
  });

  test("may be one of many that are in use", async () => {
    const source = `
const pools = Array.from({ length: 20 }, () => new normpool.NormPool({ threads: 1 }));
for (const pool of pools) {
  const x = pool.tensor("float32", [2048, 1024]);
  await pool.forward(layer, x, { out: x });
}
console.log(pools.filter((pool) => pool.stats().threads === 1).length);
await Promise.all(pools.map((pool) => pool.close()));`;
    expect(await run(source)).toBe("20\n");
  });
});
