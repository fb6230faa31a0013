// Phase `moments`, layout `columns`: moments of each column of a block of rows. As in moments.ts there are two ways. Exact, from the first
// row as pivot; and for float32 by blocks of SWEEP rows, from the mean of rows all over the segment, twice as fast. Where
// that lost digits, or a few rows are most of M2, four columns at a time are done again the exact way.
import { isBytes } from "./bytes";
import { momentsOfNarrowBytes } from "./bytes-columns";
import { inputAt, loadedRows, converted } from "./cells";
import { NARROW, PIVOT_ROWS, SWEEP, SWEPT_FROM } from "./constants";
import { bytesOf, loadCell, pair0 } from "./lanes";
import { betterPivot, finish, finishWhole, isSpread, pivotFrom, setCentred, setSums, squaresOfFour, sumOfFour, wellConditioned } from "./segment-moments";
import { momentsAt } from "./moments";
import { putMoments } from "./moments-phase";

/** What M2 never is: the column has to be done again. */
const AGAIN: f64 = -1;

/** Adds rows of `width` cells, `step` bytes apart, to the columns' (pivot, sum, squares) of three arrays of float64. */
@inline
function addRows<A>(top: usize, rows: usize, width: usize, step: usize, pivots: usize): void {
  const sums = pivots + (width << 3), squares = sums + (width << 3);
  const even = width & ~1;
  const height = rows * step;
  for (let c: usize = 0; c < even; c += 2) {
    const at = c << 3;
    const p = v128.load(pivots + at);
    let s = v128.load(sums + at), q = v128.load(squares + at);
    for (let cell = top + bytesOf<A>(c), end = cell + height; cell < end; cell += step) {
      const d = f64x2.sub(pair0<A>(cell), p);
      s = f64x2.add(s, d);
      q = f64x2.add(q, f64x2.mul(d, d));
    }
    v128.store(sums + at, s);
    v128.store(squares + at, q);
  }
  if (even < width) {
    const at = even << 3;
    const p = load<f64>(pivots + at);
    let s = load<f64>(sums + at), q = load<f64>(squares + at);
    for (let cell = top + bytesOf<A>(even), end = cell + height; cell < end; cell += step) {
      const d = loadCell<A>(cell) - p;
      s += d;
      q += d * d;
    }
    store<f64>(sums + at, s);
    store<f64>(squares + at, q);
  }
}

/** Sums of the columns about the pivots; with `first`, pivots are the first row's cells. */
@inline
function sumColumns<A>(x: usize, rows: usize, width: usize, stride: usize, columns: usize, first: bool): void {
  let step = bytesOf<A>(stride);
  memory.fill(columns + (width << 3), 0, width << 4);
  for (let row: usize = 0; row < rows; row += SWEEP) {
    const sweep = min(SWEEP, rows - row);
    let top = inputAt(x, row * stride);
    if (converted()) {
      top = loadedRows(top, sweep, width, stride);
      step = bytesOf<A>(width);
    }
    if (first && row == 0) {
      for (let c: usize = 0; c < width; c++) store<f64>(columns + (c << 3), pivotFrom(loadCell<A>(top + bytesOf<A>(c))));
    }
    addRows<A>(top, sweep, width, step, columns);
  }
}

@inline
function exactColumns<A>(x: usize, partials: usize, rows: usize, width: usize, stride: usize, columns: usize): void {
  const sums = columns + (width << 3), squares = sums + (width << 3);
  sumColumns<A>(x, rows, width, stride, columns, true);
  if (sizeof<A>() == 8) {
    // Of float64 cells the digits lost to a far pivot would be the result's: once more, as in momentsF64Segment.
    let again = false;
    for (let at: usize = 0; at < width << 3; at += 8) {
      setSums(load<f64>(sums + at), load<f64>(squares + at));
      const pivot = load<f64>(columns + at), better = betterPivot(<f64>rows, pivot);
      again = again || better != pivot;
      store<f64>(columns + at, better);
    }
    if (again) sumColumns<A>(x, rows, width, stride, columns, false);
  }
  for (let c: usize = 0; c < width; c++) {
    const at = c << 3;
    setSums(load<f64>(sums + at), load<f64>(squares + at));
    if (isBytes()) finishWhole(<f64>rows, load<f64>(columns + at));
    else finish(<f64>rows, load<f64>(columns + at));
    putMoments(partials, c);
  }
}

