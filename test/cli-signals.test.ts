// Signals end the command without an output and without anything left behind.
import { spawn } from "node:child_process";
import { readdirSync, truncateSync, writeFileSync } from "node:fs";
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
  while (!readdirSync(folder).some((name) => name.endsWith(".partial"))) await new Promise(setImmediate);
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

test("a second SIGINT ends it at once, and leaves nothing behind either", async () => {
  // The second comes before the work has had a turn to stop.
  const again = 'process.once("SIGINT", () => process.nextTick(() => process.kill(process.pid, "SIGINT")));';
  const outcome = await interrupt("SIGINT", "--import", `data:text/javascript,${encodeURIComponent(again)}`);
  expect(outcome).toEqual({ code: 130, stderr: "", left: ["x.npy"] });
});
