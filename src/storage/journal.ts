// A journal beside a file that is being written: what the work is, and which parts of it are done and on the disk. Whatever moment a process ends at,
// what the journal says is so.
import { createHash } from "node:crypto";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { crc32 } from "node:zlib";

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

export class Journal {
  readonly path: string;
  readonly #file: FileHandle;
  /** Notes are written one after the other. */
  #last: Promise<void> = Promise.resolve();

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /** Begins a journal, or goes on with one that says just this. */
  static async begin(path: string, { header, parts }: JournalText): Promise<Journal> {
    // Beside, so that notes that are there are not lost.
    const next = `${path}.next`;
    const file = await open(next, "w", 0o600);
    await file.write([{ header }, ...[...parts].map((part) => ({ part }))].map(lineOf).join(""));
    await file.datasync();
    await rename(next, path);
    return new Journal(path, file);
  }

  /** Notes a part once `sync` has brought its cells to the disk. */
  note(part: number, sync: () => Promise<void>): void {
    this.#last = this.#last.then(async () => {
      await sync();
      await this.#file.write(lineOf({ part }));
      await this.#file.datasync();
    });
    // Whoever waits for `settled` is told.
    this.#last.catch(() => {});
  }

  settled(): Promise<void> {
    return this.#last;
  }

  async close(): Promise<void> {
    await this.#last.catch(() => {});
    await this.#file.close().catch(() => {});
  }

  /** The work is done, or given up. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true }).catch(() => {});
  }
}

/** What a journal says; undefined where there is none. A line that was half written when the process ended counts for nothing, nor does what follows. */
export async function readJournal(path: string): Promise<JournalText | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
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
