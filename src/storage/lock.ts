// Files that one process at a time may write.
import { readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";

/** Those that this process has. */
const held = new Set<string>();

/** Takes the lock at `path`, or that of a process that has ended. Throws where another has it. */
export async function lock(path: string): Promise<void> {
  for (;;) {
    if (held.has(path)) throw new Error("this process is writing it");
    held.add(path);
    try {
      await make(path, `${hostname()} ${process.pid}`);
      return;
    } catch (error) {
      held.delete(path);
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    await removeStale(path);
  }
}

/** A link to nothing has its words from the start: of a lock that says nothing nobody knows whose it is. */
async function make(path: string, words: string): Promise<void> {
  try {
    await symlink(words, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw error;
    // A file system without links.
    await writeFile(path, words, { flag: "wx", mode: 0o600 });
  }
}

async function read(path: string): Promise<string> {
  return readlink(path).catch(() => readFile(path, "utf8").catch(() => ""));
}

export async function unlock(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
  held.delete(path);
}

/** Removes the lock of a process that has ended. Throws where it has not. */
async function removeStale(path: string): Promise<void> {
  const words = await read(path);
  checkEnded(path, words);
  // Of two that find it one has moved it, and the other perhaps the first one's own: that one is put back.
  const aside = `${path}-${process.pid}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  const moved = await read(aside);
  if (moved !== words) await make(path, moved).catch(() => {});
  await rm(aside, { force: true });
}

function checkEnded(path: string, words: string): void {
  const [host, pid] = words.trim().split(" ");
  if (host === undefined || pid === undefined) return;
  if (host !== hostname() || isAlive(Number(pid))) {
    throw new Error(`process ${pid} on ${host} is writing it (if that has ended, remove ${path})`);
  }
}

function isAlive(pid: number): boolean {
  // In a container each run may have the number that the one before had.
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
