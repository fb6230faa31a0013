// Numbers that decide the bits: which cells are summed together, and how.

// Those up to UINT8 the calling side has too: they are exported, and a test holds them equal.

/** Cells of a segment. */
export const SEGMENT: usize = 16384;
/** Numbers of a table row, in float64: mean, scale, shift; and mean, a, b, c. */
export const APPLY_FIELDS: usize = 3;
export const PROPAGATE_FIELDS: usize = 4;
/** Float64 numbers that the stage has for each column of a tile. */
export const COLUMN_NUMBERS: usize = 4;
/** Rows of fewer columns are taken many at a time, with their table as often (narrow.ts): eight times at most, no more than a tile of columns. */
export const NARROW: usize = 64;
/** Rows of float32 cells whose terms of the weights' gradients are added in float32, before their sum is added in float64. */
export const SINK_ROWS: usize = 4;
/** Up to so many deviations from 0 a mean is folded into the shift of a gradient. */
export const NEAR: f64 = 65536;
/** Up to so many deviations from 0 a mean is folded into the shift of a result: then the cells are computed on in float32. */
export const CENTRED: f64 = 0.125;
/** A variance and eps that together count as 0, with results of 0 and not NaN: the smallest number that there is. */
export const NOTHING: f64 = 5e-324;
/** The longest window of LocalResponseNorm that is summed anew for each cell. */
export const DIRECT_WINDOW: usize = 16;
/**
 * The steps of LocalResponseNorm's units: squares of the cells; where windows are long, their blocks' ends; results, or with gradients what they
 * need; ends of these; gradients.
 */
export const SQUARES: i32 = 1;
export const ENDS: i32 = 2;
export const RESULTS: i32 = 4;
export const SHARE_ENDS: i32 = 8;
export const GRADIENTS: i32 = 16;
/** What a set is divided by: its deviation from its mean, its root mean square, or its length. */
export const DEVIATION: i32 = 0;
export const ROOT_MEAN_SQUARE: i32 = 1;
export const LENGTH: i32 = 2;
/** How cells are stored. */
export const FLOAT32: i32 = 0;
export const FLOAT64: i32 = 1;
export const FLOAT16: i32 = 2;
export const BFLOAT16: i32 = 3;
export const UINT8: i32 = 4;

/** Cells that float32 lanes sum before the sum is widened: 16 vectors of 4. */
export const BLOCK: usize = 64;
/** Shorter segments are summed exactly: few blocks do not average their errors out. */
export const BLOCKS_FROM: usize = 256;
/** Runs at least this long get moments of their own, merged; shorter ones share a pivot. */
export const LONG_RUN: usize = 1024;
/** Segments of shorter runs that are summed together, row by row: their sums stay in the nearest cache. */
export const SIDE_BY_SIDE: usize = 32;
/** Rows taken in one sweep over the columns: their sums stay in registers for that many loads, and in float32 are widened after them. */
export const SWEEP: usize = 16;
/** Columns of fewer rows are summed exactly, as BLOCKS_FROM has it: 16 sums of a sweep. */
export const SWEPT_FROM: usize = 256;
/** Rows that a column's pivot is the mean of, from all over the segment: neighbours in space are alike. */
export const PIVOT_ROWS: usize = 32;
