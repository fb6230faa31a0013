// Rows of few columns, such as the three of an image whose channels come last: as many of them as make up a vector or more are one row of their cells,
// with the table as often. What is computed of a cell is the same.
import { columnsRoom } from "./cells";
import { NARROW } from "./constants";

/** How many rows of `width` < NARROW columns are taken as one, of up to 8 * NARROW cells, a multiple of 8. */
@inline
export function rowsTaken(width: usize): usize {
  return (NARROW / width) << 3;
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
