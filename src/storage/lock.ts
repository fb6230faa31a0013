// Files that one process at a time may write.
import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";

/** Takes the lock at `path`, or that of a process that has ended. Throws where another has it. */
export async function lock(path: string): Promise<void> {
  const own = `${hostname()} ${process.pid}\n`;
  for (;;) {
    try {
      const file = await open(path, "wx", 0o600);
      await file.write(own);
      await file.close();
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = await readFile(path, "utf8").catch(() => "");
    const [host, pid] = holder.trim().split(" ");
    if (host !== undefined && pid !== undefined && (host !== hostname() || isAlive(Number(pid)))) {
      throw new Error(`process ${pid} on ${host} is writing it (if that has ended, remove ${path})`);
    }
    await rm(path, { force: true });
  }
}

/** This process has not: it would know of its own lock. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
