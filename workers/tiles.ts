// How a slice of a phase is cut into tiles, where a tensor is not in the arena; and what the phase is of a tile alone.
//
// A tile is a small tensor: kernels compute it by the same phase with a geometry of its own, with segments where the whole tensor has
// them, so the bits are the same. All numbers of the whole tensor stay here, in JavaScript's, which go beyond 32 bits.
import { CELL_BYTES, resultDtype } from "../src/plan/cells.js";
import { COLUMN_TILE, SEGMENT_CELLS } from "../src/plan/grid.js";
import type { Phase } from "../src/plan/phase.js";
import { cellsPerUnit, type Slices, slicesOf } from "../src/plan/slices.js";
import type { Operands, TileBytes } from "./operands.js";
import { accumulateTiles, blockTiles, columnTiles, responseTiles } from "./tiles/gathered.js";
import { lookupTiles, momentsTiles, reduceTiles, rowSumTiles } from "./tiles/stretches.js";
import type { Tile } from "./tiles/tile.js";
import { differentiateTiles, normalizeTiles, sinkTiles } from "./tiles/whole-sets.js";

/**
 * A tile of consecutive cells, where there is room: small enough for a core's cache, where it is read, computed and written; and as large as it may be,
 * since threads that write to one file wait for each other at each write. Of 1 GiB from file to file by 2 threads LayerNorm took 217, 189, 181 and 710 ms
 * in tiles of 256 KiB, 512 KiB, 1 MiB and 2 MiB, BatchNorm 253, 209, 203 (the first three), in turn. In memory they are alike.
 */
const TILE_BYTES = 1_048_576;
const LEAST_TILE_BYTES = 262_144;
/** A tile of rows that lie apart: copying a row costs as much as 1 KiB of it, so that rows are to be long. */
const WIDE_TILE_BYTES = 2_097_152;
/**
 * A tile of columns, where there is room: rows cut in two are read twice from a file, with what lies between. Of 1 GiB of rows of 256 cells the
 * moments took 380 ms in tiles of 2 MiB, and 190 in whole units of 4; of rows of 1024 880 and 310.
 */
const COLUMN_TILE_BYTES = 8_388_608;
/** Bytes that all seats' tiles take of a pool's memory, at most, unless they would be shorter than is good for any call. */
const ALL_TILES_BYTES = 268_435_456;
/** Cells of a response's tile: each takes so long that more would hold up a thread for too long. */
const RESPONSE_CELLS = 262_144;

/** What tiles may be like: of cells of this dtype, of so many bytes. */
export type TileRoom = Pick<Operands, "dtype" | "tileBytes">;

/**
 * Bytes of tiles where so many seats have some each: two of columns, of x and g; three of consecutive cells, with y.
 * @param memory bytes of the pool's, at most.
 */
export function tileBytesFor(seats: number, memory: number): TileBytes {
  const fair = Math.min(ALL_TILES_BYTES, memory / 4) / seats;
  const between = (least: number, bytes: number, most: number) => Math.max(least, Math.min(most, Math.floor(bytes)));
  return {
    cells: between(LEAST_TILE_BYTES, fair / 3, TILE_BYTES),
    columns: between(WIDE_TILE_BYTES, fair / 2, COLUMN_TILE_BYTES),
  };
}

/** Units [unit, end) of a phase as tiles, in order. */
export function tilesOf(phase: Phase, operands: TileRoom, unit: number, end: number): Iterable<Tile> {
  const room = tileCells(phase, operands);
  switch (phase.kind) {
    case "normalize":
      return normalizeTiles(phase, unit, end, room);
    case "moments":
      if (phase.layout === "stretches") return momentsTiles(phase, unit, end, room);
      if (phase.layout === "runs") return blockTiles(phase, phase.groups, unit, end, room);
      return columnTiles(phase, unit, end, room);
    case "reduce":
      if (phase.layout === "stretches") return reduceTiles(phase, operands.dtype, unit, end, room);
      if (phase.layout === "runs") return blockTiles(phase, phase.period, unit, end, room);
      return columnTiles(phase, unit, end, room);
    case "apply":
    case "propagate":
      return lookupTiles(phase, operands.dtype, unit, end, room);
    case "sumRows":
      return rowSumTiles(phase, unit, end, room);
    case "accumulate":
      return accumulateTiles(phase, unit, end, room);
    case "differentiate":
      return (phase.sinks ? sinkTiles : differentiateTiles)(phase, unit, end, room);
    case "response":
      return responseTiles(phase, unit, end, room);
  }
}

/** The most cells of a tile. */
export function tileCells(phase: Phase, { dtype, tileBytes }: TileRoom): number {
  const bytes = isGathered(phase) ? WIDE_TILE_BYTES : tileBytes.cells;
  const perCell = Math.max(CELL_BYTES[dtype], CELL_BYTES[resultDtype(dtype)]);
  const most = phase.kind === "response" ? RESPONSE_CELLS : Number.POSITIVE_INFINITY;
  return Math.max(
    Math.min(most, Math.floor(bytes / perCell)),
    leastCells(phase, Math.floor(tileBytes.columns / perCell)),
  );
}

/** Slices as large as tiles where the phase's units are rows apart, and still some for each of `threads`. */
export function stagedSlices(phase: Phase, room: TileRoom, threads: number, from?: number, to?: number): Slices {
  const slices = slicesOf(phase, from, to);
  if (!isGathered(phase)) return slices;
  const perTile = Math.floor(tileCells(phase, room) / cellsPerUnit(phase));
  const fair = Math.floor((slices.to - slices.from) / (4 * threads));
  return { ...slices, perSlice: Math.max(slices.perSlice, Math.min(perTile, fair)) };
}

/** A phase whose units are rows that lie apart. */
type GatheredPhase =
  | Extract<Phase, { kind: "moments" | "reduce"; layout: "runs" | "columns" }>
  | Extract<Phase, { kind: "accumulate" | "response" }>;

function isGathered(phase: Phase): phase is GatheredPhase {
  if (phase.kind === "moments" || phase.kind === "reduce") return phase.layout === "runs" || phase.layout === "columns";
  return phase.kind === "accumulate" || phase.kind === "response";
}

/** Cells that can only be computed together, or are better so. */
function leastCells(phase: Phase, columnCells: number): number {
  if ((phase.kind === "moments" || phase.kind === "reduce") && phase.layout === "columns") {
    const unit = Math.min(phase.rows, phase.perSegment) * Math.min(phase.width, COLUMN_TILE);
    return Math.max(SEGMENT_CELLS, Math.min(unit, columnCells));
  }
  if (phase.kind === "response") return phase.channels * Math.min(phase.tile, phase.space);
  if (phase.kind === "normalize") return Math.max(phase.length, SEGMENT_CELLS);
  if (phase.kind === "differentiate") return Math.max(phase.together * phase.length, SEGMENT_CELLS);
  if ((phase.kind === "apply" || phase.kind === "propagate") && phase.layout === "columns") return phase.width;
  return SEGMENT_CELLS;
}
