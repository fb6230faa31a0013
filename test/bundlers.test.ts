// An application that a bundler has been over: what must stay outside, and what it is told if it does not.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type BuildOptions, build } from "esbuild";
import { afterAll, describe, expect, test } from "vitest";
import { WorkerFailedError } from "../src/index.js";
import { ROOT } from "./programs.js";

const REMEDY = "normpool must stay outside the bundle, whole in node_modules (esbuild: --external:normpool;";
type Outside = Pick<BuildOptions, "external" | "packages">;

/** Large enough for workers. */
const APPLICATION = `
  import { BatchNorm2d, NormPool } from "normpool";

  async function main() {
    const pool = new NormPool({ threads: 2 });
    const x = pool.tensor("float32", [64, 4, 128, 128]);
    const layer = new BatchNorm2d(4);
    layer.bias.fill(0.5);
    const y = await pool.forward(layer, x);
    console.log("sum:", y.data.reduce((sum, cell) => sum + cell, 0));
    await pool.close();
  }
  main();
`;

const folder = mkdtempSync(join(tmpdir(), "normpool-bundlers-"));
afterAll(() => rmSync(folder, { recursive: true }));
mkdirSync(join(folder, "node_modules"));
symlinkSync(ROOT, join(folder, "node_modules/normpool"), "junction");
writeFileSync(join(folder, "application.js"), APPLICATION);

describe.each(["esm", "cjs"] as const)("an application that esbuild bundles as %s", (format) => {
  test.each<Outside>([{ external: ["normpool"] }, { packages: "external" }])("runs with %o", async (options) => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [await bundle(format, options)]);
    expect([stdout, stderr]).toEqual(["sum: 2097152\n", ""]);
  });

  test("is told when it is imported what to do, if normpool is in the bundle", async () => {
    const running = promisify(execFile)(process.execPath, [await bundle(format, {})]);
    await expect(running).rejects.toMatchObject({ stdout: "", stderr: expect.stringContaining(REMEDY) });
    await expect(running).rejects.toMatchObject({ stderr: expect.stringContaining("code: 'missing-files'") });
  });
});

test("a worker that lacks a module, as where a bundler has copied the worker's file alone, fails with the same words", () => {
  for (const code of ["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND"]) {
    const cause = Object.assign(new Error("Cannot find module 'worker.js'"), { code });
    expect(new WorkerFailedError("LayerNorm", cause).message).toContain(REMEDY);
  }
  expect(new WorkerFailedError("LayerNorm", new Error("unreachable")).message).not.toContain(REMEDY);
});

/** The bundle's file. */
async function bundle(format: "esm" | "cjs", options: Outside): Promise<string> {
  const outfile = join(folder, `bundle.${format === "esm" ? "mjs" : "cjs"}`);
  const entryPoints = [join(folder, "application.js")];
  await build({ entryPoints, outfile, format, bundle: true, platform: "node", logLevel: "silent", ...options });
  return outfile;
}
