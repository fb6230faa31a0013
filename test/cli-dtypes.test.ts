// --dtype-out: the output's dtype, whatever the input's; held against converting and computing in memory.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Dtype, LayerNorm, NormPool } from "../src/index.js";
import { formatNpyHeader } from "../src/storage/npy.js";
import { descrOf } from "../src/storage/npy-cells.js";
import { bytesOf, normalNumbers, numbersOf } from "./cells.js";
import { emptyFolder, runIn } from "./command.js";
import { converted } from "./converted.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());
const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const run = (...args: string[]) => runIn(folder, args);

const SHAPE = [50, 40];
const FLOATS = ["float32", "float64", "float16", "bfloat16"] as const;

function cellsOf(dtype: Dtype) {
  const numbers = normalNumbers(2000, 7, dtype === "uint8" ? 128 : 3, dtype === "uint8" ? 20 : 2);
  return converted(dtype, dtype === "uint8" ? numbers.map(Math.round) : numbers);
}

function writeCells(name: string, dtype: Dtype): void {
  writeFileSync(at(name), Buffer.concat([formatNpyHeader(SHAPE, descrOf(dtype)), bytesOf(cellsOf(dtype))]));
}

/** Results in the wider of both dtypes, rounded to the output's. Those of uint8 are float32 without that. */
async function expectedOf(input: Dtype, output: Dtype): Promise<Uint8Array> {
  const wide = input === "float64" || output === "float64" ? "float64" : "float32";
  const isOwn = input === output || (input === "uint8" && output === "float32");
  const computed = isOwn ? input : wide;
  const cells = converted(computed, numbersOf(input, cellsOf(input)));
  using x = pool.tensor(computed, SHAPE);
  new Uint8Array(x.data.buffer, x.data.byteOffset, x.data.byteLength).set(bytesOf(cells));
  const options = { elementwiseAffine: false, dtype: wide } as const;
  using y = await pool.forward(new LayerNorm(40, options), x);
  if (isOwn) return y.toBytes();
  return bytesOf(converted(output, numbersOf(computed, y.data)));
}

describe.each([...FLOATS, "uint8"] as const)("a file of %s", (input) => {
  test.each(FLOATS)("to %s", async (output) => {
    writeCells("x.npy", input);
    const dtype = input === "bfloat16" ? ["--dtype", input] : [];
    const args = ["layer-norm", "x.npy", "-o", "y.npy", "--dtype-out", output, "--json", ...dtype];
    const { status, stderr, stdout } = run(...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const header = formatNpyHeader(SHAPE, descrOf(output));
    const file = readFileSync(at("y.npy"));
    expect(file.subarray(0, header.length)).toEqual(header);
    expect(Buffer.compare(file.subarray(header.length), await expectedOf(input, output))).toBe(0);
    const summary = JSON.parse(stdout);
    expect(summary).toMatchObject({ dtype: input, shape: SHAPE });
    expect(summary.outputDtype).toBe(input === output ? undefined : output);
  });
});

test("every layer command takes it, also with --stats, and the summary says both dtypes", () => {
  writeCells("x.npy", "float16");
  for (const args of [
    ["rms-norm"],
    ["unit-norm"],
    ["group-norm", "--groups", "5"],
    ["instance-norm"],
    ["batch-norm"],
    ["local-response-norm", "--size", "3"],
  ]) {
    const { status, stdout, stderr } = run(
      ...args,
      "x.npy",
      "-o",
      "y.npy",
      "--force",
      "--shape",
      "10,5,40",
      "--stats",
      "--dtype-out",
      "float32",
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("[10, 5, 40] float16, written as float32");
    expect(readFileSync(at("y.npy")).length).toBe(128 + 4 * 2000);
  }
  expect(run("layer-norm", "x.npy", "-o", "y.npy", "--force").stdout).toMatch(/\[50, 40\] float16\n/);
});

test("several files, each of a dtype of its own, by the output's name as any format", () => {
  writeCells("a.npy", "float64");
  writeCells("b.npy", "float16");
  const { status } = run("layer-norm", "a.npy", "b.npy", "--out-dir", "y", "--dtype-out", "bfloat16", "--quiet");
  expect(status).toBe(0);
  expect(run("layer-norm", "a.npy", "-o", "y.safetensors", "--dtype-out", "bfloat16").status).toBe(0);
  for (const name of ["y/a.npy", "y/b.npy"]) expect(readFileSync(at(name)).length).toBe(128 + 2 * 2000);
  const { stdout } = run("info", "y.safetensors", "--json");
  expect(JSON.parse(stdout).tensors.tensor).toMatchObject({ dtype: "BF16", shape: SHAPE });
});

describe("in place", () => {
  test("another dtype than the file's is a usage error, before any file is touched", () => {
    writeCells("a.npy", "float32");
    writeCells("b.npy", "float16");
    const before = readFileSync(at("a.npy"));
    const { status, stdout, stderr } = run("layer-norm", "a.npy", "b.npy", "--in-place", "--dtype-out", "float32");
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain("error: expected --dtype-out float16, which b.npy has, for --in-place but got float32\n");
    expect(readFileSync(at("a.npy"))).toEqual(before);
  });

  test("the file's own is none", async () => {
    writeCells("a.npy", "float16");
    expect(run("layer-norm", "a.npy", "--in-place", "--dtype-out", "float16").status).toBe(0);
    const expected = await expectedOf("float16", "float16");
    expect(Buffer.compare(readFileSync(at("a.npy")).subarray(128), expected)).toBe(0);
  });
});

test.each(["uint8", "int8", "half"])("%s is no dtype of an output", (dtype) => {
  writeCells("x.npy", "float32");
  const { status, stderr } = run("layer-norm", "x.npy", "-o", "y.npy", "--dtype-out", dtype);
  expect(status).toBe(2);
  expect(stderr).toContain("Allowed choices are float32, float64, float16, bfloat16.");
  expect(readdirSync(folder)).toEqual(["x.npy"]);
});
