// Programs in a process of their own, for what a test must not do to its own.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const INDEX = new URL("../src/index.js", import.meta.url).href;

/** What a module prints that has the library as `normpool`. Rejects if it fails, or takes longer than half a minute. */
export async function printed(source: string, ...nodeOptions: string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "normpool-test-"));
  try {
    // A file: workers inherit options, and of some only a module with a name can have any.
    const path = join(folder, "program.mjs");
    await writeFile(path, `import * as normpool from ${JSON.stringify(INDEX)};\n${source}`);
    const { stdout } = await promisify(execFile)(process.execPath, [...nodeOptions, path], { timeout: 30_000 });
    return stdout;
  } finally {
    await rm(folder, { recursive: true });
  }
}
