// Memory at the foot of the arena and beside it that belongs to threads, not to tensors.

import type { Dtype } from "../src/plan/cells.js";
import { COLUMN_TILE, SEGMENT_CELLS } from "../src/plan/grid.js";
import { DIRECT_WINDOW, NARROW, type Phase } from "../src/plan/phase.js";

/**
 * Scratch of one thread at the foot of the arena: a slot each, two cache-line pairs apart so that no two threads share one, and a page in all.
 * Slot 0 is the calling thread's; each seat has one, which threads that replace each other there have in turn.
 */
export const SCRATCH_BYTES = 256;
export const SCRATCH_SLOTS = 256;
export const MAX_THREADS = SCRATCH_SLOTS - 1;

/**
 * A task's stage: a segment of each of two inputs as float32, then four float64 of each column of a tile. Only phases that convert cells, go by
 * columns, or sum runs side by side need one.
 */
export const STAGE_BYTES = 2 * SEGMENT_CELLS * 4 + 4 * COLUMN_TILE * 8;
/** Where the columns' part of a stage starts. */
export const STAGE_COLUMNS = 2 * SEGMENT_CELLS * 4;

/** Whether cells have to be converted before they can be computed on. */
function isConverted(dtype: Dtype): boolean {
  return dtype !== "float32" && dtype !== "float64";
}

/** Bytes of so many rows of LocalResponseNorm's scratch, as workers/kernels/response.ts has them: sums go a cache line beyond the first and the last. */
export function responseBytes(rows: number, tile: number): number {
  const row = Math.ceil(tile / 4) * 32;
  return rows * (row % 4096 === 0 ? row + 64 : row) + 2 * 64;
}

/** Bytes of stage that a task of this phase needs for cells of this dtype. */
export function stageBytesOf(phase: Phase, dtype: Dtype, backward: boolean): number {
  if (phase.kind === "response") {
    const slides = phase.before + phase.after + 1 > DIRECT_WINDOW;
    const rows = ((backward ? 3 : 1) + (slides ? 1 : 0)) * phase.channels + (slides ? 1 : 0) + 2;
    return STAGE_BYTES + responseBytes(rows, phase.tile);
  }
  const sums =
    (phase.kind === "moments" && phase.layout !== "stretches") ||
    (phase.kind === "reduce" && phase.layout === "columns");
  const applies = (phase.kind === "apply" || phase.kind === "propagate") && phase.layout === "columns";
  return sums || (applies && phase.width < NARROW) || isConverted(dtype) ? STAGE_BYTES : 0;
}
