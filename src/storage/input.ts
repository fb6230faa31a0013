// A file to read from, in pieces.
import type { BigIntStats } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { describe } from "../describe.js";
import { FileFormatError, InvalidArgumentError, ReadFailedError } from "../errors.js";
import { describeSystemError } from "./system-error.js";

/** One read of the system takes a little less than 2 GiB; smaller ones leave the threads that read free for others. */
const PIECE_BYTES = 64 << 20;

/** Which file it is, whatever has its name later. */
export interface Identity {
  /** Device and inode. */
  readonly id: string;
  readonly size: number;
  /** When it was last written to, in nanoseconds. */
  readonly modified: string;
}

export class Input {
  /** As the caller named it. */
  readonly path: string;
  readonly identity: Identity;
  readonly #operation: string;
  readonly #file: FileHandle;

  constructor(operation: string, path: string, identity: Identity, file: FileHandle) {
    this.#operation = operation;
    this.path = path;
    this.identity = identity;
    this.#file = file;
  }

  get descriptor(): number {
    return this.#file.fd;
  }

  get size(): number {
    return this.identity.size;
  }

  /** `length` bytes at `position`, or fewer where the file ends. */
  async readAt(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, await this.#read(bytes, position));
  }

  /** Fills `cells` from `position` on. Throws FileFormatError where the file ends before. */
  async fill(cells: ArrayBufferView, position: number): Promise<void> {
    if ((await this.#read(cells, position)) < cells.byteLength) {
      throw new FileFormatError(this.#operation, this.path, "the file became shorter while it was read");
    }
  }

  async #read({ buffer, byteOffset, byteLength }: ArrayBufferView, position: number): Promise<number> {
    let done = 0;
    while (done < byteLength) {
      // A view of all bytes may be longer than a Uint8Array can be.
      const piece = new Uint8Array(buffer, byteOffset + done, Math.min(PIECE_BYTES, byteLength - done));
      const { bytesRead } = await this.#file
        .read(piece, 0, piece.length, position + done)
        .catch((cause) => Promise.reject(readFailed(this.#operation, this.path, cause)));
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }
}

/** Opens the regular file at `path`, in errors `name`, for as long as `use` takes. Throws ReadFailedError, FileFormatError. */
export async function withInput<T>(
  operation: string,
  path: string,
  use: (input: Input) => Promise<T>,
  name = path,
): Promise<T> {
  if (typeof path !== "string" || path.includes("\0")) {
    throw new InvalidArgumentError(operation, "path", "a string without NUL", describe(path));
  }
  const orFail = (cause: unknown) => Promise.reject(readFailed(operation, name, cause));
  // Before it is opened: opening a named pipe would wait for someone to write.
  const found = await stat(path).catch(orFail);
  if (found.isDirectory()) throw new FileFormatError(operation, name, "expected a file but it is a folder");
  if (!found.isFile()) throw new FileFormatError(operation, name, "expected a regular file");
  const file = await open(path, "r").catch(orFail);
  try {
    // Of what is open: the name may be another file's since.
    return await use(new Input(operation, name, identityOf(await file.stat({ bigint: true })), file));
  } finally {
    await file.close();
  }
}

export function identityOf({ dev, ino, size, mtimeNs }: BigIntStats): Identity {
  return { id: `${dev}:${ino}`, size: Number(size), modified: String(mtimeNs) };
}

function readFailed(operation: string, path: string, cause: unknown): ReadFailedError {
  return new ReadFailedError(operation, path, describeSystemError(cause), { cause });
}
