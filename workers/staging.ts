// Tiles of tensors that kernels cannot work on where they lie: their drivers copy them to a task's stage, they are computed on there, and
// copied back.
import { CELL_BYTES, type Dtype, resultDtype } from "../src/plan/cells.js";
import { COLUMN_TILE } from "../src/plan/grid.js";
import type { Phase } from "../src/plan/phase.js";
import type { Window } from "../src/plan/stripes.js";
import type { Spec } from "../src/storage/spec.js";
import { arenaBuffer } from "./drivers/copy.js";
import { LINE } from "./drivers/driver.js";
import { driverOf } from "./drivers/drivers.js";
import { NONE, type Operands } from "./operands.js";
import { stageBytesOf } from "./scratch.js";
import { PAIR_BYTES, type Tile } from "./tiles/tile.js";
import { runsOf } from "./tiles/window.js";
import { type TileRoom, tileCells } from "./tiles.js";
import type { WasmMemory } from "./webassembly.js";

const NUMBER_BYTES = 8;

/** Where all that a kernel works on is, in the arena. NONE where there is none. */
export interface Addresses {
  readonly x: number;
  readonly g: number;
  readonly y: number;
  readonly weight: number;
  readonly bias: number;
  readonly table: number;
  readonly statistics: number;
  readonly means: number;
  readonly partials: number;
  readonly moments: number;
}

/** Bytes of a task's stage for each of the tiles of x, g and y. */
function roomOf(phase: Phase, room: TileRoom): number {
  const { dtype } = room;
  const bytes = tileCells(phase, room) * Math.max(CELL_BYTES[dtype], CELL_BYTES[resultDtype(dtype)]);
  return Math.ceil(bytes / LINE + 1) * LINE;
}

/** Tiles at a time: of x, of g, of y. Where only sums come of it there is no y. */
function roomsOf({ kind }: Phase): number {
  if (kind === "moments") return 1;
  return kind === "reduce" || kind === "accumulate" ? 2 : 3;
}

/** Bytes of stage that a task of this phase needs, tiles and all, and if it is `logged` the sums of one. A multiple of a cache line. */
export function stagedBytesOf(phase: Phase, room: TileRoom, backward: boolean, logged = false): number {
  const bytes = roomsAt(0, phase, room.dtype, backward) + roomsOf(phase) * roomOf(phase, room);
  return bytes + (logged ? sumBytesOf(phase) : 0);
}

/** Bytes of the sums by cell that a tile of this phase adds to, at most. A multiple of a cache line. */
function sumBytesOf(phase: Phase): number {
  if (phase.kind === "accumulate") return COLUMN_TILE * PAIR_BYTES;
  if (phase.kind !== "differentiate" || !phase.sinks) return 0;
  return Math.ceil((phase.groups * phase.length * PAIR_BYTES) / LINE) * LINE;
}

/** Where the sums by cell that a tile adds to are: those by weight, and as many by bias. */
function sumsOf(phase: Phase, tile: Tile, { results }: Operands): { readonly at: number; readonly bytes: number }[] {
  const { partials } = results;
  if (phase.kind !== "accumulate" && phase.kind !== "differentiate") return [];
  const cells = phase.groups * phase.length;
  const [start, width] = phase.kind === "accumulate" ? [tile.before, tile.width] : [0, cells];
  const bytes = width * NUMBER_BYTES;
  const weights = further(partials, tile.ahead.partials) + start * NUMBER_BYTES;
  return [weights, weights + cells * NUMBER_BYTES].map((at) => ({ at, bytes }));
}

/** Keeps the sums that a tile adds to, in its task's stage. */
export function saveSums(memory: WasmMemory, phase: Phase, tile: Tile, operands: Operands, stage: number): void {
  let to = savedAt(phase, operands, stage);
  for (const { at, bytes } of sumsOf(phase, tile, operands)) {
    copyInside(memory, at, to, bytes);
    to += bytes;
  }
}

/** Puts back what saveSums kept. */
export function restoreSums(memory: WasmMemory, phase: Phase, tile: Tile, operands: Operands, stage: number): void {
  let from = savedAt(phase, operands, stage);
  for (const { at, bytes } of sumsOf(phase, tile, operands)) {
    copyInside(memory, from, at, bytes);
    from += bytes;
  }
}

function savedAt(phase: Phase, operands: Operands, stage: number): number {
  const { dtype, tensors } = operands;
  return roomsAt(stage, phase, dtype, tensors.g !== null) + roomsOf(phase) * roomOf(phase, operands);
}

function copyInside(memory: WasmMemory, from: number, to: number, bytes: number): void {
  const buffer = arenaBuffer(memory, Math.max(from, to) + bytes);
  new Uint8Array(buffer, to, bytes).set(new Uint8Array(buffer, from, bytes));
}

/** Where the rooms of the stage at `stage` begin. */
function roomsAt(stage: number, phase: Phase, dtype: Dtype, backward: boolean): number {
  return Math.ceil((stage + stageBytesOf(phase, dtype, backward)) / LINE) * LINE;
}

/** Where a tile's cells are in the arena, to be computed on. */
export interface Staged {
  readonly addresses: Addresses;
  /** Where x's and g's cells of the tile are. */
  readonly x: number;
  readonly g: number;
  /** Where y's cells of the tile are staged; undefined where they are in place. */
  readonly result: number | undefined;
}

