// A file that does not exist under its name until it is complete: written beside it, then renamed. Whatever fails, what was there
// before still is.
import { randomUUID } from "node:crypto";
import { rmSync, type Stats } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { WriteFailedError } from "../errors.js";
import { type Identity, identityOf } from "./input.js";
import { lock, unlock } from "./lock.js";
import { type Notes, notesOf } from "./notes.js";
import { checkRoom, findTarget } from "./output-target.js";
import { describeSystemError } from "./system-error.js";

/** One write of the system takes a little less than 2 GiB; smaller ones leave the threads that write free for others. */
const PIECE_BYTES = 64 << 20;

/** `begin` keeps a journal; `resume` goes on with what an interrupted process left, if it left anything. */
export type JournalMode = "begin" | "resume";

interface Partial {
  readonly path: string;
  readonly file: FileHandle;
  readonly resumed: boolean;
}

/** As `stat` counts them, whatever those of the file system are. */
const BLOCK_BYTES = 512;

export class Output {
  /** What lies beside it where it has a journal. */
  readonly notes: Notes | undefined;
  /** Whether it was begun by a process that was interrupted. */
  readonly resumed: boolean;
  readonly #operation: string;
  /** As the caller named it, for messages. */
  readonly #path: string;
  readonly #target: string;
  readonly #partial: string;
  readonly #file: FileHandle;

  private constructor(operation: string, path: string, target: string, partial: Partial, notes?: Notes) {
    this.#operation = operation;
    this.#path = path;
    this.#target = target;
    this.#partial = partial.path;
    this.#file = partial.file;
    this.resumed = partial.resumed;
    this.notes = notes;
  }

  /**
   * Makes room for a file of `bytes`. A link stays one: what it points to is replaced, or made. Throws WriteFailedError where no
   * regular file of this size can be written.
   */
  static async create(operation: string, path: string, bytes: number, journaled?: JournalMode): Promise<Output> {
    try {
      const { target, existing } = await findTarget(path);
      if (journaled !== undefined)
        return await Output.#createNoted(operation, path, target, existing, bytes, journaled);
      const folder = dirname(target);
      await checkRoom(folder, bytes);
      const partial = join(folder, `.normpool-${randomUUID()}.partial`);
      const file = await openPartial(partial, existing);
      return new Output(operation, path, target, { path: partial, file, resumed: false });
    } catch (cause) {
      throw new WriteFailedError(operation, path, describeSystemError(cause), { cause });
    }
  }

