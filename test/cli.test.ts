// The command, run as users run it.
import { spawnSync } from "node:child_process";
import { copyFileSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { formatNpyHeader } from "../src/storage/npy.js";
import * as command from "./command.js";
import { axisNorm, batchNorm, groupNorm, instanceNorm, layerNorm, rmsNorm } from "./reference.js";
import { expectWithinUlps, normal } from "./support.js";

const { FIXTURES } = command;
const folder = command.emptyFolder();
const run = (...args: string[]) => command.runIn(folder, args);
const writeNpy = (name: string, data: Float32Array, shape: readonly number[]) =>
  command.writeNpy(join(folder, name), data, shape);
const readNpy = (name: string, shape: readonly number[]) => command.readNpy(join(folder, name), shape);

describe("each layer from file to file", () => {
  const shape = [3, 4, 5, 6];
  const data = normal(360, 1, 10, 2);

  test.each([
    ["layer-norm", ["--normalized-shape", "5,6"], layerNorm(data, [5, 6])],
    ["layer-norm", ["--normalized-shape", "6", "--eps", "0.5"], layerNorm(data, [6], { eps: 0.5 })],
    ["rms-norm", ["--normalized-shape", "5,6"], rmsNorm(data, [5, 6])],
    ["group-norm", ["--groups", "2"], groupNorm(data, shape, 2)],
    ["instance-norm", [], instanceNorm(data, shape)],
    ["batch-norm", [], batchNorm(data, shape)],
    ["layer-norm", ["--channel-axis", "1"], axisNorm(data, shape, { channelAxis: 1 })],
    ["layer-norm", ["--channel-axis", "-2", "--normalized-shape", "5"], axisNorm(data, shape, { channelAxis: 2 })],
    ["batch-norm", ["--channel-axis", "-1"], batchNorm(data, shape, { channelAxis: -1 })],
    ["group-norm", ["--groups", "3", "--channel-axis", "-1"], groupNorm(data, shape, 3, { channelAxis: -1 })],
    ["instance-norm", ["--channel-axis=-1"], instanceNorm(data, shape, { channelAxis: -1 })],
  ])("%s %s", (name, options, { y }) => {
    writeNpy("x.npy", data, shape);
    const { status, stdout, stderr } = run(name, "x.npy", "-o", "y.npy", "--stats", ...options);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/before +mean 9\.\d{4}, deviation 2\.\d{4}|before +mean 10\.\d{4}, deviation \d\.\d{4}/);
    expectWithinUlps(readNpy("y.npy", shape), y, 2);
  });

  test.each([[7], [7, 3]])("batch-norm takes 2D, and says so of %s", (...sizes) => {
    writeNpy(
      "x.npy",
      normal(
        sizes.reduce((a, b) => a * b),
        1,
      ),
      sizes,
    );
    const { status, stderr } = run("batch-norm", "x.npy", "-o", "y.npy");
    expect(status).toBe(sizes.length === 2 ? 0 : 1);
    if (sizes.length !== 2)
      expect(stderr).toBe("normpool: batch-norm: x.npy: expected a 2D, 3D, 4D or 5D array but got 1D of shape [7]\n");
  });

  test.each([
    ["layer-norm", "4", 1, "layer-norm: x.npy: expected an array with a dimension 4 but got shape [3, 4, 5, 6]"],
    [
      "batch-norm",
      "-5",
      1,
      "batch-norm: x.npy: expected channels at dimension -5 but got an array of shape [3, 4, 5, 6]",
    ],
    ["instance-norm", "0", 1, "expected another dimension than the samples' for --channel-axis but got 0"],
    ["instance-norm", "1.5", 2, "Expected a dimension such as 1, or -1 for the last one."],
    ["rms-norm", "1", 2, "unknown option '--channel-axis'"],
  ])("%s refuses --channel-axis %s", (name, axis, code, words) => {
    writeNpy("x.npy", data, shape);
    const { status, stderr } = run(name, "x.npy", "-o", "y.npy", "--channel-axis", axis);
    expect(stderr).toContain(words);
    expect(status).toBe(code);
  });

  test("over its own input, which is asked for", () => {
    writeNpy("x.npy", data, shape);
    expect(run("batch-norm", "x.npy", "-o", "x.npy")).toMatchObject({
      status: 1,
      stderr: "normpool: batch-norm: x.npy: it exists (--force replaces it, once the new one is complete)\n",
    });
    expect(run("batch-norm", "x.npy", "-o", "x.npy", "--force").status).toBe(0);
    expectWithinUlps(readNpy("x.npy", shape), batchNorm(data, shape).y, 2);
    expect(readdirSync(folder)).toEqual(["x.npy"]);
  });

  test("a large file on several threads", () => {
    const large = normal(512 * 1024, 2, 3);
    writeNpy("x.npy", large, [512, 1024]);
    const { status, stdout } = run(
      "layer-norm",
      "x.npy",
      "-o",
      "y.npy",
      "--normalized-shape",
      "1024",
      "--threads",
      "3",
      "--json",
    );
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ shape: [512, 1024], threads: 3, input: "x.npy", output: "y.npy" });
    expectWithinUlps(readNpy("y.npy", [512, 1024]), layerNorm(large, [1024]).y, 2);
  });

  test("--json prints one object, --quiet nothing", () => {
    writeNpy("x.npy", data, shape);
    const { stdout } = run("batch-norm", "x.npy", "-o", "y.npy", "--stats", "--json");
    const summary = JSON.parse(stdout);
    expect(Object.keys(summary)).toEqual([
      "input",
      "output",
      "shape",
      "dtype",
      "layer",
      "threads",
      "milliseconds",
      "gigabytesPerSecond",
      "before",
      "after",
    ]);
    expect(summary.after.mean).toBeCloseTo(0, 6);
    expect(summary.after.deviation).toBeCloseTo(1, 4);
    expect(run("batch-norm", "x.npy", "-o", "y.npy", "--force", "--quiet")).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
  });

  test("an empty array", () => {
    writeNpy("x.npy", new Float32Array(0), [0, 4]);
    const { status, stdout } = run("batch-norm", "x.npy", "-o", "y.npy", "--stats");
    expect(status).toBe(0);
    expect(stdout).toContain("mean none, deviation none");
    expect(readNpy("y.npy", [0, 4]).length).toBe(0);
  });
});

