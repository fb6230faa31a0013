// Calls with a journal: a process that is killed at any moment leaves nothing under the output's name, and another goes on with its work, to the
// same bits.
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { afterAll, describe, expect, test } from "vitest";
import { forward } from "../src/calls/forward.js";
import { BatchNorm1d, type Dtype, LayerNorm, NormPool, type Progress, WriteFailedError } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { Executor } from "../src/run/executor.js";
import { createTensor, openTensor } from "../src/storage/file-tensor.js";
import { bytesOf } from "./cells.js";
import { normal, seeded } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-resume-"));
const pool = new NormPool({ threads: 2 });
afterAll(async () => {
  await pool.close();
  rmSync(folder, { recursive: true });
});

const SHAPE = [2003, 301];
const input = join(folder, "x.raw");
writeFileSync(input, bytesOf(normal(2003 * 301, 5, 3, 2)));

const PROGRAM = new URL("resume-program.js", import.meta.url).pathname;

/** Runs the program until it ends, or has noted more than so many parts and is killed. Returns how it ended. */
function run(output: string, layer: string, mode: string, killAfter: number): Promise<string> {
  const child = spawn(process.execPath, [PROGRAM, input, output, layer, mode, String(killAfter)]);
  let errors = "";
  child.stderr.on("data", (text) => {
    errors += text;
  });
  return new Promise((resolve) => child.on("exit", (code, signal) => resolve(signal ?? `${code} ${errors}`)));
}

const LAYERS = { layer: new LayerNorm(301), batch: new BatchNorm1d(301, { trackRunningStats: false }) };

async function expected(layer: keyof typeof LAYERS): Promise<string> {
  const x = await pool.open(input, { dtype: "float32", shape: SHAPE });
  return hashOf((await pool.forward(LAYERS[layer], x)).toBytes());
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const left = (name: string) => readdirSync(folder).filter((file) => file.includes(name));

describe.each(["layer", "batch"] as const)("%s norm", (layer) => {
  test("killed again and again after any number of notes it ends with the same bits, and nothing is left beside it", async () => {
    const random = seeded(layer.length);
    const name = `killed-${layer}.raw`;
    const output = join(folder, name);
    const whole = await expected(layer);
    for (let round = 0; round < 5; round++) {
      let mode = "begin";
      for (let kills = 0; kills < 3; kills++) {
        const ended = await run(output, layer, mode, Math.floor(random() * 8));
        if (ended !== "SIGKILL") break;
        // It may have come to its end before it was killed.
        if (existsSync(output)) expect(hashOf(readFileSync(output))).toBe(whole);
        mode = "resume";
      }
      expect(await run(output, layer, "resume", Number.POSITIVE_INFINITY)).toBe("0 ");
      expect(hashOf(readFileSync(output))).toBe(whole);
      expect(left(name)).toEqual([name]);
      rmSync(output);
    }
  });

  test("what was noted is not done again", async () => {
    const output = join(folder, `counted-${layer}.raw`);
    await run(output, layer, "begin", 5);
    const journal = readFileSync(join(folder, `.counted-${layer}.raw.normpool-journal`), "utf8");
    const noted = journal.split("\n").filter((line) => line.includes("part")).length;
    expect(noted).toBeGreaterThanOrEqual(5);
    const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, input, output, layer, "resume"]);
    expect(JSON.parse(stdout).parts).toBeLessThanOrEqual(10 - noted + 1);
    expect(hashOf(readFileSync(output))).toBe(await expected(layer));
    rmSync(output);
  });
});

