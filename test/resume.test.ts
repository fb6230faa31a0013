// Calls with a journal: a process that is killed at any moment leaves nothing under the output's name, and another goes on with its work, to the
// same bits.
import { execFile, fork } from "node:child_process";
import { createHash } from "node:crypto";
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
import { afterAll, describe, expect, test } from "vitest";
import { BatchNorm1d, type Dtype, LayerNorm, NormPool, WriteFailedError } from "../src/index.js";
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

/** Runs the program until it ends, or has noted so many parts and is killed. Returns how it ended. */
function run(output: string, layer: string, mode: string, killAfter: number): Promise<string> {
  const child = fork(PROGRAM, [input, output, layer, mode], { stdio: ["ignore", "pipe", "pipe", "ipc"] });
  let parts = 0;
  let errors = "";
  child.stderr?.on("data", (text) => {
    errors += text;
  });
  child.on("message", () => {
    if (parts++ === killAfter) child.kill("SIGKILL");
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
