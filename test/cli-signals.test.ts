// Signals end the command without an output and without anything left behind.
import { spawn } from "node:child_process";
import { readdirSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { formatNpyHeader } from "../src/storage/npy.js";
import { COMMAND, emptyFolder } from "./command.js";

const folder = emptyFolder();

/** Sends `signal` once the partial output is there. */
async function interrupt(signal: NodeJS.Signals, ...nodeOptions: string[]) {
  // 512 MiB (of holes): reading them takes far longer than it takes to see the partial output appear.
  const header = formatNpyHeader([128, 1 << 20]);
  writeFileSync(join(folder, "x.npy"), header);
  truncateSync(join(folder, "x.npy"), header.length + (512 << 20));
  const args = [...nodeOptions, COMMAND, "batch-norm", "x.npy", "-o", "y.npy"];
  const child = spawn(process.execPath, args, { cwd: folder });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  while (!readdirSync(folder).some((name) => name.endsWith("partial"))) await new Promise(setImmediate);
  child.kill(signal);
  return { code: await ended, stderr, left: readdirSync(folder) };
}

test.each([
  ["SIGHUP", 129],
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s while a file is read: exit code %i, no output, nothing left behind", async (signal, code) => {
  expect(await interrupt(signal)).toEqual({ code, stderr: "normpool: interrupted\n", left: ["x.npy"] });
});

test("SIGINT while a file is written in place says what that leaves", async () => {
  const header = formatNpyHeader([64, 1 << 20]);
  writeFileSync(join(folder, "x.npy"), header);
  truncateSync(join(folder, "x.npy"), header.length + (256 << 20));
  utimesSync(join(folder, "x.npy"), 1e9, 1e9);
  const child = spawn(process.execPath, [COMMAND, "layer-norm", "x.npy", "--in-place"], { cwd: folder });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  while (statSync(join(folder, "x.npy")).mtimeMs === 1e12) await new Promise(setImmediate);
  child.kill("SIGINT");
  expect(await ended).toBe(130);
  expect(stderr).toBe(
    "normpool: warning: x.npy: it was being written in place: some of its cells are normalised, and others not\nnormpool: interrupted\n",
  );
});

test("a second SIGINT ends it at once, and leaves nothing behind either", async () => {
  // The second comes before the work has had a turn to stop.
  const again = 'process.once("SIGINT", () => process.nextTick(() => process.kill(process.pid, "SIGINT")));';
  const outcome = await interrupt("SIGINT", "--import", `data:text/javascript,${encodeURIComponent(again)}`);
  expect(outcome).toEqual({ code: 130, stderr: "", left: ["x.npy"] });
});
