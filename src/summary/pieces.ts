// A tensor's cells as float64, a piece at a time: bounded memory wherever the cells are, and turns of the event loop between pieces.
import { nextTurn } from "../clock.js";
import { AbortedError } from "../errors.js";
import { convert } from "../plan/convert.js";
import { CELL_BYTES, type Dtype } from "../tensor/dtype.js";
import { readInto, type Tensor } from "../tensor/tensor.js";

/** What is told and asked between two pieces. */
export interface Watch {
  readonly signal?: AbortSignal | undefined;
  /** Told the share done, 0 to 1. */
  readonly onShare?: ((share: number) => void) | undefined;
}

/** Calls `use` with `cells` cells at a time, in order. The array has others afterwards. Throws AbortedError, ReadFailedError. */
export async function eachPiece(
  operation: string,
  x: Tensor,
  cells: number,
  { signal, onShare }: Watch,
  use: (piece: Float64Array, from: number) => void,
): Promise<void> {
  const { size, dtype } = x;
  const bytes = CELL_BYTES[dtype];
  const read = new Uint8Array(bytes * Math.min(cells, size));
  const piece = new Float64Array(Math.min(cells, size));
  for (let from = 0; from < size; from += cells) {
    onShare?.(from / size);
    if (signal?.aborted) throw new AbortedError(operation, signal.reason);
    const count = Math.min(cells, size - from);
    await readInto(x, from, read.subarray(0, bytes * count));
    putNumbers(dtype, read.buffer, count, piece);
    use(piece.subarray(0, count), from);
    // Reading memory takes no turn of the event loop by itself.
    await nextTurn();
  }
  onShare?.(1);
}

/** The first `count` cells as numbers. */
function putNumbers(dtype: Dtype, cells: ArrayBuffer, count: number, target: Float64Array<ArrayBuffer>): void {
  if (dtype === "float64") target.set(new Float64Array(cells, 0, count));
  else convert(dtype, "float64", { buffer: cells, at: 0 }, { buffer: target.buffer, at: 0 }, count);
}
