// A tile's runs in the whole tensor, where the phase is of a part of it.
import type { Window } from "../../src/plan/stripes.js";
import type { Runs } from "../drivers/driver.js";
import type { Tile } from "./tile.js";

/** Whether the part's cells follow each other. */
export function isContiguous(window: Window | null): boolean {
  return window === null || window.width === window.pitch;
}

/** The runs of a tile's cells of `bytes` bytes, in the order in which they lie in the tile. */
export function runsOf({ at, rows, width, stride }: Tile, window: Window | null, bytes: number): Runs[] {
  const runs = (cell: number, rows: number, width: number, stride: number): Runs => ({
    at: cell * bytes,
    rows,
    bytes: width * bytes,
    stride: stride * bytes,
  });
  if (window === null) return [runs(at, rows, width, stride)];
  const { start, width: wide, pitch } = window;
  if (wide === pitch) return [runs(start + at, rows, width, stride)];
  const cellAt = (cell: number) => start + Math.floor(cell / wide) * pitch + (cell % wide);
  if ((at % wide) + width <= wide && (rows === 1 || stride % wide === 0)) {
    return [runs(cellAt(at), rows, width, (stride / wide) * pitch)];
  }
  const found: Runs[] = [];
  for (let row = 0; row < rows; row++) {
    let cell = at + row * stride;
    const end = cell + width;
    const head = Math.min(end, Math.ceil(cell / wide) * wide) - cell;
    if (head > 0) found.push(runs(cellAt(cell), 1, head, head));
    cell += head;
    const whole = Math.floor((end - cell) / wide);
    if (whole > 0) found.push(runs(cellAt(cell), whole, wide, pitch));
    cell += whole * wide;
    if (cell < end) found.push(runs(cellAt(cell), 1, end - cell, end - cell));
  }
  return found;
}
