// The programs that the documents show, and how they are compiled and run.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

/** The repository's folder. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** TypeScript's compiler, a script. */
export const TSC = join(createRequire(import.meta.url).resolve("typescript/package.json"), "../bin/tsc");

/** A document of the repository. */
export function readDocument(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** The TypeScript in a document's fences, in order. */
export function snippetsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""]) => code);
}

/** What a script printed, run in `folder`. Fails the test with what it printed if it fails. */
export function runScript(folder: string, script: string, ...args: string[]): string {
  return run(folder, process.execPath, script, ...args);
}

/** What a command printed, run in `folder`. Fails the test with what it printed if it fails. */
export function run(folder: string, command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { cwd: folder, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return expect.fail(`${stdout}${stderr}`);
  }
}
