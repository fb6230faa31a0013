import type { Phase } from "../../src/protocol.js";

/** Bytes of a segment's, or a set's, pair of float64. */
export const PAIR_BYTES = 16;

type Tables = "weight" | "bias" | "table" | "statistics" | "partials" | "moments";

export interface Tile {
  /** Its first cell in the tensor. */
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
  readonly ahead: { readonly [table in Tables]?: number };
}

export function consecutive(at: number, cells: number) {
  return { at, rows: 1, width: cells, stride: cells };
}
