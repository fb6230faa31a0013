// How a slice of a phase is cut into tiles, where a tensor is not in the arena; and what the phase is of a tile alone.
//
// A tile is a small tensor: kernels compute it by the same phase with a geometry of its own, with segments where the whole tensor has
// them, so the bits are the same. All numbers of the whole tensor stay here, in JavaScript's, which go beyond 32 bits.
import {
  CELL_BYTES,
  type CellsCode,
  COLUMN_TILE,
  NONE,
  type Operands,
  type Phase,
  resultBytesOf,
  SEGMENT_CELLS,
} from "../src/protocol.js";
import { accumulateTiles, blockTiles, columnTiles, responseTiles } from "./tiles/gathered.js";
import { differentiateTiles, normalizeTiles, sinkTiles } from "./tiles/sets.js";
import { lookupTiles, momentsTiles, reduceTiles } from "./tiles/stretches.js";
import type { Tile } from "./tiles/tile.js";

/** A tile of consecutive cells: it stays in a core's cache while it is copied in, computed and copied out. */
const TILE_BYTES = 262_144;
/** A tile of rows that lie apart: copying a row costs as much as 1 KiB of it, so that rows are to be long. */
const WIDE_TILE_BYTES = 2_097_152;

const APPLY_FIELDS = 3;
const PROPAGATE_FIELDS = 4;

/** Units [unit, end) of a phase as tiles, in order. */
export function tilesOf(phase: Phase, operands: Operands, unit: number, end: number): Iterable<Tile> {
  const room = tileCells(phase, operands.cells);
  switch (phase.kind) {
    case "normalize":
      return normalizeTiles(phase, unit, end, room);
    case "moments":
      if (phase.layout === "sets") return momentsTiles(phase, unit, end, room);
      if (phase.layout === "runs") return blockTiles(phase, phase.groups, unit, end, room);
      return columnTiles(phase, unit, end, room);
    case "reduce":
      if (phase.layout === "stretches") return reduceTiles(phase, unit, end, room);
      if (phase.layout === "runs") return blockTiles(phase, phase.period, unit, end, room);
      return columnTiles(phase, unit, end, room);
    case "apply":
      return lookupTiles(phase, APPLY_FIELDS, unit, end, room);
    case "propagate":
      return lookupTiles(phase, PROPAGATE_FIELDS, unit, end, room);
    case "accumulate":
      return accumulateTiles(phase, unit, end, room);
    case "differentiate":
      if (phase.byCell && operands.partials !== NONE) return sinkTiles(phase, unit, end, room);
      return differentiateTiles(phase, unit, end, room);
    case "response":
      return responseTiles(phase, unit, end, room);
    case "double":
      throw new RangeError("double is measured in the arena only");
  }
}

/** The most cells of a tile. */
export function tileCells(phase: Phase, cells: CellsCode): number {
  const bytes = isGathered(phase) ? WIDE_TILE_BYTES : TILE_BYTES;
  return Math.max(Math.floor(bytes / Math.max(CELL_BYTES[cells], resultBytesOf(cells))), leastCells(phase));
}

/** The phase with slices as large as tiles where its units are rows apart, and still some for each of `threads`. */
export function widenSlices(phase: Phase, cells: CellsCode, threads: number): Phase {
  if (!isGathered(phase)) return phase;
  const perTile = Math.floor(tileCells(phase, cells) / unitCells(phase));
  const fair = Math.floor(phase.units / (4 * threads));
  return { ...phase, unitsPerSlice: Math.max(phase.unitsPerSlice, Math.min(perTile, fair)) };
}

/** A phase whose units are rows that lie apart. */
type GatheredPhase =
  | Extract<Phase, { kind: "moments" | "reduce"; layout: "runs" | "columns" }>
  | Extract<Phase, { kind: "accumulate" | "response" }>;

function isGathered(phase: Phase): phase is GatheredPhase {
  if (phase.kind === "moments" || phase.kind === "reduce") return phase.layout === "runs" || phase.layout === "columns";
  return phase.kind === "accumulate" || phase.kind === "response";
}

/** The most cells of a unit. */
function unitCells(phase: GatheredPhase): number {
  if (phase.kind === "response") return phase.channels * Math.min(phase.tile, phase.space);
  if (phase.kind === "accumulate") return phase.perBlock * Math.min(COLUMN_TILE, phase.groups * phase.length);
  const rows = Math.min(phase.rows, phase.perSegment);
  return rows * (phase.layout === "runs" ? phase.length : Math.min(COLUMN_TILE, phase.width));
}

/** Cells that can only be computed together. */
function leastCells(phase: Phase): number {
  if (phase.kind === "response") return phase.channels * Math.min(phase.tile, phase.space);
  if (phase.kind === "normalize" || phase.kind === "differentiate") return Math.max(phase.length, SEGMENT_CELLS);
  if ((phase.kind === "apply" || phase.kind === "propagate") && phase.layout === "columns") return phase.width;
  return SEGMENT_CELLS;
}
