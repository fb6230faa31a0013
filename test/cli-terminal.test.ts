// What the command prints, and what it does where nobody can read it.
import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { formatPace } from "../src/cli/report.js";
import { COMMAND, emptyFolder, readNpy, runIn, shellIn, writeNpy } from "./command.js";
import { normal } from "./support.js";

const folder = emptyFolder();
const run = (...args: string[]) => runIn(folder, args);

const WORK = "batch-norm x.npy -o y.npy";
const FULL = /^normpool: (batch-norm: |info: )?stdout: cannot write there: no space left on device \(ENOSPC\)\n$/;

describe.skipIf(!existsSync("/dev/full"))("a stdout that is full", () => {
  test.each([[`${WORK} --json`], [WORK], ["info x.npy"], ["info x.npy --json"], ["--help"], ["--version"]])(
    "is an error of one line: %s",
    (args) => {
      writeNpy(join(folder, "x.npy"), normal(12, 1), [3, 4]);
      expect(shellIn(folder, `normpool ${args} > /dev/full`)).toEqual({
        status: 1,
        stdout: "",
        stderr: expect.stringMatching(FULL),
      });
    },
  );

  test("does not take the output file, which is complete", () => {
    writeNpy(join(folder, "x.npy"), normal(12, 1), [3, 4]);
    shellIn(folder, `normpool ${WORK} > /dev/full`);
    expect(readNpy(join(folder, "y.npy"), [3, 4]).length).toBe(12);
  });

  test("does not matter where nothing is printed", () => {
    writeNpy(join(folder, "x.npy"), normal(12, 1), [3, 4]);
    expect(shellIn(folder, `normpool ${WORK} --quiet > /dev/full`).status).toBe(0);
  });

  test("nor does a stderr that is full change an exit code", () => {
    expect(shellIn(folder, "normpool info absent.npy 2> /dev/full").status).toBe(1);
    expect(shellIn(folder, "normpool --nonsense 2> /dev/full").status).toBe(2);
  });
});

test("the bar says how much, how fast, and how long yet", () => {
  expect(formatPace(0, 4e9, 0)).toBe(" 0.000 of 4.0 GB");
  expect(formatPace(0.5, 4e9, 1000)).toBe(" 2.0 of 4.0 GB, 2.00 GB/s, 1 s left");
  expect(formatPace(1, 5e6, 10)).toBe(" 0.005 of 0.005 GB, 0.50 GB/s, 0 s left");
});

test.each([["--help"], [WORK], ["info x.npy --json"]])("a reader that went away is no error: %s", async (args) => {
  writeNpy(join(folder, "x.npy"), normal(12, 1), [3, 4]);
  const child = spawn(process.execPath, [COMMAND, ...args.split(" ")], { cwd: folder });
  // Long before the command has started.
  child.stdout.destroy();
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});

describe("control characters of a file reach no terminal", () => {
  // An escape sequence, BEL, one of the eight-bit sequences that some terminals know, and a turn of the line's direction.
  const descr = "\x1b[31mred\x07\x9b2J\u202e";

  test.each([["info e.npy"], ["info e.npy --json"], ["batch-norm e.npy -o y.npy"]])("%s", (line) => {
    const args = line.split(" ");
    writeHeader("e.npy", `{'descr': '${descr}', 'fortran_order': False, 'shape': (3,), }`);
    const { stdout, stderr } = run(...args);
    expect(stdout + stderr).not.toMatch(/[^\P{Cc}\n]|\u202e/u);
    expect(stdout + stderr).toContain("\\u001b[31mred\\u0007\\u009b2J\\u202e");
    if (args.includes("--json")) expect(JSON.parse(stdout).dtype).toBe(descr);
  });

  test("nor do those of a file's name, in a line or in the summary", () => {
    const name = "a\x1b[1m\nb.npy";
    expect(run("info", name).stderr).toBe(
      "normpool: info: a\\u001b[1m\\u000ab.npy: cannot read it: no such file or directory (ENOENT)\n",
    );
    writeNpy(join(folder, "x.npy"), normal(12, 1), [3, 4]);
    const { stdout } = run("batch-norm", "x.npy", "-o", name);
    expect(stdout).toContain("output   a\\u001b[1m\\u000ab.npy\n");
    expect(run("batch-norm", "x.npy", name).stderr).not.toContain("\x1b");
  });

  function writeHeader(name: string, dict: string): void {
    const text = Buffer.from(dict, "utf8");
    const preamble = Buffer.from("\x93NUMPY\x03\x00\x00\x00\x00\x00", "latin1");
    preamble.writeUInt32LE(text.length, 8);
    writeFileSync(join(folder, name), Buffer.concat([preamble, text]));
  }
});

describe("help", () => {
  test.each([
    [["layer-norm"], "layer-norm"],
    [["layer-norm", "x.npy", "-o", "y.npy", "--nonsense"], "layer-norm"],
    [["group-norm", "x.npy", "-o", "y.npy"], "group-norm"],
    [["group-norm", "x.npy", "-o", "y.npy", "--groups", "0"], "group-norm"],
    [["info"], "info"],
    [["bench", "--threads", "0"], "bench"],
  ])("an error in %s points to the help of %s", (args, name) => {
    const { status, stderr } = run(...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(new RegExp(`^error: .*\n\\(normpool ${name} --help shows how\\)\n$`));
  });

  test("an error in no command's arguments points to the help of all", () => {
    expect(run("nonsense").stderr).toBe("error: unknown command 'nonsense'\n(normpool --help shows how)\n");
  });

  test("says what files are, and has an example", () => {
    const { stdout } = run("--help");
    expect(stdout.replace(/\s+/g, " ")).toContain("from file to file: .npy, .npz, safetensors and raw cells");
    expect(stdout).toContain("\nExamples:\n  normpool layer-norm embeddings.npy -o normalised.npy\n");
  });

  test.each([
    "layer-norm",
    "rms-norm",
    "unit-norm",
    "group-norm",
    "instance-norm",
    "batch-norm",
    "local-response-norm",
    "info",
    "bench",
  ])("of %s has an example of it, which it takes", (name) => {
    const example = new RegExp(`\nExamples?:\n  normpool (${name} .*)\n`).exec(run(name, "--help").stdout)?.[1];
    expect(example).toBeDefined();
    // A file that is not there comes after the arguments.
    if (name !== "bench")
      expect(run(...(example ?? "").split(" ")).stderr).toMatch(/\.npy: cannot read it: no such file or directory/);
  });
});
