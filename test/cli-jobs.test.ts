// Which files the command writes, of one input, of many, of streams, and in place; and that nothing else is left.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { BatchNorm1d, LayerNorm, NormPool, readSafetensors, writeSafetensors } from "../src/index.js";
import { formatNpyHeader } from "../src/storage/npy.js";
import { COMMAND, emptyFolder, readNpy, runIn, shellIn, writeNpy } from "./command.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());
const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const run = (...args: string[]) => runIn(folder, args);
const SHAPE = [1000, 4];
const CELLS = normal(4000, 1, 3, 2);
beforeEach(() => writeNpy(at("x.npy"), CELLS, SHAPE));

const normalized = async (cells = CELLS) =>
  (await pool.forward(new LayerNorm(4), pool.from(cells, [cells.length / 4, 4]))).data;

describe("a file that exists", () => {
  test("is not replaced, unless by --force, in one step", async () => {
    writeFileSync(at("y.npy"), "old");
    const { status, stderr } = run("layer-norm", "x.npy", "-o", "y.npy");
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "normpool: layer-norm: y.npy: it exists (--force replaces it, once the new one is complete)\n",
    });
    expect(readFileSync(at("y.npy"), "utf8")).toBe("old");
    expect(run("layer-norm", "x.npy", "-o", "y.npy", "--force").status).toBe(0);
    expectSameBits(readNpy(at("y.npy"), SHAPE), await normalized());
  });

  test("among many stops all of them before any work", () => {
    mkdirSync(at("out"));
    writeNpy(at("z.npy"), CELLS, SHAPE);
    writeFileSync(at("out/z.npy"), "old");
    expect(run("layer-norm", "x.npy", "z.npy", "--out-dir", "out").stderr).toContain("out/z.npy: it exists");
    expect(readdirSync(at("out"))).toEqual(["z.npy"]);
  });
});

describe("--in-place", () => {
  test("writes over the input, whose inode stays", async () => {
    const { status, stdout } = run("layer-norm", "x.npy", "--in-place", "--json");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ input: "x.npy", output: "x.npy" });
    expectSameBits(readNpy(at("x.npy"), SHAPE), await normalized());
    expect(readdirSync(folder)).toEqual(["x.npy"]);
  });

  test("says in its help what an interruption leaves, and refuses what has no room for the output", () => {
    expect(run("layer-norm", "--help").stdout.replace(/\s+/g, " ")).toContain(
      "an interruption leaves some cells normalised and others not",
    );
    writeFileSync(at("u.bin"), Buffer.alloc(64));
    const { status, stderr } = run("layer-norm", "u.bin", "--dtype", "uint8", "--shape", "4,16", "--in-place");
    expect(status).toBe(1);
    expect(stderr).toMatch(/^normpool: layer-norm: .*float32.*\n$/);
    expect(readFileSync(at("u.bin"))).toEqual(Buffer.alloc(64));
  });
});

