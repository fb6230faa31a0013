// What the process holds when nothing runs, and whether it holds more and more.
import { readdirSync, readlinkSync } from "node:fs";
import { collectGarbage } from "../../src/memory/collect.js";

/**
 * Settings of glibc's allocator with which RSS says what is held. With its own it keeps what was freed, in an arena for each of some threads, and takes
 * another each time: with nothing held RSS moved by 70 MiB from one round to the next. With these it moved by 5.
 */
export const GIVES_BACK = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: String(2 ** 17),
  MALLOC_MMAP_THRESHOLD_: String(2 ** 17),
};

export interface Held {
  /** Bytes. */
  readonly rss: number;
  readonly heap: number;
  /** Of the process, as the system counts them; 0 where it does not. */
  readonly threads: number;
  readonly files: number;
  readonly resources: string;
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 50));

/** @param alive worker threads that there still are. */
export async function held(alive: () => number): Promise<Held> {
  for (let i = 0; i < 100 && alive() > 0; i++) await turn();
  for (let i = 0; i < 4; i++) {
    collectGarbage();
    await turn();
  }
  return {
    rss: process.memoryUsage.rss(),
    heap: process.memoryUsage().heapUsed,
    threads: entriesOf("/proc/self/task").length,
    files: openFiles(),
    resources: process.getActiveResourcesInfo().sort().join(" "),
  };
}

/** None where the system has no such folder. */
function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Without modules: Node 20 leaves one open that a thread was reading when it was ended. */
function openFiles(): number {
  const names = entriesOf("/proc/self/fd").map((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`);
    } catch {
      return ""; // The one that the folder itself was read by.
    }
  });
  return names.filter((name) => !name.endsWith(".js")).length;
}

/** The middle of what was held at different times; of handles the least. */
export function middleOf(all: readonly Held[]): Held {
  const middle = (numbers: number[]) => numbers.sort((a, b) => a - b)[numbers.length >> 1] as number;
  return {
    rss: middle(all.map(({ rss }) => rss)),
    heap: middle(all.map(({ heap }) => heap)),
    threads: Math.min(...all.map(({ threads }) => threads)),
    files: Math.min(...all.map(({ files }) => files)),
    resources: all.map(({ resources }) => resources).sort((a, b) => a.length - b.length)[0] as string,
  };
}

export const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/**
 * Holds what is held later to be no more. Of memory each thread that there was at once may have left 4 MiB to be used again; and 1 KiB a call, a
 * tenth of the smallest tensor, says that no call leaves any. A thread that stays takes 5 MiB: one in some hundred would be far more.
 */
export function expectFlat(first: Held, last: Held, calls: number, threads: number): void {
  for (const what of ["threads", "files", "resources"] as const) {
    if (last[what] > first[what]) throw new Error(`${what} at the end: expected ${first[what]} but got ${last[what]}`);
  }
  const allowed = threads * 2 ** 22 + calls * 2 ** 10;
  for (const what of ["rss", "heap"] as const) {
    if (last[what] - first[what] <= allowed) continue;
    const expected = `${mib(first[what])} and ${mib(allowed)} more at most`;
    throw new Error(`${what} at the end: expected ${expected}, but got ${mib(last[what])}`);
  }
}
