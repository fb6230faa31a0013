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
  /** A journal that is to take the journal's place. */
  readonly next: string;
  /** Whose it is. */
  readonly lock: string;
}

/** Bytes of a name, at most. */
const MAX_NAME_BYTES = 255;
/** What a lock that is moved aside has more. */
const ASIDE = "-00000000-0000-0000-0000-000000000000";

/** @param target absolute, and no link. */
export function notesOf(target: string): Notes {
  const [folder, name] = [dirname(target), basename(target)];
  const named = (what: string) => `.${name}.normpool-${what}`;
  const isTooLong = Buffer.byteLength(named(`lock${ASIDE}`)) > MAX_NAME_BYTES;
  const hash = isTooLong ? createHash("sha256").update(name).digest("hex").slice(0, 32) : "";
  const at = (what: string) => join(folder, isTooLong ? `.${hash}.normpool-${what}` : named(what));
  return { partial: at("partial"), journal: at("journal"), next: at("journal.next"), lock: at("lock") };
}

/**
 * Whether the file at `path` is there, and no process has left a newer one half written. What a process has left that was killed after the file had its
 * name is removed. Throws where another is writing it, and what `findTarget` throws.
 */
export async function isCommitted(path: string): Promise<boolean> {
  const { target, existing } = await findTarget(path);
  const { partial, journal, next, lock: locked } = notesOf(target);
  if (existing === undefined || (await isThere(partial))) return false;
  const [isNoted, isLocked] = await Promise.all([journal, locked].map(isThere));
  if (!isNoted && !isLocked) return true;
  await lock(locked);
  try {
    if (await isThere(partial)) return false;
    for (const left of [journal, next]) await rm(left, { force: true });
    return true;
  } finally {
    await unlock(locked);
  }
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
