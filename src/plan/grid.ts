// Where segments lie, and how many there are. The kernels cut in the same way: workers/kernels/constants.ts has the same numbers, and a
// test holds them equal.
import type { MomentsPhase, ReducePhase } from "./phase.js";

/** The most cells of a segment, the unit of arithmetic. */
export const SEGMENT_CELLS = 16_384;

/** Columns of a unit in the layout `columns`. */
export const COLUMN_TILE = 512;

/** Segments of a stretch of `length` consecutive cells. */
export function partsOf(length: number): number {
  return Math.ceil(length / SEGMENT_CELLS);
}

/** Blocks of at most `perBlock` rows. */
export function blocksOf(rows: number, perBlock: number): number {
  return Math.ceil(rows / perBlock);
}

/** Tiles of columns that a row of `width` cells has. */
export function columnTilesOf(width: number): number {
  return Math.ceil(width / COLUMN_TILE);
}

/**
 * How the cells of a phase that leaves partials are cut: segment (sample, block, lane, part) is number
 * ((sample * blocks + block) * lanes + lane) * parts + part. A lane is what is merged on its own: a set's moments, a channel's sums.
 */
export interface Grid {
  /** Blocks of a sample's rows. */
  readonly blocks: number;
  readonly lanes: number;
  /** Segments of a lane in one block, all as large as its first, but for the last. */
  readonly parts: number;
  /** Cells of a segment. */
  cells(block: number, part: number): number;
}

/** The grid of a phase over samples of `rows` rows that are merged to `lanes` lanes each. */
export function gridOf(phase: MomentsPhase | ReducePhase, rows: number, lanes: number): Grid {
  if (phase.layout === "stretches") {
    const { length } = phase;
    const cells = (_: number, part: number) => Math.min(SEGMENT_CELLS, length - part * SEGMENT_CELLS);
    return { blocks: rows, lanes, parts: partsOf(length), cells };
  }
  const { perSegment } = phase;
  const high = (block: number) => Math.min(perSegment, rows - block * perSegment);
  const blocks = blocksOf(rows, perSegment);
  if (phase.layout === "columns") return { blocks, lanes, parts: phase.width / lanes, cells: high };
  return { blocks, lanes, parts: 1, cells: (block) => high(block) * phase.length };
}

/** Segments that the phase's units [0, units) are. */
export function segmentsOf(phase: MomentsPhase | ReducePhase, units = phase.units): number {
  // A unit of columns is a tile of a block; only whole blocks are asked for.
  return phase.layout === "columns" ? (units / columnTilesOf(phase.width)) * phase.width : units;
}

/** The first segment of unit `unit`, or one after the last of all. */
export function segmentAt(phase: MomentsPhase | ReducePhase, unit: number): number {
  if (phase.layout !== "columns") return unit;
  const tiles = columnTilesOf(phase.width);
  return Math.floor(unit / tiles) * phase.width + (unit % tiles) * COLUMN_TILE;
}

/** Where unit `unit` of the layout `columns` lies: in cells, in segments, and in the columns of all samples. */
export function columnUnit(phase: Extract<MomentsPhase | ReducePhase, { layout: "columns" }>, unit: number) {
  const tiles = columnTilesOf(phase.width);
  const blocks = blocksOf(phase.rows, phase.perSegment);
  const block = Math.floor(unit / tiles);
  const sample = Math.floor(block / blocks);
  const row = (block % blocks) * phase.perSegment;
  const column = (unit % tiles) * COLUMN_TILE;
  return {
    at: (sample * phase.rows + row) * phase.width + column,
    segment: block * phase.width + column,
    entry: sample * phase.width + column,
    row,
    rows: Math.min(phase.perSegment, phase.rows - row),
    width: Math.min(COLUMN_TILE, phase.width - column),
  };
}
