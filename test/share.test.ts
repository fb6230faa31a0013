// Phases that the calling thread computes together with the workers, and what calls on the calling thread leave to the event loop.
import { describe, expect, test } from "vitest";
import { LayerNorm, NormPool } from "../src/index.js";
import { CELLS, operandsOf, type Phase } from "../src/protocol.js";
import { Arena } from "../src/tensor/arena.js";
import { Threads } from "../src/threads.js";
import { instantiate, kernelModule } from "../workers/kernels.js";
import { expectSameBits, normal } from "./support.js";

const CELLS_OF_UNIT = 16_384;
const UNITS = 40;
const DOUBLE: Phase = { kind: "double", length: CELLS_OF_UNIT, units: UNITS, unitsPerSlice: 1 };

function setUp(threads: number) {
  const arena = new Arena();
  const bytes = 4 * CELLS_OF_UNIT * UNITS;
  const [x, y] = [arena.take("test", bytes), arena.take("test", bytes)];
  const input = new Float32Array(arena.memory.buffer, x, CELLS_OF_UNIT * UNITS);
  input.set(normal(input.length, 1));
  const output = new Float32Array(arena.memory.buffer, y, CELLS_OF_UNIT * UNITS);
  const kernels = instantiate(kernelModule(), arena.memory, 0);
  const crew = new Threads(threads, arena.memory, kernelModule());
  const share = (from = x, phase = DOUBLE) => crew.share("test", phase, operandsOf(CELLS.float32, from, y), kernels);
  return { crew, input, output, share };
}

describe("share", () => {
  test.each([1, 2, 4])("computes every slice once, with %i threads, also when workers are late", async (threads) => {
    const { crew, input, output, share } = setUp(threads);
    const expected = input.map((value) => 2 * value);
    // Without a turn of the event loop between them no answer of a worker is read: most find nothing left to do.
    for (let call = 0; call < 200; call++) {
      output.fill(0);
      await share();
      expectSameBits(output, expected);
    }
    for (let call = 0; call < 50; call++) {
      output.fill(0);
      await new Promise(setImmediate);
      await share();
      expectSameBits(output, expected);
    }
    await crew.close();
  });

  test("of one thread starts none", async () => {
    const { crew, share } = setUp(1);
    const workers: unknown[] = [];
    const onWorker = (worker: unknown) => void workers.push(worker);
    process.on("worker", onWorker);
    expect(share()).toBeUndefined();
    process.off("worker", onWorker);
    expect(workers).toEqual([]);
    await crew.close();
  });

  test("that traps is an error for its call alone", async () => {
    const { crew, input, output, share } = setUp(2);
    await expect(share(2 ** 31)).rejects.toMatchObject({ name: "WorkerFailedError", operation: "test" });
    await share();
    expectSameBits(
      output,
      input.map((value) => 2 * value),
    );
    await crew.close();
  });
});

describe("the event loop gets a turn", () => {
  async function turnsDuring(work: () => Promise<void>): Promise<number> {
    let turns = 0;
    let running = true;
    const count = () => {
      turns++;
      if (running) setImmediate(count);
    };
    setImmediate(count);
    await work();
    running = false;
    return turns;
  }

  test.each([
    ["each call that is shared", 10, [300, 1024], 10],
    ["eight million cells of small calls", 70, [128, 1024], 1],
  ] as const)("after %s", async (_, calls, shape, least) => {
    await using pool = new NormPool({ threads: 2 });
    const layer = new LayerNorm(1024);
    const x = pool.tensor("float32", shape);
    const turns = await turnsDuring(async () => {
      for (let call = 0; call < calls; call++) await pool.forward(layer, x, { out: x });
    });
    expect(turns).toBeGreaterThanOrEqual(least);
  });
});
