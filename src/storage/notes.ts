// What lies beside a file that is written with a journal, under names that the next process finds.
import { createHash } from "node:crypto";
import { lstat, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { lock, unlock } from "./lock.js";
import { findTarget } from "./output-target.js";

export interface Notes {
  /** The file itself, as far as it is written. */
  readonly partial: string;
  readonly journal: string;
  /** Whose it is. */
  readonly lock: string;
}

/** Bytes of a name, at most. */
const MAX_NAME_BYTES = 255;

/** @param target absolute, and no link. */
export function notesOf(target: string): Notes {
  const [folder, name] = [dirname(target), basename(target)];
  const named = (what: string) => `.${name}.normpool-${what}`;
  // A little more is added to the lock's.
  const isTooLong = Buffer.byteLength(named("lock-0000000000")) > MAX_NAME_BYTES;
  const hash = isTooLong ? createHash("sha256").update(name).digest("hex").slice(0, 32) : "";
  const at = (what: string) => join(folder, isTooLong ? `.${hash}.normpool-${what}` : named(what));
  return { partial: at("partial"), journal: at("journal"), lock: at("lock") };
}

/**
 * Whether the file at `path` is complete, and no process has left a newer one half written. What a process has left that was killed after the file had its
 * name is removed. Throws where another is writing it, and what `findTarget` throws.
 */
export async function isDone(path: string): Promise<boolean> {
  const { target, existing } = await findTarget(path);
  const notes = notesOf(target);
  const isThere = (file: string) =>
    lstat(file).then(
      () => true,
      () => false,
    );
  if (existing === undefined || (await isThere(notes.partial))) return false;
  if (!(await isThere(notes.journal)) && !(await isThere(notes.lock))) return true;
  await lock(notes.lock);
  await rm(notes.journal, { force: true });
  await unlock(notes.lock);
  return true;
}
