// .npy files to and from a pool's memory, a piece at a time: the event loop stays free, and an interrupt is seen between pieces.
import { randomUUID } from "node:crypto";
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { FileFormatError, type NormPool, type Tensor } from "../index.js";
import { checkNpyFloat32, formatNpyHeader, type NpyHeader, readNpyHeader } from "../storage/npy.js";

const PIECE_BYTES = 8 << 20;

export interface TransferOptions {
  readonly signal: AbortSignal;
  /** Told the share done, 0 to 1. */
  readonly onShare: (share: number) => void;
}

/** The header of the file at `path`, and the file's size. Throws FileFormatError. */
export async function inspectNpy(path: string): Promise<{ header: NpyHeader; fileBytes: number }> {
  return withFile(path, async (file, fileBytes) => ({ header: await headerOf(path, file), fileBytes }));
}

/** Reads a float32 .npy file straight into a tensor of the pool. Throws FileFormatError, OutOfMemoryError. */
export async function readNpy(pool: NormPool, path: string, options: TransferOptions): Promise<Tensor<"float32">> {
  return withFile(path, async (file, fileBytes) => {
    const header = await headerOf(path, file);
    checkNpyFloat32(path, header, fileBytes);
    const tensor = pool.tensor("float32", header.shape);
    await inPieces(tensor, options, async (bytes, position) => {
      const { bytesRead } = await file.read(bytes, 0, bytes.length, header.dataOffset + position);
      if (bytesRead === 0) throw new FileFormatError("npy", path, "the file became shorter while it was read");
      return bytesRead;
    });
    return tensor;
  });
}

/** An output file that does not exist under its name until it is complete: written beside it, then renamed. */
export class PendingNpy {
  readonly #path: string;
  readonly #temporary: string;
  readonly #file: FileHandle;

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#file = file;
  }

  /** Throws FileFormatError where no regular file can be written. A link stays one: what it points to is replaced. */
  static async create(path: string): Promise<PendingNpy> {
    const fail = (why: string, cause?: unknown) =>
      new FileFormatError("npy", path, `cannot write there (${why})`, { cause });
    const existing = await stat(path).catch(() => undefined);
    if (path === "" || path.endsWith(sep) || existing?.isDirectory()) throw fail("not a file name");
    if (existing !== undefined && !existing.isFile()) throw fail("not a regular file");
    const target = existing === undefined ? path : await realpath(path);
    const temporary = join(dirname(target), `.normpool-${randomUUID()}.partial`);
    try {
      return new PendingNpy(target, temporary, await open(temporary, "wx"));
    } catch (cause) {
      throw fail(cause instanceof Error && "code" in cause ? String(cause.code) : String(cause), cause);
    }
  }

  async write(tensor: Tensor<"float32">, options: TransferOptions): Promise<void> {
    const header = formatNpyHeader(tensor.shape);
    await this.#file.writeFile(header);
    await inPieces(tensor, options, async (bytes, position) => {
      const { bytesWritten } = await this.#file.write(bytes, 0, bytes.length, header.length + position);
      return bytesWritten;
    });
    await this.#file.close();
    await rename(this.#temporary, this.#path);
  }

  /** Leaves nothing behind. */
  async abandon(): Promise<void> {
    await this.#file.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }
}

async function withFile<T>(path: string, use: (file: FileHandle, fileBytes: number) => Promise<T>): Promise<T> {
  // Before it is opened: opening a named pipe would wait for someone to write.
  const { size } = await stat(path).then((found) => {
    if (!found.isFile()) throw new FileFormatError("npy", path, "expected a regular file");
    return found;
  });
  const file = await open(path, "r");
  try {
    return await use(file, size);
  } finally {
    await file.close();
  }
}

function headerOf(path: string, file: FileHandle): Promise<NpyHeader> {
  return readNpyHeader(path, async (position, length) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
    return buffer.subarray(0, bytesRead);
  });
}

/** Moves all bytes of a tensor through `move`, which says how many of the piece it took. */
async function inPieces(
  tensor: Tensor<"float32">,
  { signal, onShare }: TransferOptions,
  move: (bytes: Uint8Array, position: number) => Promise<number>,
): Promise<void> {
  const { buffer, byteOffset, byteLength } = tensor.data;
  for (let position = 0; position < byteLength; ) {
    signal.throwIfAborted();
    const length = Math.min(PIECE_BYTES, byteLength - position);
    position += await move(new Uint8Array(buffer, byteOffset + position, length), position);
    onShare(position / byteLength);
  }
  onShare(1);
}