export function exactF32Columns(x: usize, partials: usize, rows: usize, width: usize, stride: usize, columns: usize): void {
  exactColumns<f32>(x, partials, rows, width, stride, columns);
}

/** What fetchRows has read, so that it is read. */
let fetched: u32 = 0;

/** Rows of so many bytes are more than a core's nearest cache holds SWEEP of. */
const FAR: usize = 2048;

/**
 * Reads a byte of each cache line of SWEEP rows, `step` bytes apart, in the order of memory. Down the columns of rows of several lines a processor does
 * not see what comes next: a thread waited for a third of the time.
 */
@inline
export function fetchRows(top: usize, bytes: usize, step: usize): void {
  if (step <= 64 || step > FAR) return;
  let all: u32 = 0;
  for (let row = top, end = top + SWEEP * step; row < end; row += step) {
    for (let at = row, last = row + bytes; at < last; at += 64) all += load<u8>(at);
  }
  fetched = all;
}

/** Float32 sums of SWEEP rows, `step` bytes apart, of a multiple of four columns, added to float64 ones; so are the squares of their squares. */
export function sweepF32Columns(
  top: usize, width: usize, step: usize, pivots: usize, sums: usize, squares: usize, quads: usize,
): void {
  const eight = width & ~7, height = step * SWEEP;
  const step2 = step << 1, step4 = step << 2;
  let c: usize = 0;
  for (; c < eight; c += 8) {
    const p = v128.load(pivots + (c << 2)), r = v128.load(pivots + (c << 2), 16);
    let s = f32x4.splat(0), q = s, t = s, u = s;
    for (let cell = top + (c << 2), end = cell + height; cell < end; cell += step4) {
      const second = cell + step, third = cell + step2, fourth = second + step2;
      const d = f32x4.sub(v128.load(cell), p), e = f32x4.sub(v128.load(second), p);
      const f = f32x4.sub(v128.load(third), p), g = f32x4.sub(v128.load(fourth), p);
      s = f32x4.add(s, sumOfFour(d, e, f, g));
      q = f32x4.add(q, squaresOfFour(d, e, f, g));
      const h = f32x4.sub(v128.load(cell, 16), r), i = f32x4.sub(v128.load(second, 16), r);
      const j = f32x4.sub(v128.load(third, 16), r), k = f32x4.sub(v128.load(fourth, 16), r);
      t = f32x4.add(t, sumOfFour(h, i, j, k));
      u = f32x4.add(u, squaresOfFour(h, i, j, k));
    }
    addWidened(sums + (c << 3), s);
    addWidened(sums + (c << 3) + 32, t);
    addSquares(squares + (c << 3), quads + (c << 3), q);
    addSquares(squares + (c << 3) + 32, quads + (c << 3) + 32, u);
  }
  if (c < width) {
    const p = v128.load(pivots + (c << 2));
    let s = f32x4.splat(0), q = s;
    for (let cell = top + (c << 2), end = cell + height; cell < end; cell += step4) {
      const second = cell + step, third = cell + step2, fourth = second + step2;
      const d = f32x4.sub(v128.load(cell), p), e = f32x4.sub(v128.load(second), p);
      const f = f32x4.sub(v128.load(third), p), g = f32x4.sub(v128.load(fourth), p);
      s = f32x4.add(s, sumOfFour(d, e, f, g));
      q = f32x4.add(q, squaresOfFour(d, e, f, g));
    }
    addWidened(sums + (c << 3), s);
    addSquares(squares + (c << 3), quads + (c << 3), q);
  }
}

/** Adds four float32 lanes to four float64 numbers. */
@inline
export function addWidened(to: usize, v: v128): void {
  v128.store(to, f64x2.add(v128.load(to), f64x2.promote_low_f32x4(v)));
  v128.store(to, f64x2.add(v128.load(to, 16), f64x2.promote_low_f32x4(i64x2.shuffle(v, v, 1, 0))), 16);
}

/** Adds four float32 lanes to four float64 numbers, and their squares to four others. */
@inline
export function addSquares(to: usize, quads: usize, v: v128): void {
  const low = f64x2.promote_low_f32x4(v), high = f64x2.promote_low_f32x4(i64x2.shuffle(v, v, 1, 0));
  v128.store(to, f64x2.add(v128.load(to), low));
  v128.store(to, f64x2.add(v128.load(to, 16), high), 16);
  v128.store(quads, f64x2.add(v128.load(quads), f64x2.mul(low, low)));
  v128.store(quads, f64x2.add(v128.load(quads, 16), f64x2.mul(high, high)), 16);
}

