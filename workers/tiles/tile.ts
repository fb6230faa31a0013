import type { Phase } from "../../src/plan/phase.js";
import type { Parameters, Results, Tables } from "../operands.js";

/** Bytes of a segment's, or a set's, pair of float64. */
export const PAIR_BYTES = 16;

export interface Tile {
  /** Its first cell in the part of the tensor that the phase is of. */
  readonly at: number;
  /** Runs of `width` cells that lie `stride` apart in the tensor, and side by side in the tile. */
  readonly rows: number;
  readonly width: number;
  readonly stride: number;
  /** What to compute: units [first, first + count) of this phase, whose unit 0 would begin `before` cells before the tile. */
  readonly phase: Phase;
  readonly first: number;
  readonly count: number;
  readonly before: number;
  /** Bytes from the operands' addresses to the tile's. */
  readonly ahead: { readonly [table in keyof (Parameters & Tables & Results)]?: number };
  /** Whether sums by cell are added to those of the tiles before. */
  readonly continues?: boolean;
  /** Cells from a sample to the next, where that is not all of a sample's. */
  readonly pitch?: number;
}

export function consecutive(at: number, cells: number) {
  return { at, rows: 1, width: cells, stride: cells };
}