describe("a journal of other work is refused by what differs, and stays", () => {
  async function interrupted(name: string): Promise<string> {
    const output = join(folder, name);
    expect(await run(output, "layer", "begin", 3)).toBe("SIGKILL");
    return output;
  }

  async function resumeWith(
    output: string,
    change: () => Promise<void>,
    { inFile = "float32", storedAs }: { readonly inFile?: Dtype; readonly storedAs?: Dtype } = {},
  ): Promise<unknown> {
    const y = await pool.create(output, "float32", SHAPE, { journal: "resume", storedAs });
    try {
      await change();
      const x = await pool.open(input, { dtype: inFile, shape: SHAPE, as: "float32" });
      const weights = new LayerNorm(301);
      weights.weight[3] = output.includes("weights") ? 2 : 1;
      const layer = output.includes("layer") ? new LayerNorm(301, { eps: 1e-3 }) : weights;
      return await pool.forward(layer, x, { out: y }).catch((error: unknown) => error);
    } finally {
      y.dispose();
    }
  }

  test.each([
    ["other-layer.raw", /had another layer \(LayerNorm.*eps=1e-05.*than this one.*eps=0.001/],
    ["other-weights.raw", /had another weights/],
  ])("%s", async (name, message) => {
    const output = await interrupted(name);
    const error = await resumeWith(output, async () => {});
    expect(error).toBeInstanceOf(WriteFailedError);
    expect((error as Error).message).toMatch(message);
    expect(left(name).length).toBeGreaterThan(1);
    expect(await run(output, "layer", "resume", Number.POSITIVE_INFINITY)).toBe("0 ");
    expect(hashOf(readFileSync(output))).toBe(await expected("layer"));
  });

  test.each<[name: string, dtypes: { readonly inFile?: Dtype; readonly storedAs?: Dtype }, message: RegExp]>([
    ["dtype-in.raw", { inFile: "bfloat16" }, /another dtype in the input file \(float32\) than this one \(bfloat16\)/],
    [
      "dtype-out.raw",
      { storedAs: "float16" },
      /another dtype in the output file \(float32\) than this one \(float16\)/,
    ],
  ])("%s, of other cells in a file", async (name, dtypes, message) => {
    const output = await interrupted(name);
    const error = await resumeWith(output, async () => {}, dtypes);
    expect(error).toBeInstanceOf(WriteFailedError);
    expect((error as Error).message).toMatch(message);
    expect(await run(output, "layer", "resume", Number.POSITIVE_INFINITY)).toBe("0 ");
    expect(hashOf(readFileSync(output))).toBe(await expected("layer"));
  });

  test("an input that was written to", async () => {
    const output = await interrupted("other-input.raw");
    const { atime, mtime } = statSync(input);
    utimesSync(input, atime, new Date(mtime.getTime() + 1000));
    const error = await resumeWith(output, async () => {});
    expect((error as Error).message).toMatch(/had another input/);
  });
});

test("a header of another length is other work: what is done lies behind the old one", async () => {
  const output = join(folder, "header.safetensors");
  expect(await run(output, "layer", "begin", 3)).toBe("SIGKILL");
  const options = { journal: "resume", key: "a name that is longer" } as const;
  const y = await pool.create(output, "float32", SHAPE, options);
  const x = await pool.open(input, { dtype: "float32", shape: SHAPE });
  await expect(pool.forward(LAYERS.layer, x, { out: y })).rejects.toThrow("had another header of the output");
  await y[Symbol.asyncDispose]();
  expect(await run(output, "layer", "resume", Number.POSITIVE_INFINITY)).toBe("0 ");
  expect(left("header.safetensors")).toEqual(["header.safetensors"]);
});

test("what an interrupted process did stays where a call is refused, or where there is none, and is not committed", async () => {
  const output = join(folder, "mistyped.raw");
  expect(await run(output, "layer", "begin", 3)).toBe("SIGKILL");
  const before = left("mistyped.raw");
  {
    await using y = await pool.create(output, "float32", SHAPE, { journal: "resume" });
    const x = await pool.open(input, { dtype: "float32", shape: SHAPE });
    await expect(pool.forward(new LayerNorm(300), x, { out: y })).rejects.toThrow("normalizedShape [300]");
    await expect(y.commit()).rejects.toThrow("expected one that the call that was interrupted has gone on with");
  }
  expect(left("mistyped.raw")).toEqual(before.filter((name) => !name.endsWith("lock")));
  expect(await run(output, "layer", "resume", Number.POSITIVE_INFINITY)).toBe("0 ");
  expect(hashOf(readFileSync(output))).toBe(await expected("layer"));
});

test("while a call begins its journal its output is in use, and is not begun twice", async () => {
  const name = "busy.raw";
  const x = await pool.open(input, { dtype: "float32", shape: SHAPE });
  const y = await pool.create(join(folder, name), "float32", SHAPE, { journal: "begin" });
  const calls = [0, 1].map(() => pool.forward(LAYERS.layer, x, { out: y }));
  await expect(y.commit()).rejects.toThrow("expected one that no call works on");
  const outcomes = await Promise.allSettled(calls);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(outcomes.find(({ status }) => status === "rejected")).toMatchObject({
    reason: { message: expect.stringContaining("its journal is of one") },
  });
  await y.commit();
  expect(hashOf(readFileSync(join(folder, name)))).toBe(await expected("layer"));

  const z = await pool.create(join(folder, "gone.raw"), "float32", SHAPE, { journal: "begin" });
  const call = pool.forward(LAYERS.layer, x, { out: z });
  z.dispose();
  await call;
  await z[Symbol.asyncDispose]();
  expect(left("gone.raw")).toEqual([]);
});

test("a thread of the same process is another writer", async () => {
  const output = join(folder, "threads.raw");
  const y = await pool.create(output, "float32", SHAPE, { journal: "begin" });
  const source = `
    const { workerData, parentPort } = require("node:worker_threads");
    import(workerData.index).then(async ({ NormPool }) => {
      const pool = new NormPool({ threads: 1 });
      const told = await pool.create(workerData.output, "float32", [4], { journal: "begin" }).then(String, (error) => error.message);
      await pool.close();
      parentPort.postMessage(told);
    });`;
  const index = new URL("../src/index.js", import.meta.url).href;
  const worker = new Worker(source, { eval: true, workerData: { index, output } });
  const [told] = await once(worker, "message");
  expect(told).toMatch(/this process is writing it/);
  await worker.terminate();
  y.dispose();
});

test("progress counts the parts that are to do: all of them at first, what is left afterwards", async () => {
  const executor = new Executor(2, new Arena(), { partCells: 201 * 301 });
  const output = join(folder, "progress.raw");
  const ends: string[] = [];
  expect(await run(output, "layer", "begin", 4)).toBe("SIGKILL");
  for (const journal of ["resume", "begin"] as const) {
    const x = await openTensor("test", input, { dtype: "float32", shape: SHAPE });
    const y = await createTensor("test", output, "float32", SHAPE, { journal });
    let last: Progress | undefined;
    await forward(executor, LAYERS.layer, x, {
      out: y,
      onProgress: (progress: Progress) => {
        expect(progress.done).toBeLessThanOrEqual(progress.total);
        last = progress;
      },
    });
    expect(last?.done).toBe(last?.total);
    ends.push(`${last?.total}`);
    await y.commit();
  }
  expect(Number(ends[0])).toBeLessThan(Number(ends[1]));
  await executor.close();
});

test("a torn note counts for nothing", async () => {
  const output = join(folder, "torn.raw");
  expect(await run(output, "layer", "begin", 4)).toBe("SIGKILL");
  const journal = join(folder, ".torn.raw.normpool-journal");
  const text = readFileSync(journal, "utf8");
  writeFileSync(journal, text.slice(0, -5));
  expect(await run(output, "layer", "resume", Number.POSITIVE_INFINITY)).toBe("0 ");
  expect(hashOf(readFileSync(output))).toBe(await expected("layer"));
});

test("two processes do not write one output", async () => {
  const output = join(folder, "twice.raw");
  const y = await pool.create(output, "float32", SHAPE, { journal: "begin" });
  expect(await run(output, "layer", "resume", Number.POSITIVE_INFINITY)).toMatch(/process \d+ on .* is writing it/);
  y.dispose();
});

test("a journal is of one call, on a tensor in a file", async () => {
  const y = await pool.create(join(folder, "one.raw"), "float32", SHAPE, { journal: "begin" });
  const x = await pool.open(input, { dtype: "float32", shape: SHAPE });
  await expect(pool.forward(LAYERS.layer, pool.tensor("float32", SHAPE), { out: y })).rejects.toThrow(
    "expected a tensor in a file, for an out with a journal for x",
  );
  await pool.forward(LAYERS.layer, x, { out: y });
  await expect(pool.forward(LAYERS.layer, x, { out: y })).rejects.toThrow("its journal is of one");
  await y.commit();
  expect(left("one.raw")).toEqual(["one.raw"]);
});