describe("bad input gets one line, exit code 1 and no output file", () => {
  test.each([
    ["no .npy", "text.npy", /magic string is missing/],
    ["cut short", "short.npy", /expected 96 bytes of cells for shape \[2, 3, 4\] but the file has 40/],
    ["Fortran order", join(FIXTURES, "fortran.npy"), /C order but got Fortran order/],
    ["a shape beyond the file", "beyond.npy", /expected 4000000000000000000 bytes of cells/],
    [
      "not there",
      "absent.npy",
      /^normpool: layer-norm: absent.npy: cannot read it: no such file or directory \(ENOENT\)$/m,
    ],
    [
      "a folder of none",
      "folder",
      /folder: expected .npy, .npz or safetensors files in this folder but there are none/,
    ],
    ["a pattern of none", "absent*.npy", /no file's name is like that/],
  ])("%s", (_, input, message) => {
    writeFileSync(join(folder, "text.npy"), "hello");
    mkdirSync(join(folder, "folder"));
    writeFileSync(join(folder, "short.npy"), readFileSync(join(FIXTURES, "v1.npy")).subarray(0, 168));
    writeFileSync(join(folder, "beyond.npy"), formatNpyHeader([1e6, 1e6, 1e6]));
    const before = readdirSync(folder);
    const { status, stdout, stderr } = run("layer-norm", input, "-o", "y.npy", "--normalized-shape", "4");
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).not.toContain("\n");
    expect(readdirSync(folder)).toEqual(before);
  });

  test("a shape that the layer does not take", () => {
    writeNpy("x.npy", normal(12, 1), [3, 4]);
    for (const args of [
      ["layer-norm", "--normalized-shape", "5"],
      ["group-norm", "--groups", "3"],
      ["instance-norm"],
    ]) {
      const [name = "", ...options] = args;
      expect(run(name, "x.npy", "-o", "y.npy", ...options)).toMatchObject({ status: 1, stdout: "" });
    }
    expect(readdirSync(folder)).toEqual(["x.npy"]);
  });

  test("an output that cannot be written", () => {
    writeNpy("x.npy", normal(12, 1), [3, 4]);
    const { status, stderr } = run("batch-norm", "x.npy", "-o", "absent/y.npy");
    expect(status).toBe(1);
    expect(stderr).toBe("normpool: batch-norm: absent/y.npy: cannot write there: no such file or directory (ENOENT)\n");
  });

  test("an output that is no regular file is left as it is; a link's target is replaced", () => {
    writeNpy("x.npy", normal(12, 1), [3, 4]);
    expect(run("batch-norm", "x.npy", "-o", ".").stderr).toContain("cannot write there: it is a folder");
    expect(spawnSync("mkfifo", ["pipe"], { cwd: folder }).status).toBe(0);
    expect(run("batch-norm", "x.npy", "-o", "pipe")).toMatchObject({ status: 1 });
    expect(lstatSync(join(folder, "pipe")).isFIFO()).toBe(true);
    expect(run("info", "pipe")).toMatchObject({ status: 1, stderr: "normpool: info: pipe: expected a regular file\n" });
    writeFileSync(join(folder, "target.npy"), "old");
    symlinkSync("target.npy", join(folder, "link.npy"));
    expect(run("batch-norm", "x.npy", "-o", "link.npy", "--force").status).toBe(0);
    expect(lstatSync(join(folder, "link.npy")).isSymbolicLink()).toBe(true);
    expect(readNpy("target.npy", [3, 4]).length).toBe(12);
  });
});

