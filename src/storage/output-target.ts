// Which file a name to write to stands for, and whether there is room for it: what can be known before any work.
import type { Stats } from "node:fs";
import { access, constants, lstat, readlink, realpath, statfs } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, sep } from "node:path";

/** As in the systems that count the links that they follow. */
const MAX_LINKS = 40;

export interface Target {
  /** Absolute and without links: the same file wherever the process goes. */
  readonly target: string;
  /** What is there now. */
  readonly existing: Stats | undefined;
}

/** Throws where no regular file can be written under the name. */
export async function findTarget(path: string): Promise<Target> {
  if (path === "" || path.endsWith("/") || path.endsWith(sep)) throw new Error("it is no file name");
  const { target, existing } = await follow(path);
  if (existing?.isDirectory()) throw new Error("it is a folder");
  if (existing?.isFile() === false) throw new Error("it is no regular file");
  // A file that its owner keeps from being written is not to be replaced either.
  if (existing !== undefined) await access(target, constants.W_OK);
  return { target, existing };
}

async function follow(path: string): Promise<Target> {
  let next = path;
  for (let links = 0; links <= MAX_LINKS; links++) {
    // Only the file may be missing, not its folder.
    const folder = await realpath(dirname(next));
    const target = join(folder, basename(next));
    const existing = await lstat(target).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      return undefined;
    });
    if (!existing?.isSymbolicLink()) return { target, existing };
    const link = await readlink(target);
    // Not joined: `..` in it counts from where a link leads, not from where it is.
    next = isAbsolute(link) ? link : `${folder}${sep}${link}`;
  }
  throw new Error("too many links");
}

/** Throws where the file system of `folder` is known to have fewer than `bytes`. */
export async function checkRoom(folder: string, bytes: number): Promise<void> {
  const found = await statfs(folder).catch(() => undefined);
  // Some file systems say 0 of everything.
  if (found === undefined || found.blocks === 0) return;
  const blocks = process.getuid?.() === 0 ? found.bfree : found.bavail;
  const available = blocks * found.bsize;
  if (bytes <= available) return;
  const message = `expected room for ${bytes} bytes but ${available} are available (ENOSPC)`;
  throw Object.assign(new Error(message), { code: "ENOSPC" });
}
