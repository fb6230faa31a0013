// Engines in which `memory.grow(0)` leaves the memory's buffer object as it is: what is dropped must be found in another way, or not at all, but never
// too early.
import { describe, expect, test } from "vitest";
import { printed } from "./child.js";

/** Makes a memory's buffer one object for as long as its length is the same. */
const ONE_BUFFER = `
const { get } = Object.getOwnPropertyDescriptor(WebAssembly.Memory.prototype, "buffer");
const buffers = new WeakMap();
Object.defineProperty(WebAssembly.Memory.prototype, "buffer", {
  get() {
    const [before, now] = [buffers.get(this), get.call(this)];
    if (before?.byteLength === now.byteLength) return before;
    buffers.set(this, now);
    return now;
  },
});`;
const NO_CLONES = "globalThis.structuredClone = (value) => value;";
/** Clones that are copies would lose what is written. */
const COPIES = "globalThis.structuredClone = (value) => new SharedArrayBuffer(value.byteLength);";

const HELPERS = `
const turn = () => new Promise(setImmediate);
process.on("warning", ({ code }) => console.log(code));
const layer = new normpool.LayerNorm(1024);
`;

function run(preload: string, source: string): Promise<string> {
  return printed(HELPERS + source, "--no-warnings", "--import", `data:text/javascript,${encodeURIComponent(preload)}`);
}

/** 400 results of 1 MiB that are dropped, where 64 MiB are to be had. */
const DROPPED = `
const pool = new normpool.NormPool({ threads: 1, maxMemory: 64 * 2 ** 20 });
const x = pool.tensor("float32", [256, 1024]);
for (let i = 0; i < 1024; i++) x.data[i] = i;
try {
  for (let i = 0; i < 400; i++) {
    await pool.forward(layer, x);
    await turn();
  }
  console.log("400");
} catch (error) {
  console.log(error.code, error.message.replace(/.*;/, ""));
}
`;

describe.each([
  ["as V8 has it", ""],
  ["with one buffer object, and clones", ONE_BUFFER],
])("%s", (_, preload) => {
  test("what is dropped is given back", async () => {
    expect(await run(preload, DROPPED)).toBe("400\n");
  });

  test("a part of a dropped tensor stays as it is", async () => {
    const source = `
const pool = new normpool.NormPool({ threads: 1, maxMemory: 64 * 2 ** 20 });
const part = pool.from(new Float32Array(2 ** 18).fill(7)).data.subarray(10, 20);
for (let i = 0; i < 200; i++) {
  pool.from(new Float32Array(2 ** 18).fill(9));
  await turn();
}
console.log(part.join());`;
    expect(await run(preload, source)).toBe("7,7,7,7,7,7,7,7,7,7\n");
  });
});

describe.each([
  ["no clones", NO_CLONES],
  ["clones that are copies", COPIES],
])("with one buffer object, and %s", (_, preload) => {
  test("what is dropped is kept, and a warning and the error say so", async () => {
    const message = " in this JavaScript engine tensors that are dropped keep their memory: dispose of them";
    expect(await run(ONE_BUFFER + preload, DROPPED)).toBe(`NORMPOOL_ONLY_DISPOSED\nout-of-memory ${message}\n`);
  });

  test("what is disposed of is given back", async () => {
    const source = DROPPED.replace("await pool.forward(layer, x)", "(await pool.forward(layer, x)).dispose()");
    expect(await run(ONE_BUFFER + preload, source)).toBe("400\n");
  });
});
