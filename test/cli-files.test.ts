// The command's files: what it says of its input, and what becomes of what was under the output's name.
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { formatNpyHeader } from "../src/storage/npy.js";
import { emptyFolder, FIXTURES, readNpy, runIn, shellIn, writeNpy } from "./command.js";
import { layerNorm, rmsNorm } from "./reference.js";
import { expectWithinUlps, normal } from "./support.js";

const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const run = (...args: string[]) => runIn(folder, args);
beforeEach(() => writeNpy(at("x.npy"), normal(4000, 1), [1000, 4]));

describe("the output", () => {
  test("keeps the mode of the file that it replaces", () => {
    for (const mode of [0o600, 0o640, 0o755]) {
      writeFileSync(at("y.npy"), "old");
      chmodSync(at("y.npy"), mode);
      expect(run("batch-norm", "x.npy", "-o", "y.npy", "--force").status).toBe(0);
      expect(statSync(at("y.npy")).mode & 0o7777).toBe(mode);
    }
  });

  test("by a link to nothing is the file that the link names, from the folder that the link is in", () => {
    mkdirSync(at("models"));
    symlinkSync("../y.npy", at("models/latest.npy"));
    symlinkSync("models/latest.npy", at("link.npy"));
    expect(run("batch-norm", "x.npy", "-o", "link.npy").status).toBe(0);
    expect(readlinkSync(at("link.npy"))).toBe("models/latest.npy");
    expect(readlinkSync(at("models/latest.npy"))).toBe("../y.npy");
    expect(readNpy(at("y.npy"), [1000, 4]).length).toBe(4000);
  });

  test("by a link to itself is refused", () => {
    symlinkSync("loop.npy", at("loop.npy"));
    expect(run("batch-norm", "x.npy", "-o", "loop.npy")).toMatchObject({
      status: 1,
      stderr: "normpool: batch-norm: loop.npy: cannot write there: too many links\n",
    });
  });

  test("that does not fit leaves what was there, and the error names it", () => {
    writeFileSync(at("y.npy"), "old");
    // Some 4 KiB of 16: no disk need be filled.
    const { status, stderr } = shellIn(folder, "ulimit -f 8; normpool batch-norm x.npy -o y.npy --force");
    expect(stderr).toBe("normpool: batch-norm: y.npy: cannot write there: file too large (EFBIG)\n");
    expect(status).toBe(1);
    expect(readFileSync(at("y.npy"), "utf8")).toBe("old");
    expect(readdirSync(folder).sort()).toEqual(["x.npy", "y.npy"]);
  });

  test("that is larger than the free space is refused before the work", () => {
    const { bavail, bfree, bsize } = statfsSync(folder);
    const rows = Math.ceil((Math.max(bavail, bfree) * bsize) / 4096) + (1 << 20);
    const header = formatNpyHeader([rows, 1024]);
    writeFileSync(at("holes.npy"), header);
    truncateSync(at("holes.npy"), header.length + 4096 * rows);
    const { status, stderr } = run("layer-norm", "holes.npy", "-o", "y.npy");
    const needed = header.length + 4096 * rows;
    expect(stderr).toMatch(
      new RegExp(
        `^normpool: layer-norm: y.npy: cannot write there: expected room for ${needed} bytes but \\d+ are available`,
      ),
    );
    expect(status).toBe(1);
    expect(readdirSync(folder).sort()).toEqual(["holes.npy", "x.npy"]);
  });

  test("of too long a name is refused by that name", () => {
    const name = `${"n".repeat(300)}.npy`;
    const { status, stderr } = run("batch-norm", "x.npy", "-o", name);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: `normpool: batch-norm: ${name}: cannot write there: name too long (ENAMETOOLONG)\n`,
    });
  });
});

describe("the input", () => {
  test("with more bytes than its shape has a warning", () => {
    writeFileSync(at("more.npy"), Buffer.concat([readFileSync(at("x.npy")), Buffer.alloc(5)]));
    const { status, stderr } = run("batch-norm", "more.npy", "-o", "y.npy");
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: "normpool: warning: more.npy: left out 5 bytes after the cells of its shape\n",
    });
    expect(readNpy(at("y.npy"), [1000, 4]).length).toBe(4000);
    expect(run("batch-norm", "more.npy", "-o", "y.npy", "--force", "--quiet").stderr).toBe("");
  });

  test.each([
    ["batch-norm", [Number.NaN], "1 of its 4 sets of cells that are normalised together has"],
    [
      "batch-norm",
      [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
      "2 of its 4 sets of cells that are normalised together have",
    ],
    [
      "layer-norm",
      [Number.NaN, Number.NEGATIVE_INFINITY],
      "2 of its 1000 sets of cells that are normalised together have",
    ],
    ["rms-norm", [Number.POSITIVE_INFINITY], "1 of its 1000 sets of cells that are normalised together has"],
    ["unit-norm", [Number.NaN], "1 of its 1000 sets of cells that are normalised together has"],
  ])("of %s with %o has a warning with the count", (name, values, message) => {
    const data = normal(4000, 1);
    values.forEach((value, i) => {
      data[1001 * i + 7] = value;
    });
    writeNpy(at("nan.npy"), data, [1000, 4]);
    const { status, stderr } = run(name, "nan.npy", "-o", "y.npy");
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: `normpool: warning: nan.npy: ${message} NaN or infinite cells\n`,
    });
  });

  test("with the largest numbers of float32 has none", () => {
    writeNpy(at("large.npy"), new Float32Array(4000).fill(-3.4028234663852886e38), [1000, 4]);
    expect(run("batch-norm", "large.npy", "-o", "y.npy")).toMatchObject({ status: 0, stderr: "" });
  });

  test.each([
    ["structured.npy", /structured type \[\('a', '<f4'\), .*array\["name"\]/],
    ["nested.npy", /structured type \[\('p', \[\('x', '<f4'\), .*array\["name"\]/],
    ["fortran.npy", /C order but got Fortran order .*numpy\.ascontiguousarray/],
    ["arrays.npz", /expected one of .*arrays\.npz's, \["first", "second"\], for --member but got none/],
    ["model.safetensors", /expected one of .*model\.safetensors's tensors, \[.*\], for --key but got none/],
    ["make-npy.py", /expected an \.npy, \.npz or safetensors file, or the dtype and shape of raw cells/],
  ])("%s is refused as what it is, with what to do", (name, message) => {
    const { status, stderr } = run("layer-norm", join(FIXTURES, name), "-o", "y.npy");
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).not.toContain("\n");
  });
});

describe("without --normalized-shape it is the last dimension", () => {
  const data = normal(360, 1, 10, 2);

  test.each([
    ["layer-norm", layerNorm],
    ["rms-norm", rmsNorm],
  ])("of %s", (name, reference) => {
    writeNpy(at("x.npy"), data, [3, 4, 5, 6]);
    expect(run(name, "x.npy", "-o", "y.npy").status).toBe(0);
    expectWithinUlps(readNpy(at("y.npy"), [3, 4, 5, 6]), reference(data, [6]).y, 2);
  });

  test("and a scalar has none", () => {
    const input = join(FIXTURES, "scalar.npy");
    const { status, stderr } = run("layer-norm", input, "-o", "y.npy");
    expect(status).toBe(1);
    expect(stderr).toBe(
      `normpool: layer-norm: ${input}: expected an array of one dimension or more but got a scalar\n`,
    );
  });
});
