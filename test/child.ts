// Programs in a process of their own, for what a test must not do to its own.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const INDEX = new URL("../src/index.js", import.meta.url).href;

/** What a module prints that has the library as `normpool`. Rejects if it fails, or takes longer than half a minute. */
export function printed(source: string, ...nodeOptions: string[]): Promise<string> {
  return run(process.execPath, nodeOptions, source);
}

/** The same, of a process that has so many bytes of address space. */
export function printedWithin(bytes: number, source: string, ...nodeOptions: string[]): Promise<string> {
  const limited = `ulimit -v ${Math.floor(bytes / 1024)} && exec "$0" "$@"`;
  return run("sh", ["-c", limited, process.execPath, ...nodeOptions], source);
}

async function run(command: string, args: readonly string[], source: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "normpool-test-"));
  try {
    // A file: workers inherit options, and of some only a module with a name can have any.
    const path = join(folder, "program.mjs");
    await writeFile(path, `import * as normpool from ${JSON.stringify(INDEX)};\n${source}`);
    const { stdout } = await promisify(execFile)(command, [...args, path], { timeout: 30_000 });
    return stdout;
  } finally {
    await rm(folder, { recursive: true });
  }
}
