// Load and store of a tile: what hides where a tensor's cells are. In the arena kernels work on them in place; from elsewhere they are
// copied to this task's stage, computed on there, and copied back.
//
// How bytes are copied was measured on one core of an AMD EPYC with Node 20, tiles of 256 KiB of 256 MiB, in GB/s:
//                                  to the stage   to memory   back, in place
//   TypedArray.prototype.set             12           12            14
//   Buffer.prototype.fill(array)         16            9            23
// The type of a set's arrays changes nothing, but source and target must be the same modulo 8: if not, it is 3. A loop over elements has
// 3 to 5. A set costs as much as 1 to 2 KiB of copying, so that the loop is faster for runs of less than 128 bytes; a fill costs 8 KiB.
import {
  type Addresses,
  CELL_BYTES,
  type CellsCode,
  NONE,
  type Operands,
  type Phase,
  resultBytesOf,
  type Storage,
  stageBytesOf,
} from "../src/protocol.js";
import type { Tile } from "./tiles/tile.js";
import { tileCells } from "./tiles.js";
import type { WasmMemory } from "./webassembly.js";

const LINE = 64;
const SHORT_RUN_BYTES = 128;
const LONG_RUN_BYTES = 8192;

/** Runs of bytes, `stride` apart. */
interface Runs {
  readonly buffer: SharedArrayBuffer;
  readonly at: number;
  readonly stride: number;
}

export function isInArena(operands: Operands): operands is Addresses {
  return typeof operands.x === "number" && typeof operands.g === "number" && typeof operands.y === "number";
}

/** The operands without the tensors that a phase of the call neither reads nor writes: those are not staged. */
export function usedBy({ kind }: Phase, operands: Operands): Operands {
  if (kind === "moments") return { ...operands, g: NONE, y: NONE };
  return kind === "reduce" || kind === "accumulate" ? { ...operands, y: NONE } : operands;
}

/** Bytes of a task's stage for each of the tiles of x, g and y. */
function roomOf(phase: Phase, cells: CellsCode): number {
  const bytes = tileCells(phase, cells) * Math.max(CELL_BYTES[cells], resultBytesOf(cells));
  return Math.ceil(bytes / LINE + 1) * LINE;
}

/** Bytes of stage that a task of this phase needs, tiles and all. A multiple of a cache line. */
export function stagedBytesOf(phase: Phase, cells: CellsCode): number {
  return roomsAt(0, phase, cells) + 3 * roomOf(phase, cells);
}

/** Where the rooms of the stage at `stage` begin. */
function roomsAt(stage: number, phase: Phase, cells: CellsCode): number {
  return Math.ceil((stage + stageBytesOf(phase, cells)) / LINE) * LINE;
}

/** The operands as the kernels take them for a tile of `phase`, its cells loaded to the task's stage where they are not in place. */
export function load(memory: WasmMemory, phase: Phase, tile: Tile, operands: Operands, stage: number): Addresses {
  const { cells, x, g, y } = operands;
  const bytes = CELL_BYTES[cells];
  const rooms = roomsAt(stage, phase, cells);
  const room = roomOf(phase, cells);
  const fromX = loadCells(memory, tile, x, bytes, rooms);
  const fromG = loadCells(memory, tile, g, bytes, rooms + room);
  const resultBytes = resultBytesOf(cells);
  let to = inPlace(tile, y, resultBytes);
  if (to === undefined) {
    const congruent = (address: number) => (address - startOf(tile, y, resultBytes)) % 8 === 0;
    // Over an input's copy, which is in the cache already: a kernel's y may be its x or g.
    if (isCopy(tile, x, bytes) && bytes === resultBytes && congruent(fromX)) to = fromX;
    else to = aligned(rooms + 2 * room, startOf(tile, y, resultBytes));
  }
  const ahead = (table: keyof Tile["ahead"]) =>
    operands[table] === NONE ? NONE : operands[table] + (tile.ahead[table] ?? 0);
  return {
    ...operands,
    // May be below 0: the kernels count addresses modulo 2^32.
    x: fromX - tile.before * bytes,
    g: g === NONE ? NONE : fromG - tile.before * bytes,
    y: to - tile.before * resultBytes,
    weight: ahead("weight"),
    bias: ahead("bias"),
    table: ahead("table"),
    statistics: ahead("statistics"),
    partials: ahead("partials"),
    moments: ahead("moments"),
  };
}

