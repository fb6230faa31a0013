// Phases that the calling thread computes together with the workers, and what calls on the calling thread leave to the event loop.
import { describe, expect, test } from "vitest";
import { LayerNorm, NormPool } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { threadsOf } from "../src/run/executor.js";
import { Queue } from "../src/run/queue.js";
import { instantiate, kernelModule } from "../workers/kernels.js";
import { phaseJob } from "./jobs.js";
import { layerNorm } from "./reference.js";
import { expectSameBits, expectWithinUlps, normal } from "./support.js";

const ROWS = 640;
const WIDTH = 1024;

function setUp(threads: number) {
  const arena = new Arena();
  const bytes = 4 * ROWS * WIDTH;
  const [x, y] = [arena.take("test", bytes), arena.take("test", bytes)];
  const input = new Float32Array(arena.memory.buffer, x, ROWS * WIDTH);
  input.set(normal(input.length, 1));
  const output = new Float32Array(arena.memory.buffer, y, ROWS * WIDTH);
  const kernels = instantiate(kernelModule(), arena.memory, 0);
  const queue = new Queue(threadsOf(threads, arena));
  const share = (from = x) => {
    return queue.share(phaseJob(queue.ticket("test"), { rows: ROWS, width: WIDTH, perSlice: 16, x: from, y }, kernels));
  };
  return { queue, input, output, share };
}

describe("share", () => {
  test.each([1, 2, 4])("computes every slice once, with %i threads, also when workers are late", async (threads) => {
    const { queue, input, output, share } = setUp(threads);
    await share();
    const expected = output.slice();
    expectWithinUlps(expected, layerNorm(input, [WIDTH]).y, 2);
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
    await queue.close();
  });

  test("of one thread starts none", async () => {
    const { queue, share } = setUp(1);
    const workers: unknown[] = [];
    const onWorker = (worker: unknown) => void workers.push(worker);
    process.on("worker", onWorker);
    expect(share()).toBeUndefined();
    process.off("worker", onWorker);
    expect(workers).toEqual([]);
    await queue.close();
  });

  test("that traps is an error for its call alone", async () => {
    const { queue, input, output, share } = setUp(2);
    await expect(share(2 ** 31)).rejects.toMatchObject({ name: "WorkerFailedError", operation: "test" });
    await share();
    expectWithinUlps(output, layerNorm(input, [WIDTH]).y, 2);
    await queue.close();
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
