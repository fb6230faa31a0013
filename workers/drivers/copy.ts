// Copying between shared buffers, for the drivers of tensors in memory.
//
// How bytes are copied was measured on one core of an AMD EPYC with Node 20, tiles of 256 KiB of 256 MiB, in GB/s:
//                                  to the stage   to memory   back, in place
//   TypedArray.prototype.set             12           12            14
//   Buffer.prototype.fill(array)         16            9            23
// The type of a set's arrays changes nothing, but source and target must be the same modulo 8: if not, it is 3. A loop over elements has
// 3 to 5. A set costs as much as 1 to 2 KiB of copying, so that the loop is faster for runs of less than 128 bytes; a fill costs 8 KiB.
import type { WasmMemory } from "../webassembly.js";

const SHORT_RUN_BYTES = 128;
const LONG_RUN_BYTES = 8192;

/** Runs of bytes of a buffer, `stride` apart. */
export interface BufferRuns {
  readonly buffer: SharedArrayBuffer;
  readonly at: number;
  readonly stride: number;
}

/** The arena's bytes, at least up to `end`: a buffer that was read before the memory grew is too short. */
export function arenaBuffer(memory: WasmMemory, end: number): SharedArrayBuffer {
  if (memory.buffer.byteLength < end) memory.grow(0);
  return memory.buffer;
}

/** @param cached whether the target's lines are in the cache. */
export function copy(from: BufferRuns, to: BufferRuns, rows: number, bytes: number, cached: boolean): void {
  if (bytes < SHORT_RUN_BYTES) {
    copyShort(from, to, rows, bytes);
    return;
  }
  // Views are made anew: the calling thread's must not keep a buffer object of the arena alive (see src/memory/arena.ts).
  if (rows === 1 && cached && bytes >= LONG_RUN_BYTES) {
    Buffer.from(to.buffer, to.at, bytes).fill(new Uint8Array(from.buffer, from.at, bytes));
    return;
  }
  for (let row = 0; row < rows; row++) {
    const source = new Uint8Array(from.buffer, from.at + row * from.stride, bytes);
    new Uint8Array(to.buffer, to.at + row * to.stride, bytes).set(source);
  }
}

type Elements = Int32Array | Int16Array | Uint8Array;

function elementsOf(size: number, buffer: SharedArrayBuffer, at: number, length: number): Elements {
  if (size === 4) return new Int32Array(buffer, at, length);
  return size === 2 ? new Int16Array(buffer, at, length) : new Uint8Array(buffer, at, length);
}

function copyShort(from: BufferRuns, to: BufferRuns, rows: number, bytes: number): void {
  const positions = [from.at, from.stride, to.at, to.stride, bytes];
  const size = [4, 2].find((size) => positions.every((position) => position % size === 0)) ?? 1;
  const length = bytes / size;
  const viewOf = ({ buffer, at, stride }: BufferRuns) =>
    elementsOf(size, buffer, at, ((rows - 1) * stride) / size + length);
  const source = viewOf(from);
  const target = viewOf(to);
  for (let row = 0; row < rows; row++) {
    let at = (row * to.stride) / size;
    const start = (row * from.stride) / size;
    for (let i = start; i < start + length; i++) target[at++] = source[i] as number;
  }
}
