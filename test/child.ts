// Programs in a process of their own, for what a test must not do to its own.
import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const INDEX = new URL("../src/index.js", import.meta.url).href;

export interface Child {
  readonly nodeOptions?: readonly string[];
  /** CommonJS that runs first, on every thread. */
  readonly preload?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The library's URL. Default: the build's. */
  readonly index?: string;
  /** What node is run by, itself with arguments. */
  readonly by?: readonly string[];
}

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  /** How it ended: an exit code, or a signal's name. */
  readonly code: number | string;
}

/** Runs a module that has the library as `normpool`. One that takes longer than half a minute is killed. */
export async function ran(source: string, child: Child = {}): Promise<Outcome> {
  const { nodeOptions = [], preload, env = {}, index = INDEX, by = [] } = child;
  const folder = await mkdtemp(join(tmpdir(), "normpool-test-"));
  try {
    // Another user may be the one who runs it.
    await chmod(folder, 0o755);
    // A file: workers inherit options, and of some only a module with a name can have any.
    const path = join(folder, "program.mjs");
    await writeFile(path, `import * as normpool from ${JSON.stringify(index)};\n${source}`);
    const preloadPath = join(folder, "preload.cjs");
    if (preload !== undefined) await writeFile(preloadPath, preload);
    const first = preload === undefined ? [] : ["-r", preloadPath];
    const [file = process.execPath, ...args] = [...by, process.execPath, ...first, ...nodeOptions, path];
    return await new Promise((resolve) => {
      execFile(file, args, { timeout: 55_000, env: { ...process.env, ...env } }, (error, stdout, stderr) =>
        resolve({ stdout, stderr, code: error === null ? 0 : (error.code ?? error.signal ?? "unknown") }),
      );
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** What a module prints that has the library as `normpool`. Rejects if it fails, or takes nearly a minute. */
export function printed(source: string, ...nodeOptions: string[]): Promise<string> {
  return outputOf(source, { nodeOptions });
}

/** The same, of a process that has so many bytes of address space. */
export function printedWithin(bytes: number, source: string, ...nodeOptions: string[]): Promise<string> {
  const limited = `ulimit -v ${Math.floor(bytes / 1024)} && exec "$0" "$@"`;
  return outputOf(source, { nodeOptions, by: ["sh", "-c", limited] });
}

async function outputOf(source: string, child: Child): Promise<string> {
  const { stdout, stderr, code } = await ran(source, child);
  if (code !== 0) throw new Error(`expected exit code 0 but got ${code}: ${stderr}`);
  return stdout;
}