/** Takes a tile's results to where they belong, if they are not there. */
export function store(memory: WasmMemory, tile: Tile, operands: Operands, loaded: Addresses): void {
  const bytes = resultBytesOf(operands.cells);
  if (operands.y === NONE || inPlace(tile, operands.y, bytes) !== undefined) return;
  const at = loaded.y + tile.before * bytes;
  const end = at + tile.rows * tile.width * bytes;
  const source = { buffer: arenaBuffer(memory, end), at, stride: tile.width * bytes };
  copy(source, runsOf(memory, tile, operands.y, bytes), tile.rows, tile.width * bytes, isInPlace(operands));
}

/** Whether a tile's results go where its cells came from. */
function isInPlace({ x, g, y }: Operands): boolean {
  return [x, g].some(
    (from) =>
      typeof from !== "number" && typeof y !== "number" && from.buffer === y.buffer && from.byteOffset === y.byteOffset,
  );
}

/** The address of a tile's cells, loaded to `room` if they have to be. */
function loadCells(memory: WasmMemory, tile: Tile, storage: Storage, bytes: number, room: number): number {
  const place = inPlace(tile, storage, bytes);
  if (place !== undefined) return place;
  const at = aligned(room, startOf(tile, storage, bytes));
  const target = { buffer: arenaBuffer(memory, at + tile.rows * tile.width * bytes), at, stride: tile.width * bytes };
  copy(runsOf(memory, tile, storage, bytes), target, tile.rows, tile.width * bytes, true);
  return at;
}

/** The address of a tile's cells where kernels can work on them: NONE of no tensor, undefined where they have to be copied. */
function inPlace(tile: Tile, storage: Storage, bytes: number): number | undefined {
  if (storage === NONE) return NONE;
  return typeof storage === "number" && tile.rows === 1 ? storage + tile.at * bytes : undefined;
}

function isCopy(tile: Tile, storage: Storage, bytes: number): boolean {
  return inPlace(tile, storage, bytes) === undefined;
}

function startOf(tile: Tile, storage: Storage, bytes: number): number {
  return (typeof storage === "number" ? storage : storage.byteOffset) + tile.at * bytes;
}

/** The first address in a room that has the same place in a cache line as `like`. */
function aligned(room: number, like: number): number {
  return room + (like % LINE);
}

function runsOf(memory: WasmMemory, tile: Tile, storage: Storage, bytes: number): Runs {
  const at = startOf(tile, storage, bytes);
  const stride = tile.stride * bytes;
  const end = at + ((tile.rows - 1) * tile.stride + tile.width) * bytes;
  return { buffer: typeof storage === "number" ? arenaBuffer(memory, end) : storage.buffer, at, stride };
}

/** The arena's bytes, at least up to `end`: a buffer that was read before the memory grew is too short. */
function arenaBuffer(memory: WasmMemory, end: number): SharedArrayBuffer {
  if (memory.buffer.byteLength < end) memory.grow(0);
  return memory.buffer;
}

/** @param cached whether the target's lines are in the cache. */
function copy(from: Runs, to: Runs, rows: number, bytes: number, cached: boolean): void {
  if (bytes < SHORT_RUN_BYTES) {
    copyShort(from, to, rows, bytes);
    return;
  }
  // Views are made anew: the main thread's must not keep a buffer object of the arena alive (see src/tensor/arena.ts).
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

function copyShort(from: Runs, to: Runs, rows: number, bytes: number): void {
  const positions = [from.at, from.stride, to.at, to.stride, bytes];
  const size = [4, 2].find((size) => positions.every((position) => position % size === 0)) ?? 1;
  const length = bytes / size;
  const viewOf = ({ buffer, at, stride }: Runs) => elementsOf(size, buffer, at, ((rows - 1) * stride) / size + length);
  const source = viewOf(from);
  const target = viewOf(to);
  for (let row = 0; row < rows; row++) {
    let at = (row * to.stride) / size;
    const start = (row * from.stride) / size;
    for (let i = start; i < start + length; i++) target[at++] = source[i] as number;
  }
}
