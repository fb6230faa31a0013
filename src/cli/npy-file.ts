// .npy files to and from a pool's memory, a piece at a time: the event loop stays free, and an interrupt is seen between pieces.
import type { NormPool, Tensor } from "../index.js";
import { withInput } from "../storage/input.js";
import { checkNpyFloat32, formatNpyHeader, type NpyHeader, readNpyHeader } from "../storage/npy.js";
import type { Output } from "../storage/output.js";

const PIECE_BYTES = 8 << 20;

export interface TransferOptions {
  readonly signal: AbortSignal;
  /** Told the share done, 0 to 1. */
  readonly onShare: (share: number) => void;
}

/** The header of the file at `path`, and the file's size. Throws FileFormatError. */
export async function inspectNpy(path: string): Promise<{ header: NpyHeader; fileBytes: number }> {
  return withInput("npy", path, async (input) => ({
    header: await readNpyHeader(path, (position, length) => input.readAt(position, length)),
    fileBytes: input.size,
  }));
}

/** Reads a float32 .npy file straight into a tensor of the pool. Throws FileFormatError, OutOfMemoryError. */
export async function readNpy(pool: NormPool, path: string, options: TransferOptions): Promise<Tensor<"float32">> {
  return withInput("npy", path, async (input) => {
    const header = await readNpyHeader(path, (position, length) => input.readAt(position, length));
    checkNpyFloat32(path, header, input.size);
    const tensor = pool.tensor("float32", header.shape);
    await inPieces(tensor, options, (piece, position) => input.fill(piece, header.dataOffset + position));
    return tensor;
  });
}

export async function writeNpy(output: Output, tensor: Tensor<"float32">, options: TransferOptions): Promise<void> {
  await output.write(formatNpyHeader(tensor.shape));
  await inPieces(tensor, options, (piece) => output.write(piece));
}

/** Moves all bytes of a tensor through `move`. */
async function inPieces(
  tensor: Tensor<"float32">,
  { signal, onShare }: TransferOptions,
  move: (piece: Uint8Array, position: number) => Promise<void>,
): Promise<void> {
  const { buffer, byteOffset, byteLength } = tensor.data;
  for (let position = 0; position < byteLength; position += PIECE_BYTES) {
    signal.throwIfAborted();
    onShare(position / byteLength);
    const length = Math.min(PIECE_BYTES, byteLength - position);
    await move(new Uint8Array(buffer, byteOffset + position, length), position);
  }
  onShare(1);
}
