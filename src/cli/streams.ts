// stdin and stdout: calls work on files, so what comes by a stream, or goes by one, is in a file of its own meanwhile.
import { createReadStream, createWriteStream, fstatSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { checkRoom } from "../storage/output-target.js";
import { describeSystemError } from "../storage/system-error.js";
import { expandInputs, STREAM } from "./inputs.js";
import type { Source } from "./source.js";
import { UsageError } from "./usage-error.js";

/** A folder for files that nothing may be left of: beside `output`, which has to have room for as much, or where the system has such. */
export async function withTemporary<T>(output: string, use: (folder: string) => Promise<T>): Promise<T> {
  const parent = output === STREAM ? tmpdir() : dirname(output);
  const folder = await mkdtemp(join(parent, ".normpool-")).catch((error) => {
    throw new Error(`${parent}: cannot keep files there meanwhile: ${describeSystemError(error)}`);
  });
  // Also where a second interrupt ends the process.
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
    process.off("exit", remove);
  }
}

/** Keeps stdin in a file of `folder`. */
export async function keepStdin(folder: string, signal: AbortSignal): Promise<string> {
  if (process.stdin.isTTY) throw new Error("stdin: expected a file or a pipe but it is a terminal");
  const path = join(folder, "stdin");
  try {
    const found = fstatSync(process.stdin.fd);
    // Of a pipe nobody knows how much comes.
    if (found.isFile()) await checkRoom(folder, found.size);
    await pipeline(process.stdin, createWriteStream(path), { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new Error(`stdin: cannot keep it in ${dirname(folder)}: ${describeSystemError(error)}`);
  }
  return path;
}

export async function withInputs<T>(
  names: readonly string[],
  signal: AbortSignal,
  use: (inputs: readonly Source[]) => Promise<T>,
): Promise<T> {
  const inputs = await expandInputs(names);
  const plain = inputs.map((name) => ({ name, path: name }));
  if (!inputs.includes(STREAM)) return use(plain);
  if (inputs.filter((name) => name === STREAM).length > 1) throw new UsageError("expected - (stdin) once");
  return withTemporary(STREAM, async (folder) => {
    const path = await keepStdin(folder, signal);
    return use(plain.map((input) => (input.name === STREAM ? { name: "stdin", path } : input)));
  });
}

/** Throws where a file's bytes would go to a terminal. */
export function checkStdout(): void {
  if (process.stdout.isTTY) throw new Error("stdout: expected a file or a pipe but it is a terminal");
}

/** A reader that goes away, as `head` does, is none's fault. */
export async function sendToStdout(path: string, signal: AbortSignal): Promise<void> {
  try {
    await pipeline(createReadStream(path), process.stdout, { signal, end: false });
  } catch (error) {
    signal.throwIfAborted();
    if (
      error instanceof Error &&
      "code" in error &&
      (error.code === "EPIPE" || error.code === "ERR_STREAM_PREMATURE_CLOSE")
    )
      return;
    throw new Error(`stdout: cannot write there: ${describeSystemError(error)}`);
  }
}
