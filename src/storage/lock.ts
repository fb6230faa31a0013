// Files that one process at a time may write.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";

/** Looks at a lock that says nothing before it is taken for one that nobody has, and milliseconds between them. */
const LOOKS = 50;
const BETWEEN_LOOKS = 10;

/** Takes the lock at `path`, or that of a process that has ended. Throws where another has it. */
export async function lock(path: string): Promise<void> {
  for (;;) {
    try {
      await make(path, `${hostname()} ${process.pid} ${startOf(process.pid)}`);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    await removeStale(path);
  }
}

export async function unlock(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
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

/** Removes the lock of a process that has ended; one that was given back meanwhile is gone already. Throws where its process has not ended. */
async function removeStale(path: string): Promise<void> {
  const words = await settledWords(path);
  if (words === undefined) return;
  checkEnded(path, words);
  // Of two that find it one has moved it, and the other perhaps the first one's own: that one is put back.
  const aside = `${path}-${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  const moved = await read(aside);
  if (moved !== words) await make(path, moved).catch(() => {});
  await rm(aside, { force: true });
}

/** What a lock says; undefined where there is none. As a file it is empty for a moment. */
async function settledWords(path: string): Promise<string | undefined> {
  for (let look = 0; look < LOOKS; look++) {
    const words = await read(path);
    if (words !== "") return words;
    if ((await readFile(path).catch(() => undefined)) === undefined) return undefined;
    await setTimeout(BETWEEN_LOOKS);
  }
  return "";
}

function checkEnded(path: string, words: string): void {
  const [host, number, start = ""] = words.trim().split(" ");
  const pid = Number(number);
  if (host === undefined || number === undefined) return;
  if (host === hostname() && !isRunning(pid, start)) return;
  const who = host === hostname() && pid === process.pid ? "this process" : `process ${number} on ${host}`;
  throw new Error(`${who} is writing it (if that has ended, remove ${path})`);
}

function isRunning(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  // Numbers are used again: in a container each run may have the one that the run before had.
  return start === "" || startOf(pid) === "" || startOf(pid) === start;
}

/** When a process started, in ticks of the system's clock; "" where the system does not say. */
function startOf(pid: number): string {
  try {
    // The name, in parentheses, may have spaces; the start is the twentieth field after it.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}
