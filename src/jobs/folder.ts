// The files of a job's folder. Each appears whole, under its name, or not at all.
import { randomUUID } from "node:crypto";
import { type FileHandle, link, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FileFormatError, NormpoolError, ReadFailedError, WriteFailedError } from "../errors.js";
import type { PartPhase } from "../plan/parts.js";
import { hashOf } from "../storage/journal.js";
import { syncFolder } from "../storage/output.js";
import { describeSystemError } from "../storage/system-error.js";

export const JOB_FILE = "job.json";
/** Of all sets, merged. */
export const MOMENTS_FILE = "moments";
/** Which file is to become the output: noted before it does. */
export const OUTPUT_FILE = "output.json";
export const FINISHED_FILE = "finished.json";
const TEMPORARY = ".tmp";

/** Named by its hash: another's weights do not take its place. */
export function weightsFile(hash: string): string {
  return `weights-${hash.slice(-16)}.safetensors`;
}

/** Whether it is a file of jobs' folders. */
export function isOfJob(name: string): boolean {
  const known = [JOB_FILE, MOMENTS_FILE, OUTPUT_FILE, FINISHED_FILE];
  return (
    known.includes(name) ||
    /^weights-[0-9a-f]{16}\.safetensors$/.test(name) ||
    partOfFile(name) !== undefined ||
    isTemporary(name)
  );
}

/** What a part leaves: partials, or the note that its cells are in the output. */
export function partFile(phase: PartPhase, part: number): string {
  return `${phase}-${part}`;
}

/** The part that a file was left by; undefined of other files. */
export function partOfFile(name: string): { readonly phase: PartPhase; readonly part: number } | undefined {
  const [, phase, part] = /^(moments|apply)-(\d{1,15})$/.exec(name) ?? [];
  return phase === undefined ? undefined : { phase: phase as PartPhase, part: Number(part) };
}

/** A name that nobody else has, for what gets another later or none. */
export function temporaryFile(name: string): string {
  return `${name}.${randomUUID()}${TEMPORARY}`;
}

/** What was being written, here or by the safetensors writer. */
function isTemporary(name: string): boolean {
  return name.endsWith(TEMPORARY) || /^\.normpool-.*\.partial$/.test(name);
}

/** Writes a file with `write`: on the disk before it has its name. @param anew whether a file of that name stays what it is; then the result says whether this one is it. */
export async function writeWhole(
  operation: string,
  path: string,
  write: (file: FileHandle) => Promise<void>,
  anew = false,
): Promise<boolean> {
  const beside = temporaryFile(path);
  try {
    const file = await open(beside, "wx");
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    if (!anew) await rename(beside, path);
    else if (!(await linked(beside, path))) return false;
    await syncFolder(dirname(path));
    return true;
  } catch (cause) {
    if (cause instanceof NormpoolError) throw cause;
    throw new WriteFailedError(operation, path, describeSystemError(cause), { cause });
  } finally {
    await rm(beside, { force: true }).catch(() => {});
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Plain data in a file that says its own hash: what was changed by hand, or is half there, is no longer it. */
export function writeRecord(operation: string, path: string, record: object, anew = false): Promise<boolean> {
  const json = JSON.stringify(record);
  const text = `${JSON.stringify({ hash: hashOf([json]), record }, undefined, 1)}\n`;
  return writeWhole(operation, path, (file) => file.writeFile(text), anew);
}

/** Undefined where there is no such file. Throws ReadFailedError, FileFormatError. */
export async function readRecord(operation: string, path: string): Promise<object | undefined> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined;
    throw new ReadFailedError(operation, path, describeSystemError(cause), { cause });
  });
  if (text === undefined) return undefined;
  let found: { readonly hash?: unknown; readonly record?: unknown } | null;
  try {
    found = JSON.parse(text);
  } catch (cause) {
    throw new FileFormatError(operation, path, "expected JSON of a job but it is none", { cause });
  }
  const { hash, record } = found ?? {};
  if (typeof record !== "object" || record === null || hash !== hashOf([JSON.stringify(record)])) {
    throw new FileFormatError(
      operation,
      path,
      "its hash is not that of what it says: it was changed, or is no file of a job",
    );
  }
  return record;
}

/** What a job's folder has. Throws ReadFailedError, also where it is gone: others may have finished the job. */
export function namesIn(operation: string, folder: string): Promise<string[]> {
  return readdir(folder).catch((cause) => {
    throw new ReadFailedError(operation, folder, describeSystemError(cause), { cause });
  });
}

/** Throws WriteFailedError where it is there and stays. */
export function removeFrom(operation: string, folder: string, name: string): Promise<void> {
  const path = inFolder(folder, name);
  return rm(path, { force: true }).catch((cause) => {
    throw new WriteFailedError(operation, path, describeSystemError(cause), { cause });
  });
}

export function inFolder(folder: string, name: string): string {
  return join(folder, name);
}