describe("usage errors have exit code 2", () => {
  test.each([
    [[]],
    [["nonsense"]],
    [["layer-norm", "x.npy", "--normalized-shape", "4"]],
    [["group-norm", "x.npy", "-o", "y.npy"]],
    [["layer-norm", "x.npy", "-o", "y.npy", "--normalized-shape", "4,x"]],
    [["group-norm", "x.npy", "-o", "y.npy", "--groups", "0"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--eps", "-1"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--eps", "NaN"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--threads", "1.5"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--threads", "256"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--groups", "2"]],
    [["batch-norm", "x.npy", "z.npy", "-o", "y.npy"]],
    [["batch-norm", "x.npy"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--in-place"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--out-dir", "out"]],
    [["batch-norm", "-", "-", "--out-dir", "out"]],
    [["batch-norm", "-", "--in-place"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--train", "--eval"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--eval"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--channel-axis", "1.5"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--dtype", "int8"]],
    [["unit-norm", "x.npy", "-o", "y.npy", "--channel-axis", "1"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--prefix", "norm."]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--momentum", "0.2"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--train", "--momentum", "0.2"]],
    [["batch-norm", "x.npy", "-o", "y.npy", "--save-state", "bn.npz"]],
    [["completion", "tcsh"]],
    [["fit", "x.npy", "-o", "scaler.npy"]],
    [["fit", "-", "-", "-o", "scaler.safetensors"]],
    [["stats", "a*.npy"]],
  ])("%s", (args) => {
    for (const name of ["x.npy", "a1.npy", "a2.npy"]) copyFileSync(join(FIXTURES, "v2.npy"), join(folder, name));
    const { status, stdout, stderr } = run(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^(error: .+\n+\(normpool .*--help shows how\)|.*Usage: normpool)/s);
    expect(readdirSync(folder).sort()).toEqual(["a1.npy", "a2.npy", "x.npy"]);
  });

  test("--help and --version are not errors", () => {
    expect(run("--help")).toMatchObject({ status: 0, stderr: "" });
    expect(run("--version").stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(run("layer-norm", "--help").stdout).toContain("--normalized-shape");
  });
});

test("info prints what the header says", () => {
  const path = join(FIXTURES, "fortran.npy");
  expect(JSON.parse(run("info", path, "--json").stdout)).toEqual({
    path,
    format: "npy",
    version: "1.0",
    dtype: "<f4",
    order: "Fortran",
    shape: [6, 4],
    bytes: 224,
  });
  expect(run("info", join(FIXTURES, "v2.npy")).stdout).toContain("[2, 3, 4]");
});
