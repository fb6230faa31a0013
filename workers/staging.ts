// Tiles of tensors that kernels cannot work on where they lie: their drivers copy them to a task's stage, they are computed on there, and
// copied back.
import { CELL_BYTES, type Dtype, resultDtype } from "../src/plan/cells.js";
import type { Phase } from "../src/plan/phase.js";
import type { Window } from "../src/plan/stripes.js";
import type { Spec } from "../src/storage/spec.js";
import { LINE } from "./drivers/driver.js";
import { driverOf } from "./drivers/drivers.js";
import { NONE, type Operands } from "./operands.js";
import { stageBytesOf } from "./scratch.js";
import type { Tile } from "./tiles/tile.js";
import { runsOf } from "./tiles/window.js";
import { tileCells } from "./tiles.js";
import type { WasmMemory } from "./webassembly.js";

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
function roomOf(phase: Phase, dtype: Dtype): number {
  const bytes = tileCells(phase, dtype) * Math.max(CELL_BYTES[dtype], CELL_BYTES[resultDtype(dtype)]);
  return Math.ceil(bytes / LINE + 1) * LINE;
}

/** Bytes of stage that a task of this phase needs, tiles and all. A multiple of a cache line. */
export function stagedBytesOf(phase: Phase, dtype: Dtype, backward: boolean): number {
  return roomsAt(0, phase, dtype, backward) + 3 * roomOf(phase, dtype);
}

/** Where the rooms of the stage at `stage` begin. */
function roomsAt(stage: number, phase: Phase, dtype: Dtype, backward: boolean): number {
  return Math.ceil((stage + stageBytesOf(phase, dtype, backward)) / LINE) * LINE;
}

/** A tile in the arena, and where its results are to go, if they are not there. */
export interface Staged {
  readonly addresses: Addresses;
  /** Where y's cells of the tile are staged; undefined where they are in place. */
  readonly result: number | undefined;
}

/** The addresses that the kernels take for a tile of `phase`, its cells loaded to the task's stage where they are not in place. */
export function load(memory: WasmMemory, phase: Phase, tile: Tile, operands: Operands, stage: number): Staged {
  const { dtype, tensors, window } = operands;
  const { x, g, y } = tensors;
  const bytes = CELL_BYTES[dtype];
  const rooms = roomsAt(stage, phase, dtype, g !== null);
  const room = roomOf(phase, dtype);
  const fromX = x === null ? NONE : loadCells(memory, tile, x, window, bytes, rooms);
  const fromG = g === null ? NONE : loadCells(memory, tile, g, window, bytes, rooms + room);
  const resultBytes = CELL_BYTES[resultDtype(dtype)];
  const there = y === null ? NONE : inPlace(tile, y, window, resultBytes);
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
  return { addresses, result: there === undefined ? to : undefined };
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

/** Whether two specs say the same place, so that one's lines are the other's. */
function isSame(a: Spec | null, b: Spec): boolean {
  if (a?.kind === "shared" && b.kind === "shared") return a.buffer === b.buffer && a.byteOffset === b.byteOffset;
  return a === b;
}

/** The address of a tile's cells, loaded to `room` if they have to be. */
function loadCells(
  memory: WasmMemory,
  tile: Tile,
  spec: Spec,
  window: Window | null,
  bytes: number,
  room: number,
): number {
  const there = inPlace(tile, spec, window, bytes);
  if (there !== undefined) return there;
  const at = room + lineOffset(tile, spec, window, bytes);
  let to = at;
  for (const runs of runsOf(tile, window, bytes)) {
    driverOf(spec).load(spec, runs, memory, to);
    to += runs.rows * runs.bytes;
  }
  return at;
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