/**
 * The addresses that the kernels take for a tile of `phase`, its cells loaded to the task's stage where they are not in place.
 * @param apart whether results are staged wherever they belong.
 */
export function load(
  memory: WasmMemory,
  phase: Phase,
  tile: Tile,
  operands: Operands,
  stage: number,
  apart = false,
): Staged {
  const { dtype, tensors, window } = operands;
  const staged = placesOf(phase, tile, operands, stage, apart);
  const bytes = CELL_BYTES[dtype];
  if (tensors.x !== null) loadCells(memory, tile, tensors.x, window, bytes, staged.x);
  if (tensors.g !== null) loadCells(memory, tile, tensors.g, window, bytes, staged.g);
  return staged;
}

/** As `load`, but that nothing is loaded. */
export function placesOf(phase: Phase, tile: Tile, operands: Operands, stage: number, apart: boolean): Staged {
  const { dtype, tensors, window } = operands;
  const { x, g, y } = tensors;
  const bytes = CELL_BYTES[dtype];
  const rooms = roomsAt(stage, phase, dtype, g !== null);
  const room = roomOf(phase, operands);
  const fromX = x === null ? NONE : placeOf(tile, x, window, bytes, rooms);
  const fromG = g === null ? NONE : placeOf(tile, g, window, bytes, rooms + room);
  const resultBytes = CELL_BYTES[resultDtype(dtype)];
  const there = y === null ? NONE : apart ? undefined : inPlace(tile, y, window, resultBytes);
  let to = there ?? NONE;
  if (y !== null && there === undefined) {
    const offset = lineOffset(tile, y, window, resultBytes);
    // Over an input's copy, which is in the cache already: a kernel's y may be its x or g.
    const overX = x !== null && bytes === resultBytes && inPlace(tile, x, window, bytes) === undefined;
    to = overX && (fromX - offset) % 8 === 0 ? fromX : rooms + 2 * room + offset;
  }
  const { parameters, tables, results } = operands;
  const { ahead } = tile;
  const addresses = {
    // May be below 0: the kernels count addresses modulo 2^32.
    x: fromX - tile.before * bytes,
    g: g === null ? NONE : fromG - tile.before * bytes,
    y: to - tile.before * resultBytes,
    weight: further(parameters.weight, ahead.weight),
    bias: further(parameters.bias, ahead.bias),
    table: further(tables.table, ahead.table),
    statistics: further(tables.statistics, ahead.statistics),
    means: further(tables.means, ahead.means),
    partials: further(results.partials, ahead.partials),
    moments: further(results.moments, ahead.moments),
  };
  return { addresses, x: fromX, g: fromG, result: there === undefined ? to : undefined };
}

function further(address: number, ahead = 0): number {
  return address === NONE ? NONE : address + ahead;
}

/** Takes a tile's results to where they belong, if they are not there. */
export function store(memory: WasmMemory, tile: Tile, { dtype, tensors, window }: Operands, { result }: Staged): void {
  const { x, g, y } = tensors;
  if (y === null || result === undefined) return;
  const cached = isSame(x, y) || isSame(g, y);
  let from = result;
  for (const runs of runsOf(tile, window, CELL_BYTES[resultDtype(dtype)])) {
    driverOf(y).store(y, runs, memory, from, cached);
    from += runs.rows * runs.bytes;
  }
}

/** Whether two specs say the same place, so that one's cells are the other's. */
export function isSame(a: Spec | null, b: Spec): boolean {
  if (a?.kind === "shared" && b.kind === "shared") return a.buffer === b.buffer && a.byteOffset === b.byteOffset;
  if (a?.kind === "arena" && b.kind === "arena") return a.address === b.address;
  if (a?.kind === "file" && b.kind === "file") return a.id === b.id && a.offset === b.offset;
  return a === b;
}

/** Where a tile's cells are: where they lie, or if kernels cannot work on them there, in `room`. */
function placeOf(tile: Tile, spec: Spec, window: Window | null, bytes: number, room: number): number {
  return inPlace(tile, spec, window, bytes) ?? room + lineOffset(tile, spec, window, bytes);
}

/** Loads a tile's cells to `to`, if they are not there. */
function loadCells(memory: WasmMemory, tile: Tile, spec: Spec, window: Window | null, bytes: number, to: number): void {
  if (inPlace(tile, spec, window, bytes) !== undefined) return;
  for (const runs of runsOf(tile, window, bytes)) {
    driverOf(spec).load(spec, runs, memory, to);
    to += runs.rows * runs.bytes;
  }
}

/** The address of a tile's cells where kernels can work on them; undefined where they have to be copied. */
function inPlace(tile: Tile, spec: Spec, window: Window | null, bytes: number): number | undefined {
  const { addressOf } = driverOf(spec);
  if (addressOf === undefined || tile.rows > 1) return undefined;
  const [run, ...others] = runsOf(tile, window, bytes);
  return run === undefined || others.length > 0 || run.rows > 1 ? undefined : addressOf(spec, run.at);
}

function lineOffset(tile: Tile, spec: Spec, window: Window | null, bytes: number): number {
  return driverOf(spec).lineOffsetOf(spec, runsOf(tile, window, bytes)[0]?.at ?? 0);
}
