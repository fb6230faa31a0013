// Numbers that decide the bits: which cells are summed together, and how.

/** Cells of a segment: SEGMENT_CELLS of src/protocol.ts. */
export const SEGMENT: usize = 16384;
/** Cells that float32 lanes sum before the sum is widened: 16 vectors of 4. */
export const BLOCK: usize = 64;
/** Shorter segments are summed exactly: few blocks do not average their errors out. */
export const BLOCKS_FROM: usize = 256;
/** Runs at least this long get moments of their own, merged; shorter ones share a pivot. */
export const LONG_RUN: usize = 1024;
/** Rows taken in one sweep over the columns: their sums stay in registers for that many loads, and in float32 are widened after them. */
export const SWEEP: usize = 16;
/** Columns of fewer rows are summed exactly, as BLOCKS_FROM has it: 16 sums of a sweep. */
export const SWEPT_FROM: usize = 256;
/** Rows that a column's pivot is the mean of, from all over the segment: neighbours in space are alike. */
export const PIVOT_ROWS: usize = 32;
