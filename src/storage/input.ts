// A file to read from, in pieces.
import { type FileHandle, open, stat } from "node:fs/promises";
import { describe, FileFormatError, InvalidArgumentError } from "../errors.js";

/** One read of the system takes a little less than 2 GiB; smaller ones leave the threads that read free for others. */
const PIECE_BYTES = 64 << 20;

export class Input {
  readonly path: string;
  readonly size: number;
  readonly #operation: string;
  readonly #file: FileHandle;

  constructor(operation: string, path: string, size: number, file: FileHandle) {
    this.#operation = operation;
    this.path = path;
    this.size = size;
    this.#file = file;
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
      const { bytesRead } = await this.#file.read(piece, 0, piece.length, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }
}

/** Opens the regular file at `path` for as long as `use` takes. */
export async function withInput<T>(operation: string, path: string, use: (input: Input) => Promise<T>): Promise<T> {
  if (typeof path !== "string" || path.includes("\0")) {
    throw new InvalidArgumentError(operation, "path", "a string without NUL", describe(path));
  }
  // Before it is opened: opening a named pipe would wait for someone to write.
  if (!(await stat(path)).isFile()) throw new FileFormatError(operation, path, "expected a regular file");
  const file = await open(path, "r");
  try {
    // Of what is open: the name may be another file's since.
    const { size } = await file.stat();
    return await use(new Input(operation, path, size, file));
  } finally {
    await file.close();
  }
}
