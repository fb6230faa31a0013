// A tensor's cells as float64, a piece at a time: bounded memory wherever the cells are, and turns of the event loop between pieces.
import { nextTurn } from "../clock.js";
import { AbortedError } from "../errors.js";
import { CODECS } from "../storage/safetensors-dtypes.js";
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
function putNumbers(dtype: Dtype, cells: ArrayBuffer, count: number, target: Float64Array): void {
  if (dtype === "float64") target.set(new Float64Array(cells, 0, count));
  else if (dtype === "float32") target.set(new Float32Array(cells, 0, count));
  else if (dtype === "uint8") target.set(new Uint8Array(cells, 0, count));
  else {
    // Looked up: not every Node has a Float16Array.
    const table = valuesOf(dtype);
    const bits = new Uint16Array(cells, 0, count);
    for (let i = 0; i < count; i++) target[i] = table[bits[i] as number] as number;
  }
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
