// Where address space is short, or WebAssembly missing: less is taken, or the error says what to do.
import { describe, expect, test } from "vitest";
import { printed, printedWithin } from "./child.js";

const GIB = 2 ** 30;
/** So V8 reserves no more than the memory may be. */
const NO_TRAPS = "--disable-wasm-trap-handler";

const MAKE = `
process.on("warning", ({ code }) => console.log(code ?? "warned"));
function make(options) {
  try {
    return new normpool.NormPool({ threads: 1, ...options });
  } catch (error) {
    console.log(error instanceof normpool.NormpoolError, error.code, error.message);
    process.exit();
  }
}
`;
const SMALL_CALL = `
const pool = make();
const y = await pool.forward(new normpool.LayerNorm(4), pool.from(Float32Array.of(1, 2, 3, 4), [1, 4]));
console.log(y.data.map(Math.round).join());
`;

describe.skipIf(process.platform !== "linux")("with little address space", () => {
  test("a pool works, or its error says how it would", async () => {
    const out = await printedWithin(8 * GIB, MAKE + SMALL_CALL);
    expect([
      "-1,0,0,1\n",
      expect.stringMatching(/^true out-of-memory NormPool: .*ulimit -v.*--disable-wasm-trap/),
    ]).toContainEqual(out);
  });

  test.each([6, 4, 3, 2])("of %d GiB a pool takes what there is", async (gib) => {
    const source = `${MAKE + SMALL_CALL}
const { memoryLimit } = pool.stats();
const large = pool.tensor("float32", [2 ** 26]);
console.log(memoryLimit <= 2 ** 32, large.size);
try {
  for (const kept = []; ; ) kept.push(pool.empty("uint8", [2 ** 26]));
} catch (error) {
  console.log(error.code);
}
const again = await pool.forward(new normpool.LayerNorm(4), y);
console.log(again.data.map(Math.round).join());
await pool.close();`;
    expect(await printedWithin(gib * GIB, source, NO_TRAPS)).toBe("-1,0,0,1\ntrue 67108864\nout-of-memory\n-1,0,0,1\n");
  });

  test("a pool of little maxMemory takes little", async () => {
    const source = `${MAKE}
const pools = Array.from({ length: 20 }, () => make({ maxMemory: 2 ** 24 }));
console.log(pools.map((pool) => pool.stats().memoryLimit === 2 ** 24).join());`;
    expect(await printedWithin(2 * GIB, source, NO_TRAPS)).toBe(`${Array.from({ length: 20 }, () => true).join()}\n`);
  });
});

test("without WebAssembly the error says why that may be, and layers can be made", async () => {
  const source = `${MAKE}console.log(new normpool.LayerNorm(4).weight.length);make();`;
  expect(await printed(source, "--jitless")).toBe(
    "4\ntrue unsupported-runtime NormPool: expected WebAssembly with SIMD and threads but got none: was node started with --jitless?\n",
  );
});

test.skipIf(process.arch !== "x64")("without SIMD the error says what it takes", async () => {
  expect(await printed(`${MAKE}make();`, "--no-enable-sse4-1")).toBe(
    "true unsupported-runtime NormPool: expected WebAssembly with SIMD and threads but got one without SIMD: is the processor older than SSE 4.1?\n",
  );
});
