// The command, run as users run it, in a folder of the test's own.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, expect } from "vitest";
import { formatNpyHeader } from "../src/storage/npy.js";

export const COMMAND = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
export const FIXTURES = fileURLToPath(new URL("../../test/fixtures/", import.meta.url));

/** A folder that is empty before each test, and gone after all. */
export function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "normpool-cli-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeEach(() => {
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
  });
  return folder;
}

export function runIn(folder: string, args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, ...args], { cwd: folder, encoding: "utf8" });
  return { status, stdout, stderr };
}

/** Runs a line of the shell, in which `normpool` is the command. */
export function shellIn(folder: string, line: string) {
  const env = { ...process.env, NODE: process.execPath, COMMAND };
  const script = `normpool() { "$NODE" "$COMMAND" "$@"; }\n${line}`;
  const { status, stdout, stderr } = spawnSync("sh", ["-c", script], { cwd: folder, encoding: "utf8", env });
  return { status, stdout, stderr };
}

export function writeNpy(path: string, data: Float32Array, shape: readonly number[]): void {
  writeFileSync(path, Buffer.concat([formatNpyHeader(shape), Buffer.from(data.buffer)]));
}

/** The cells of a float32 file of this shape. */
export function readNpy(path: string, shape: readonly number[]): Float32Array {
  const file = readFileSync(path);
  const header = formatNpyHeader(shape);
  expect(file.subarray(0, header.length)).toEqual(header);
  return new Float32Array(file.buffer.slice(file.byteOffset + header.length, file.byteOffset + file.length));
}
