// A tensor's cells as float64, a piece at a time: bounded memory wherever the cells are, and turns of the event loop between pieces.
import { nextTurn } from "../clock.js";
import { AbortedError } from "../errors.js";
import { CODECS } from "../storage/safetensors-dtypes.js";
import type { Dtype } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";

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
  const piece = new Float64Array(Math.min(cells, size));
  for (let from = 0; from < size; from += cells) {
    onShare?.(from / size);
    if (signal?.aborted) throw new AbortedError(operation, signal.reason);
    const to = Math.min(size, from + cells);
    putNumbers(dtype, await x.read({ from, to }), piece);
    use(piece.subarray(0, to - from), from);
    // Reading memory takes no turn of the event loop by itself.
    await nextTurn();
  }
  onShare?.(1);
}

/** Two bytes a cell are looked up: as bits, since not every Node has a Float16Array. */
function putNumbers(dtype: Dtype, cells: ArrayBufferView, target: Float64Array): void {
  if (dtype !== "float16" && dtype !== "bfloat16") {
    target.set(cells as unknown as ArrayLike<number>);
    return;
  }
  const table = valuesOf(dtype);
  const bits = new Uint16Array(cells.buffer, cells.byteOffset, cells.byteLength / 2);
  for (let i = 0; i < bits.length; i++) target[i] = table[bits[i] as number] as number;
}

const tables = new Map<Dtype, Float32Array>();

/** The value of each 16 bits. */
function valuesOf(dtype: "float16" | "bfloat16"): Float32Array {
  let table = tables.get(dtype);
  if (table === undefined) {
    table = new Float32Array(1 << 16);
    const bits = Uint16Array.from(table, (_, i) => i);
    CODECS[dtype === "float16" ? "F16" : "BF16"]?.widen?.(bits, table, 0);
    tables.set(dtype, table);
  }
  return table;
}