describe("many inputs", () => {
  test("by name, pattern and folder, each to its name in --out-dir", async () => {
    mkdirSync(at("day"));
    for (const [i, name] of ["a.npy", "b.npy", "day/c.npy", "day/d.npy"].entries())
      writeNpy(at(name), normal(40, i), [10, 4]);
    writeFileSync(at("day/notes.txt"), "no tensor");
    // Brackets are a name's own.
    expect(run("layer-norm", "[ab].npy", "--out-dir", "none")).toEqual({
      status: 1,
      stdout: "",
      stderr: "normpool: layer-norm: [ab].npy: cannot read it: no such file or directory (ENOENT)\n",
    });
    const many = run("layer-norm", "?.npy", "day", "--out-dir", "deep/out", "--json");
    expect(many).toMatchObject({ status: 0, stderr: "" });
    const lines = many.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).output);
    expect(lines).toEqual(["a", "b", "x", "c", "d"].map((name) => `deep/out/${name}.npy`));
    for (const [i, name] of ["a", "b", "c", "d"].entries()) {
      expectSameBits(readNpy(at(`deep/out/${name}.npy`), [10, 4]), await normalized(normal(40, i)));
    }
  });

  test("of the same name are refused before any work", () => {
    mkdirSync(at("day"));
    writeNpy(at("day/x.npy"), CELLS, SHAPE);
    const { status, stderr } = run("layer-norm", "x.npy", "day/x.npy", "--out-dir", "out");
    expect(status).toBe(2);
    expect(stderr).toContain(
      "error: expected inputs of different names but x.npy and day/x.npy are both to be out/x.npy\n",
    );
    expect(existsSync(at("out"))).toBe(false);
  });

  test("stop at the first that fails; what was done stays, and nothing of the failure", () => {
    writeFileSync(at("broken.npy"), readFileSync(at("x.npy")).subarray(0, 1000));
    const { status, stdout, stderr } = run("layer-norm", "x.npy", "broken.npy", "--out-dir", "out", "--json");
    expect(status).toBe(1);
    expect(stdout.trimEnd().split("\n").length).toBe(1);
    expect(stderr).toBe(
      "normpool: layer-norm: broken.npy: expected 16000 bytes of cells for shape [1000, 4] but the file has 872\n",
    );
    expect(readdirSync(at("out"))).toEqual(["x.npy"]);
  });
});

describe("- is stdin and stdout", () => {
  test.each([
    "cat x.npy | normpool layer-norm - -o - > y.npy",
    "normpool layer-norm - -o y.npy < x.npy",
    "normpool layer-norm x.npy -o - > y.npy",
  ])("%s", async (line) => {
    const { status, stdout, stderr } = shellIn(folder, line);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: line.includes("> y") ? "" : expect.stringContaining("layer"),
    });
    // The summary is where the bytes are not.
    if (line.includes("-o -")) expect(stderr).toMatch(/\nlayer +LayerNorm/);
    expectSameBits(readNpy(at("y.npy"), SHAPE), await normalized());
    expect(readdirSync(folder).sort()).toEqual(["x.npy", "y.npy"]);
  });

  test("a reader that goes away is no error, a full disk is one", () => {
    const line = "normpool layer-norm x.npy -o - --quiet | head -c 6";
    expect(shellIn(folder, line)).toMatchObject({ status: 0, stderr: "" });
    if (!existsSync("/dev/full")) return;
    expect(shellIn(folder, "normpool layer-norm x.npy -o - > /dev/full")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(
        "normpool: layer-norm: stdout: cannot write there: no space left on device (ENOSPC)\n",
      ),
    });
  });

  test("what comes is named stdin, and nothing of it is left", () => {
    const { status, stderr } = shellIn(folder, "head -c 1000 x.npy | normpool layer-norm - -o y.npy");
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "normpool: layer-norm: stdin: expected 16000 bytes of cells for shape [1000, 4] but the file has 872\n",
    });
    expect(shellIn(folder, "cat x.npy | normpool layer-norm - -o absent/y.npy").stderr).toMatch(
      /^normpool: layer-norm: absent: cannot keep files there meanwhile: no such file or directory \(ENOENT\)\n$/,
    );
    const full = shellIn(folder, "trap '' XFSZ; cat x.npy | (ulimit -f 8; normpool layer-norm - -o y.npy)");
    expect(full.stderr).toMatch(/^normpool: layer-norm: stdin: cannot keep it in .*: file too large \(EFBIG\)\n$/);
    expect(readdirSync(folder)).toEqual(["x.npy"]);
  });

  test("an interrupt while it comes leaves nothing", async () => {
    const child = spawn(process.execPath, [COMMAND, "layer-norm", "-", "-o", "y.npy"], { cwd: folder });
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.stdin.on("error", () => {});
    child.stdin.write(Buffer.alloc(100));
    while (!readdirSync(folder).some((name) => name.startsWith(".normpool"))) await new Promise(setImmediate);
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(readdirSync(folder)).toEqual(["x.npy"]);
  });
});

