// A journal beside a file that is being written: what the work is, and which parts of it are done and on the disk. Whatever moment a process ends at,
// what the journal says is so.
import { createHash } from "node:crypto";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { Notes } from "./notes.js";

const HASH = "sha256:";

/** A value of a journal's header that says nothing to people. */
export function hashOf(parts: Iterable<string | NodeJS.ArrayBufferView>): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return HASH + hash.digest("hex");
}

export function isHash(value: string): boolean {
  return value.startsWith(HASH);
}

/** What the work is, by name. Another's journal is of no use: its parts have other cells. */
export type JournalHeader = Readonly<Record<string, string>>;

export interface JournalText {
  readonly header: JournalHeader;
  readonly parts: ReadonlySet<number>;
}

/** Does a step, and says of the output's file what the system threw. */
type Guard = <T>(step: () => Promise<T>) => Promise<T>;

export class Journal {
  readonly #file: FileHandle;
  readonly #guard: Guard;
  /** Notes are written one after the other. */
  #last: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;

  private constructor(file: FileHandle, guard: Guard) {
    this.#file = file;
    this.#guard = guard;
  }

  /** Begins a journal, or goes on with one that says just this. @param guard for what is written, now and later. */
  static begin({ journal, next }: Notes, { header, parts }: JournalText, guard: Guard): Promise<Journal> {
    return guard(async () => {
      // Beside, so that notes that are there are not lost.
      const file = await open(next, "w", 0o600);
      try {
        await file.writeFile([{ header }, ...[...parts].map((part) => ({ part }))].map(lineOf).join(""));
        await file.datasync();
        await rename(next, journal);
        return new Journal(file, guard);
      } catch (error) {
        await file.close().catch(() => {});
        await rm(next, { force: true }).catch(() => {});
        throw error;
      }
    });
  }

  /** Notes a part once `sync` has brought its cells to the disk. Throws where an earlier note failed: no later one would count. */
  note(part: number, sync: () => Promise<void>): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    const noted = this.#last.then(async () => {
      await sync();
      await this.#guard(async () => {
        await this.#file.writeFile(lineOf({ part }));
        await this.#file.datasync();
      });
    });
    // Whoever waits for `settled` is told, too.
    noted.catch((error: unknown) => {
      this.#failure ??= { error };
    });
    this.#last = noted;
  }

  settled(): Promise<void> {
    return this.#last;
  }

  async close(): Promise<void> {
    await this.#last.catch(() => {});
    await this.#file.close().catch(() => {});
  }
}

/** What a journal says; undefined where there is none. Throws what the system throws where it cannot be read. A line that was half written when the process ended counts for nothing, nor does what follows. */
export async function readJournal(path: string): Promise<JournalText | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return "";
  });
  let header: JournalHeader | undefined;
  const parts = new Set<number>();
  for (const line of text.split("\n").slice(0, -1)) {
    const record = recordOf(line);
    if (record === undefined) break;
    if (header === undefined) header = record.header;
    else if (record.part !== undefined) parts.add(record.part);
  }
  return header === undefined ? undefined : { header, parts };
}

interface JournalRecord {
  readonly header?: JournalHeader;
  readonly part?: number;
}

function lineOf(record: JournalRecord): string {
  const json = JSON.stringify(record);
  return `${crc32(json).toString(16).padStart(8, "0")} ${json}\n`;
}

function recordOf(line: string): JournalRecord | undefined {
  const json = line.slice(9);
  return line.slice(0, 8) === crc32(json).toString(16).padStart(8, "0") ? JSON.parse(json) : undefined;
}