/** float32 pivots of a multiple of four columns: their means over PIVOT_ROWS rows spread evenly. */
function putPivots(x: usize, rows: usize, width: usize, stride: usize, pivots: usize, sums: usize): void {
  memory.fill(sums, 0, width << 3);
  for (let i: usize = 0; i < PIVOT_ROWS; i++) {
    const row = inputAt(x, ((i * rows) / PIVOT_ROWS) * stride);
    const cells = converted() ? loadedRows(row, 1, width, stride) : row;
    for (let c: usize = 0; c < width; c += 4) addWidened(sums + (c << 3), v128.load(cells + (c << 2)));
  }
  for (let c: usize = 0; c < width; c++) {
    const average = <f32>(load<f64>(sums + (c << 3)) / <f64>PIVOT_ROWS), pivot = isBytes() ? <f32>Math.round(average) : average;
    store<f32>(pivots + (c << 2), pivot - pivot == 0 ? pivot : 0);
  }
}

/**
 * Moments of each of `width` columns over `rows` rows that lie `stride` cells apart. {mean, M2} of column c at partials + 16 * c;
 * `columns` is room for four float64 a column. One read.
 */
export function momentsF32Columns(x: usize, partials: usize, rows: usize, width: usize, stride: usize, columns: usize): void {
  setCentred(true);
  if (stride == 1) {
    momentsAt<f32>(x, rows);
    putMoments(partials, 0);
    return;
  }
  if (isBytes() && width == stride && width < NARROW) {
    momentsOfNarrowBytes(x, partials, rows, width);
    return;
  }
  const four = width & ~3;
  if (rows < SWEPT_FROM || four == 0) {
    exactF32Columns(x, partials, rows, width, stride, columns);
    return;
  }
  const sums = columns, squares = sums + (four << 3), quads = squares + (four << 3), pivots = quads + (four << 3);
  putPivots(x, rows, four, stride, pivots, sums);
  memory.fill(sums, 0, four * 24);
  const swept = rows - (rows % SWEEP);
  let step = stride << 2;
  for (let row: usize = 0; row < swept; row += SWEEP) {
    let top = inputAt(x, row * stride);
    if (converted()) {
      top = loadedRows(top, SWEEP, four, stride);
      step = four << 2;
    } else fetchRows(top, four << 2, step);
    sweepF32Columns(top, four, step, pivots, sums, squares, quads);
  }
  let rest: usize = 0;
  if (swept < rows) {
    rest = inputAt(x, swept * stride);
    if (converted()) rest = loadedRows(rest, rows - swept, four, stride);
  }
  for (let c: usize = 0; c < four; c++) {
    const pivot = <f64>load<f32>(pivots + (c << 2));
    let s = load<f64>(sums + (c << 3)), q = load<f64>(squares + (c << 3));
    const spread = isSpread(q, load<f64>(quads + (c << 3)));
    for (let row: usize = swept; row < rows; row++) {
      const d = <f64>load<f32>(rest + (row - swept) * step + (c << 2)) - pivot;
      s += d;
      q += d * d;
    }
    setSums(s, q);
    if (isBytes()) {
      // Float32 sums of a sweep's squares are whole numbers below 2^24.
      finishWhole(<f64>rows, pivot);
      putMoments(partials, c);
    } else if (spread && wellConditioned(<f64>rows)) {
      finish(<f64>rows, pivot);
      putMoments(partials, c);
    } else store<f64>(partials + (c << 4), AGAIN, 8);
  }
  for (let c: usize = 0; c < width; c += 4) {
    const n = min<usize>(4, width - c), at = partials + (c << 4);
    let again = c >= four;
    for (let i: usize = 0; i < n && !again; i++) again = load<f64>(at + (i << 4), 8) == AGAIN;
    if (again) exactF32Columns(inputAt(x, c), at, rows, n, stride, columns);
  }
}

/** As momentsF32Columns, of float64 cells: the exact way. */
export function momentsF64Columns(x: usize, partials: usize, rows: usize, width: usize, stride: usize, columns: usize): void {
  setCentred(true);
  exactColumns<f64>(x, partials, rows, width, stride, columns);
}
