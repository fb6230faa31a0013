// Cells of a table in a file, some rows at a time: those that are compared or converted may be larger than memory has room for twice.
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { formatNpyHeader } from "../../../src/storage/npy.js";
import { checkAgreement } from "../agreement.js";

/** Rows at a time. DuckDB's chunks have as many. */
export const BLOCK = 2048;

interface Block {
  readonly first: number;
  readonly rows: number;
  /** `[rows, columns]` */
  readonly cells: Float32Array;
}

/** Of an .npy file, or of bare cells: they are what the file ends with. A block's memory is the next one's. */
export function* readBlocks(path: string, rows: number, columns: number): Generator<Block, undefined> {
  const all = new Float32Array(BLOCK * columns);
  const file = openSync(path, "r");
  try {
    const start = fstatSync(file).size - rows * columns * 4;
    if (start < 0) throw new Error(`${path} has fewer than ${rows * columns} cells`);
    for (let first = 0; first < rows; first += BLOCK) {
      const count = Math.min(BLOCK, rows - first);
      const cells = all.subarray(0, count * columns);
      const bytes = new Uint8Array(cells.buffer, 0, cells.byteLength);
      if (readSync(file, bytes, 0, bytes.length, start + first * columns * 4) < bytes.length) {
        throw new Error(`${path} ends early`);
      }
      yield { first, rows: count, cells };
    }
  } finally {
    closeSync(file);
  }
}

/** A new file of these blocks' cells, one after another. */
export async function writeBlocks(
  path: string,
  blocks: Iterable<Float32Array> | AsyncIterable<Float32Array>,
  header: Uint8Array = new Uint8Array(0),
): Promise<void> {
  const file = openSync(path, "w");
  try {
    writeSync(file, header);
    for await (const { buffer, byteOffset, byteLength } of blocks) {
      writeSync(file, new Uint8Array(buffer, byteOffset, byteLength));
    }
  } finally {
    closeSync(file);
  }
}

/** An .npy file of numbers that Parquet finds no repetition in. Each column has a mean and a deviation of its own. */
export function writeInput(path: string, rows: number, columns: number): Promise<void> {
  return writeBlocks(path, inputBlocks(rows, columns), formatNpyHeader([rows, columns]));
}

function* inputBlocks(rows: number, columns: number): Generator<Float32Array> {
  const cells = new Float32Array(BLOCK * columns);
  let state = 1;
  for (let first = 0; first < rows; first += BLOCK) {
    const count = Math.min(BLOCK, rows - first);
    for (let row = 0; row < count; row++) {
      for (let c = 0; c < columns; c++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
        cells[row * columns + c] = 3 + c / 64 + (state / 2 ** 31) * (0.5 + (c % 16) / 8);
      }
    }
    yield cells.subarray(0, count * columns);
  }
}

/** Rows of columns that lie apart. */
export function interleave(columns: readonly Float32Array[], first: number, rows: number): Float32Array {
  const width = columns.length;
  const cells = new Float32Array(rows * width);
  for (const [c, column] of columns.entries()) {
    for (let row = 0; row < rows; row++) cells[row * width + c] = column[first + row] as number;
  }
  return cells;
}

/** Column `c` of a block, into `column` from index `to`. */
export function takeColumn({ rows, cells }: Block, c: number, column: Float32Array, to = 0): void {
  const columns = cells.length / rows;
  for (let row = 0; row < rows; row++) column[to + row] = cells[row * columns + c] as number;
}

/** Throws where a cell is not within the bound of all peers. */
export function checkFile(actual: string, expected: string, rows: number, columns: number): void {
  const own = readBlocks(expected, rows, columns);
  try {
    for (const { first, cells } of readBlocks(actual, rows, columns)) {
      checkAgreement(cells, own.next().value?.cells ?? new Float32Array(0), first * columns);
    }
  } finally {
    own.return(undefined);
  }
}
