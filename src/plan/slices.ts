// How a phase's units are cut into slices: scheduling, which changes no bit.
import { COLUMN_TILE, SEGMENT_CELLS } from "./grid.js";
import type { Phase } from "./phase.js";

/**
 * A phase is cut to so many slices, of cells within these bounds: long ones, since each has to be claimed, but not so long that some core has nothing
 * to do at the end. The shortest are some 15 us of work.
 */
const SLICES = 128;
const SHORTEST_SLICE = 32_768;
const LONGEST_SLICE = 524_288;
/** Of a response, which takes some ten times as long a cell. */
const LONGEST_RESPONSE = 65_536;

/** Units [from, to) of a phase, cut into slices of `perSlice` units. */
export interface Slices {
  readonly from: number;
  readonly to: number;
  readonly perSlice: number;
}

/** The slices of units [from, to) of a phase. */
export function slicesOf(phase: Phase, from = 0, to = phase.units): Slices {
  const perUnit = cellsPerUnit(phase);
  const longest = phase.kind === "response" ? LONGEST_RESPONSE : LONGEST_SLICE;
  const cells = Math.min(Math.max(((to - from) * perUnit) / SLICES, SHORTEST_SLICE), longest);
  return { from, to, perSlice: Math.max(1, Math.floor(cells / perUnit)) };
}

export function sliceCount({ from, to, perSlice }: Slices): number {
  return Math.ceil((to - from) / perSlice);
}

/** The most cells of a unit. */
export function cellsPerUnit(phase: Phase): number {
  switch (phase.kind) {
    case "normalize":
      return phase.length;
    case "differentiate":
      return phase.setsPerUnit * phase.length;
    case "accumulate":
      return phase.perBlock * Math.min(COLUMN_TILE, phase.groups * phase.length);
    case "sumRows":
      return Math.min(phase.width, SEGMENT_CELLS);
    case "response":
      return phase.channels * Math.min(phase.tile, phase.space);
    case "moments":
    case "reduce":
      if (phase.layout === "stretches") return Math.min(phase.length, SEGMENT_CELLS);
      return (
        Math.min(phase.rows, phase.perSegment) *
        (phase.layout === "runs" ? phase.length : Math.min(COLUMN_TILE, phase.width))
      );
    case "apply":
    case "propagate":
      return phase.layout === "columns" ? phase.width : Math.min(phase.length, SEGMENT_CELLS);
  }
}
