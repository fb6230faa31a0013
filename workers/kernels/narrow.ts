// Rows of few columns, such as the three of an image whose channels come last: as many of them as make up a vector or more are one row of their cells,
// with the table as often. What is computed of a cell is the same.
import { columnsRoom } from "./cells";
import { NARROW } from "./constants";

/** Cells that are taken at once, at least; a multiple of 8. */
const LEAST: usize = 64;

/** How many rows of `width` < NARROW columns are taken as one: the fewest of LEAST cells or more, a multiple of 8. */
export function rowsTaken(width: usize): usize {
  let rows: usize = 1;
  while (rows < 8 && (rows * width) & 7) rows <<= 1;
  return rows * ((LEAST + rows * width - 1) / (rows * width));
}

/** The table of a row of `width` columns, of so many arrays of float64, as that of rowsTaken rows, in the stage's part for columns. Returns its address. */
export function repeatTable(table: usize, width: usize, arrays: usize): usize {
  const cells = rowsTaken(width) * width, room = columnsRoom();
  for (let array: usize = 0; array < arrays; array++) {
    const from = table + ((array * width) << 3), to = room + ((array * cells) << 3);
    for (let done: usize = 0; done < cells; done += width) memory.copy(to + (done << 3), from, width << 3);
  }
  return room;
}
