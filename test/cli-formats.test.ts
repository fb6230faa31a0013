// The command's formats: any in, out by name; held against the library.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { BatchNorm2d, LayerNorm, NormPool, type OpenOptions, type Tensor } from "../src/index.js";
import { emptyFolder, runIn, writeNpy } from "./command.js";
import { normal } from "./support.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());
const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const run = (...args: string[]) => runIn(folder, args);
const TENSORS = fileURLToPath(new URL("../../test/fixtures/tensors/", import.meta.url));

const bytesOf = async (tensor: Tensor) => Buffer.from((await tensor.read()).buffer as SharedArrayBuffer);

describe("any format in, and out by the output's name", () => {
  test.each<[input: string, options: OpenOptions, output: string]>([
    ["f4.npy", {}, "y.npy"],
    ["f8.npy", {}, "y.safetensors"],
    ["f2.npy", {}, "y.npy"],
    ["big-f4.npy", {}, "y.bin"],
    ["u1.npy", {}, "y.npy"],
    ["v2.npy", { dtype: "bfloat16" }, "y.npy"],
    ["u2-bfloat16.npy", { dtype: "bfloat16" }, "y.safetensors"],
    ["many.safetensors", { key: "b.f64" }, "y.safetensors"],
    ["bfloat16.safetensors", {}, "y.dat"],
    ["stored.npz", { member: "second" }, "y.npy"],
    ["one.npz", {}, "y.something"],
    ["f4.npy", { shape: [6, 4] }, "y.npy"],
  ])("%s %o to %s", async (name, options, output) => {
    const input = join(TENSORS, name);
    const args = Object.entries(options).flatMap(([option, value]) => [`--${option}`, String(value)]);
    const { status, stderr, stdout } = run("layer-norm", input, "-o", output, "--json", ...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    using x = await pool.open(input, options);
    const layer = new LayerNorm(4, { elementwiseAffine: false, dtype: x.dtype === "float64" ? "float64" : "float32" });
    const expected = await pool.forward(layer, x);
    expect(JSON.parse(stdout)).toMatchObject({ input, output, dtype: x.dtype, shape: x.shape });
    const { dtype, shape } = expected;
    const raw = /\.(bin|dat)$/.test(output);
    const key = options.key === undefined ? {} : { key: options.key };
    using y = await pool.open(at(output), raw ? { format: "raw", dtype, shape } : { dtype, ...key });
    expect(y.shape).toEqual(shape);
    expect(await bytesOf(y)).toEqual(Buffer.from(expected.toBytes()));
  });

  test("raw cells from an offset", async () => {
    const cells = normal(64, 1);
    writeFileSync(at("x.raw"), Buffer.concat([Buffer.alloc(7), Buffer.from(cells.buffer)]));
    const args = ["--dtype", "float32", "--shape", "4,16", "--offset", "7"];
    expect(run("layer-norm", "x.raw", "-o", "y.raw", ...args)).toMatchObject({ status: 0, stderr: "" });
    const expected = await pool.forward(new LayerNorm(16), pool.from(cells, [4, 16]));
    expect(readFileSync(at("y.raw"))).toEqual(Buffer.from(expected.toBytes()));
  });
});

describe("channels", () => {
  beforeEach(() => writeNpy(at("x.npy"), normal(2 * 16 * 16 * 3, 1, 5), [2, 16, 16, 3]));

  test("at the end are said, and an output that takes others for them has a warning", async () => {
    const guessed = run("batch-norm", "x.npy", "-o", "y.npy", "--quiet");
    expect(guessed).toEqual({ status: 0, stdout: "", stderr: "" });
    const { status, stderr } = run("batch-norm", "x.npy", "-o", "y.npy", "--force");
    expect(status).toBe(0);
    expect(stderr).toBe(
      "normpool: warning: x.npy: dimension 1 of [2, 16, 16, 3], 16, is taken for the channels; if the last one is, say --channel-axis -1 (and if not, --channel-axis 1)\n",
    );
    expect(run("batch-norm", "x.npy", "-o", "last.npy", "--channel-axis", "-1").stderr).toBe("");
    using x = await pool.open(at("x.npy"));
    const expected = await pool.forward(new BatchNorm2d(3), x, { channelAxis: -1 });
    using y = await pool.open(at("last.npy"));
    expect(await bytesOf(y)).toEqual(Buffer.from(expected.toBytes()));
  });

  test.each([
    ["said to be first", [2, 16, 16, 3], ["--channel-axis", "1"]],
    ["first", [2, 3, 16, 16], []],
    ["first, of small maps", [2, 48, 4, 4], []],
    ["all there is", [96, 16], []],
  ])("%s have none", (_, shape, args) => {
    writeNpy(at("x.npy"), normal(1536, 1), shape);
    expect(run("batch-norm", "x.npy", "-o", "y.npy", ...args)).toMatchObject({ status: 0, stderr: "" });
  });

  test.each([
    ["group-norm", ["--groups", "3", "--channel-axis", "-1"]],
    ["instance-norm", ["--channel-axis", "3"]],
    ["layer-norm", ["--channel-axis", "-1"]],
    ["layer-norm", ["--channel-axis", "1"]],
    ["local-response-norm", ["--size", "5", "--alpha", "0.1"]],
    ["unit-norm", ["--normalized-shape", "16,3"]],
  ])("%s %o", (name, args) => {
    expect(run(name, "x.npy", "-o", "y.npy", ...args)).toMatchObject({ status: 0, stderr: "" });
  });

  test("at a dimension that is not there are refused", () => {
    const { status, stderr } = run("batch-norm", "x.npy", "-o", "y.npy", "--channel-axis", "7");
    expect(status).toBe(1);
    expect(stderr).toBe(
      "normpool: batch-norm: x.npy: expected channels at dimension 7 but got an array of shape [2, 16, 16, 3]\n",
    );
  });
});

test.each([
  [
    "many.safetensors",
    { format: "safetensors", metadata: {}, tensors: { "a.f32": { dtype: "F32", shape: [2, 3, 4] } } },
  ],
  ["stored.npz", { format: "npz", arrays: { second: { version: "1.0", dtype: ">f8", order: "C", shape: [2, 3, 4] } } }],
  ["deflated.npz", { format: "npz", arrays: { first: { compressed: true, bytes: 224 } } }],
  ["i4.npy", { format: "npy", dtype: "<i4" }],
])("info of %s", (name, info) => {
  expect(JSON.parse(run("info", join(TENSORS, name), "--json").stdout)).toMatchObject(info);
  expect(run("info", join(TENSORS, name)).stdout).toMatch(/\nbytes +\d+\n$/);
});

test("info names what it says of each tensor, and metadata as such", () => {
  expect(run("info", join(TENSORS, "many.safetensors")).stdout).toMatch(/\na\.f32 +dtype F32, shape \[2, 3, 4\]\n/);
  expect(run("info", join(TENSORS, "metadata.safetensors")).stdout).toMatch(/\nmetadata \w+ +\S/);
  expect(run("info", join(TENSORS, "stored.npz")).stdout).toMatch(/\nsecond +version 1\.0, dtype >f8, order C, shape /);
});

test.each([
  [["lay"], ["layer-norm"]],
  [["batch-norm", "--mom"], ["--momentum"]],
  [
    ["layer-norm", "a "],
    ["a b.npy", "a c.npy"],
  ],
  [
    ["completion", ""],
    ["bash", "zsh", "fish"],
  ],
])("bash completes %j to %j", (words, expected) => {
  for (const name of ["a b.npy", "a c.npy", "d.npy"]) writeFileSync(join(folder, name), "");
  const given = ["normpool", ...words].map((word) => `'${word}'`).join(" ");
  const line = `COMP_WORDS=(${given}); COMP_CWORD=${words.length}; _normpool; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const script = `${run("completion", "bash").stdout}\n${line}`;
  const { stdout, stderr } = spawnSync("bash", ["-c", script], { cwd: folder, encoding: "utf8" });
  expect({ stdout, stderr }).toEqual({ stdout: `${expected.join("\n")}\n`, stderr: "" });
});

test.each(["bash", "zsh", "fish"])("completion of %s knows sub-commands and options", (shell) => {
  const { status, stdout } = run("completion", shell);
  expect(status).toBe(0);
  for (const word of ["layer-norm", "info", "channel-axis"]) expect(stdout).toContain(word);
});