describe("--state", () => {
  const trained = async () => {
    const layer = new BatchNorm1d(4);
    await pool.forward(layer, pool.from(normal(400, 7, 1, 3), [100, 4]));
    layer.weight.set([1, 2, 3, 4]);
    await writeSafetensors(at("model.safetensors"), {
      ...layer.stateDict({ prefix: "norm1." }),
      ...new LayerNorm(9).stateDict({ prefix: "norm2." }),
    });
    return layer;
  };
  const STATE = ["--state", "model.safetensors", "--prefix", "norm1."];

  test("has weights and running statistics, which are used as they are", async () => {
    const layer = (await trained()).eval();
    expect(run("batch-norm", "x.npy", "-o", "y.npy", ...STATE)).toMatchObject({ status: 0, stderr: "" });
    expectSameBits(readNpy(at("y.npy"), SHAPE), (await pool.forward(layer, pool.from(CELLS, SHAPE))).data);
  });

  test("with --train updates them, for --save-state, which replaces nothing", async () => {
    const layer = await trained();
    const args = [...STATE, "--train", "--save-state", "after.safetensors"];
    expect(run("batch-norm", "x.npy", "-o", "y.npy", ...args)).toMatchObject({ status: 0, stderr: "" });
    expectSameBits(readNpy(at("y.npy"), SHAPE), (await pool.forward(layer, pool.from(CELLS, SHAPE))).data);
    expect(await readSafetensors(at("after.safetensors"))).toEqual(layer.stateDict({ prefix: "norm1." }));
    const again = run("batch-norm", "x.npy", "-o", "z.npy", ...args);
    expect(again.stderr).toContain("after.safetensors: it exists");
    expect(existsSync(at("z.npy"))).toBe(false);
  });

  test("is not needed for --save-state: the average over many files", async () => {
    writeNpy(at("z.npy"), normal(80, 3), [20, 4]);
    const args = ["--out-dir", "out", "--momentum", "none", "--save-state", "bn.safetensors"];
    expect(run("batch-norm", "x.npy", "z.npy", ...args)).toMatchObject({ status: 0, stderr: "" });
    const layer = new BatchNorm1d(4, { affine: false, momentum: null });
    await pool.forward(layer, pool.from(CELLS, SHAPE));
    await pool.forward(layer, pool.from(normal(80, 3), [20, 4]));
    expect(await readSafetensors(at("bn.safetensors"))).toEqual(layer.stateDict());
  });

  test.each([
    [["batch-norm"], /"norm3\." but there are none/, "norm3."],
    [["batch-norm"], /a state that fits the layer for dict but got .*unexpected keys/, ""],
    [["layer-norm"], /given normalizedShape \[9\], expected input of shape/, "norm2."],
  ])("%o that does not fit is refused: %o", async ([name = ""], message, prefix) => {
    await trained();
    const { status, stderr } = run(name, "x.npy", "-o", "y.npy", "--state", "model.safetensors", "--prefix", prefix);
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).not.toContain("\n");
    expect(readdirSync(folder).sort()).toEqual(["model.safetensors", "x.npy"]);
  });
});

const PEAK = new URL("../bench/peak.js", import.meta.url).href;

test("memory does not grow with the file", () => {
  // Holes are zeros. The bound is README's.
  const header = formatNpyHeader([1 << 18, 512]);
  writeFileSync(at("large.npy"), header);
  truncateSync(at("large.npy"), header.length + 2 ** 29);
  const script = `import { ownPeak } from ${JSON.stringify(PEAK)}; process.on("exit", () => process.stderr.write(String(ownPeak())));`;
  const flag = `--import=data:text/javascript,${encodeURIComponent(script)}`;
  for (const layer of ["batch-norm", "layer-norm"]) {
    const { stderr } = shellIn(
      folder,
      `NODE_OPTIONS='${flag}' normpool ${layer} large.npy -o y.npy --quiet --threads 2`,
    );
    expect(Number(stderr) / 2 ** 20).toBeLessThan(150);
    expect(readFileSync(at("y.npy")).length).toBe(header.length + 2 ** 29);
    rmSync(at("y.npy"));
  }
});