  /** With notes beside it. Throws what the system throws. */
  static async #createNoted(
    operation: string,
    path: string,
    target: string,
    existing: Stats | undefined,
    bytes: number,
    journaled: JournalMode,
  ): Promise<Output> {
    const notes = notesOf(target);
    const { partial, journal, next, lock: locked } = notes;
    await lock(locked);
    try {
      const there = journaled === "resume" ? await openThere(partial) : undefined;
      if (there === undefined) for (const left of [partial, journal, next]) await rm(left, { force: true });
      else keepFromStaying(partial, notes);
      try {
        // What is there has its blocks already.
        const taken = there === undefined ? 0 : (await there.stat()).blocks * BLOCK_BYTES;
        await checkRoom(dirname(target), bytes - taken);
      } catch (error) {
        await there?.close().catch(() => {});
        forget(partial);
        throw error;
      }
      const file = there ?? (await openPartial(partial, existing, notes));
      return new Output(operation, path, target, { path: partial, file, resumed: there !== undefined }, notes);
    } catch (error) {
      await unlock(locked);
      throw error;
    }
  }

  /** The file while it is written. */
  get partial(): string {
    return this.#partial;
  }

  /** The name that it will have: absolute, and no link's. */
  get target(): string {
    return this.#target;
  }

  /** The name, as the caller gave it. */
  get path(): string {
    return this.#path;
  }

  /** Open for reading too. */
  get descriptor(): number {
    return this.#file.fd;
  }

  async identity(): Promise<Identity> {
    return identityOf(await this.#file.stat({ bigint: true }));
  }

  /** Makes it `bytes` long: what was not written is 0. */
  async extend(bytes: number): Promise<void> {
    await this.orFail(() => this.#file.truncate(bytes));
  }

  /** What was written so far is on the disk. */
  async sync(): Promise<void> {
    await this.orFail(() => this.#file.datasync());
  }

  /** Puts the bytes of `cells` at the start. */
  async writeFirst(cells: Buffer): Promise<void> {
    await this.orFail(async () => {
      for (let done = 0; done < cells.length; ) {
        done += (await this.#file.write(cells, done, cells.length - done, done)).bytesWritten;
      }
    });
  }

  /** Appends the bytes of `cells`. */
  async write({ buffer, byteOffset, byteLength }: ArrayBufferView): Promise<void> {
    await this.orFail(async () => {
      for (let done = 0; done < byteLength; ) {
        // A view of all bytes may be longer than a Uint8Array can be.
        const piece = new Uint8Array(buffer, byteOffset + done, Math.min(PIECE_BYTES, byteLength - done));
        done += (await this.#file.write(piece)).bytesWritten;
      }
    });
  }

  /** The file is complete: it gets its name, and lasts also where the machine loses power. */
  async finish(): Promise<Identity> {
    const identity = await this.orFail(async () => {
      await this.#file.sync();
      const identity = await this.identity();
      await this.#file.close();
      await rename(this.#partial, this.#target);
      return identity;
    });
    await this.#removeNotes();
    forget(this.#partial);
    await syncFolder(dirname(this.#target));
    return identity;
  }

  /** Leaves nothing behind. */
  async abandon(): Promise<void> {
    await this.#file.close().catch(() => {});
    await rm(this.#partial, { force: true }).catch(() => {});
    await this.#removeNotes();
    forget(this.#partial);
  }

  /** Leaves it as it is, for a process that goes on with it. */
  async leave(): Promise<void> {
    await this.#file.close().catch(() => {});
    if (this.notes !== undefined) await unlock(this.notes.lock);
    forget(this.#partial);
  }

  async #removeNotes(): Promise<void> {
    if (this.notes === undefined) return;
    const { journal, next, lock: locked } = this.notes;
    for (const left of [journal, next]) await rm(left, { force: true }).catch(() => {});
    await unlock(locked);
  }

  /** Does a step of its writing. Throws what it throws as a WriteFailedError. */
  async orFail<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (cause) {
      throw new WriteFailedError(this.#operation, this.#path, describeSystemError(cause), { cause });
    }
  }
}

/** Writes a file of `bytes` with `write`: all of it, or none. */
export async function writeOutput<T>(
  operation: string,
  path: string,
  bytes: number,
  write: (output: Output) => Promise<T>,
): Promise<T> {
  const output = await Output.create(operation, path, bytes);
  try {
    const result = await write(output);
    await output.finish();
    return result;
  } catch (error) {
    await output.abandon();
    throw error;
  }
}

/** What an interrupted process left; undefined if nothing. What cannot be opened is not nothing: it may be hours of work. */
async function openThere(partial: string): Promise<FileHandle | undefined> {
  return open(partial, "r+").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
}

async function openPartial(partial: string, existing: Stats | undefined, notes?: Notes): Promise<FileHandle> {
  keepFromStaying(partial, notes);
  try {
    return await openLike(partial, existing);
  } catch (error) {
    forget(partial);
    throw error;
  }
}

/** Makes a file with the mode, and where that is possible the owner, of the one that it replaces. */
export async function openLike(path: string, existing: Stats | undefined): Promise<FileHandle> {
  let file: FileHandle | undefined;
  try {
    // At no time more open to others than what it replaces.
    file = await open(path, "wx+", existing === undefined ? 0o666 : (existing.mode & 0o700) | 0o600);
    if (existing === undefined) return file;
    const { uid, gid } = await file.stat();
    // Only root may give files away. Before the mode: it takes setuid bits off.
    if (uid !== existing.uid || gid !== existing.gid) await file.chown(existing.uid, existing.gid).catch(() => {});
    await file.chmod(existing.mode & 0o7777);
    return file;
  } catch (error) {
    await file?.close().catch(() => {});
    if (file !== undefined) await rm(path, { force: true }).catch(() => {});
    throw error;
  }
}

/** Without it a new name may be lost with the power. Some systems have no such thing; the file is in its place all the same. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close().catch(() => {});
}

/** Files that a process that ends in the middle must not leave behind, and what lies beside those that a later one can go on with. */
const partials = new Map<string, Notes | undefined>();
/** Exit codes above are of a signal that somebody sent: what they end is given up. */
const SIGNALLED = 128;

function removePartials(code: number): void {
  for (const [partial, notes] of partials) {
    if (notes !== undefined && code !== 0 && code <= SIGNALLED) continue;
    for (const left of [partial, ...Object.values(notes ?? {})]) {
      try {
        rmSync(left, { force: true });
      } catch {
        // Others can still be removed.
      }
    }
  }
}

function keepFromStaying(partial: string, notes: Notes | undefined): void {
  if (partials.size === 0) process.on("exit", removePartials);
  partials.set(partial, notes);
}

function forget(partial: string): void {
  partials.delete(partial);
  if (partials.size === 0) process.off("exit", removePartials);
}
