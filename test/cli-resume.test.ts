// The command killed at some moment, and --resume: the same bits, and nothing left behind.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { COMMAND, emptyFolder, runIn, writeNpy } from "./command.js";
import { normal } from "./support.js";

const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const run = (...args: string[]) => runIn(folder, args);
const LARGE = [4099, 1024];

beforeEach(() => writeNpy(at("x.npy"), normal(4099 * 1024, 3, 5, 2), LARGE));

/** Runs until a file of that name is there, and kills it. Returns how it ended. */
async function killedAt(name: string, ...args: string[]): Promise<unknown> {
  const child = spawn(process.execPath, [COMMAND, ...args], { cwd: folder, stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("close", (code, signal) => resolve(signal ?? code)));
  while (child.exitCode === null && !existsSync(at(name))) await new Promise(setImmediate);
  child.kill("SIGKILL");
  return ended;
}

const LEFT = [".y.npy.normpool-lock", ".y.npy.normpool-partial", ".y.npy.normpool-journal"];

describe("killed", () => {
  test.each(LEFT)(
    "when %s is there, it leaves no output; with --resume come the same bits, and nothing else stays",
    async (name) => {
      expect(run("layer-norm", "x.npy", "-o", "whole.npy").status).toBe(0);
      expect(await killedAt(name, "layer-norm", "x.npy", "-o", "y.npy")).toBe("SIGKILL");
      expect(existsSync(at("y.npy"))).toBe(false);
      expect(run("layer-norm", "x.npy", "-o", "y.npy", "--resume")).toMatchObject({ status: 0, stderr: "" });
      expect(Buffer.compare(readFileSync(at("y.npy")), readFileSync(at("whole.npy")))).toBe(0);
      expect(readdirSync(folder).sort()).toEqual(["whole.npy", "x.npy", "y.npy"]);
      for (const file of ["y.npy", "whole.npy"]) rmSync(at(file));
    },
  );

  test("it begins anew without --resume, and removes what was left", async () => {
    expect(await killedAt(".y.npy.normpool-journal", "layer-norm", "x.npy", "-o", "y.npy")).toBe("SIGKILL");
    expect(run("batch-norm", "x.npy", "-o", "y.npy").status).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(["x.npy", "y.npy"]);
    rmSync(at("y.npy"));
  });

  test("it does not go on as something else, and says what differs", async () => {
    expect(await killedAt(".y.npy.normpool-journal", "layer-norm", "x.npy", "-o", "y.npy")).toBe("SIGKILL");
    const other = run("layer-norm", "x.npy", "-o", "y.npy", "--resume", "--eps", "1e-3");
    expect(other.status).toBe(1);
    expect(other.stderr).toMatch(
      /^normpool: layer-norm: y.npy: .*had another layer \(LayerNorm.*eps=1e-05.*eps=0\.001.*without resume it begins again\n$/,
    );
    expect(run("layer-norm", "x.npy", "-o", "y.npy", "--resume").status).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(["x.npy", "y.npy"]);
    rmSync(at("y.npy"));
  });
});

test("--resume leaves outputs in --out-dir that exist, and says so", () => {
  writeNpy(at("a.npy"), normal(40, 1), [10, 4]);
  writeNpy(at("b.npy"), normal(40, 2), [10, 4]);
  expect(run("layer-norm", "a.npy", "--out-dir", "out").status).toBe(0);
  const { status, stdout, stderr } = run("layer-norm", "a.npy", "b.npy", "--out-dir", "out", "--resume", "--json");
  expect({ status, stderr }).toEqual({
    status: 0,
    stderr: `normpool: warning: ${join("out", "a.npy")}: it exists, and is left as it is\n`,
  });
  expect(JSON.parse(stdout).input).toBe("b.npy");
  expect(readdirSync(at("out")).sort()).toEqual(["a.npy", "b.npy"]);
});

test("--resume is refused where nobody knows what is done", () => {
  writeFileSync(at("a.npy"), readFileSync(at("x.npy")).subarray(0, 128));
  for (const [args, words] of [
    [["layer-norm", "x.npy", "--in-place"], "expected --resume without --in-place"],
    [["layer-norm", "-", "-o", "y.npy"], "expected files for --resume but got - (a stream)"],
    [["layer-norm", "x.npy", "-o", "-"], "expected files for --resume but got - (a stream)"],
    [
      ["batch-norm", "x.npy", "a.npy", "--out-dir", "out2", "--train", "--save-state", "s.safetensors"],
      "expected one input for --resume where statistics are kept",
    ],
  ] as const) {
    const { status, stderr } = run(...args, "--resume");
    expect(stderr).toContain(words);
    expect(status).toBe(2);
  }
});
