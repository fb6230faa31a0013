// Phase `moments`: {mean, M2} of each segment, in the three ways that a set's cells may lie.
import { inputAt, loaded, loadedRows, staged } from "./cells";
import { LONG_RUN, SEGMENT, SWEEP } from "./constants";
import { bytesOf, loadCell, pair0 } from "./lanes";
import { endMerge, mergeSegment, startMerge } from "./merge";
import { addExact, finish, m2, mean, momentsSegment, pivotFrom, setCentred, setSums } from "./moments";

@inline
function putMoments(partials: usize, segment: usize): void {
  store<f64>(partials + (segment << 4), mean);
  store<f64>(partials + (segment << 4), m2, 8);
}

@inline
function momentsSets<A>(x: usize, partials: usize, first: usize, count: usize, length: usize, centred: bool): void {
  setCentred(centred);
  const perSet = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const set = unit / perSet, start = (unit % perSet) * SEGMENT;
    const cells = min(SEGMENT, length - start);
    momentsSegment<A>(loaded(inputAt(x, set * length + start), cells), cells);
    putMoments(partials, unit);
  }
}

/**
 * Phase `moments`, layout `sets`: segments [first, first + count) in memory order of stretches of `length` consecutive cells.
 * Writes {mean, M2} as two float64 at partials + 16 * segment; not centred, mean is 0. One read.
 */
export function momentsF32Sets(
  x: usize, partials: usize, first: usize, count: usize, length: usize, centred: bool,
): void {
  momentsSets<f32>(x, partials, first, count, length, centred);
}

/** As momentsF32Sets, of float64 cells. */
export function momentsF64Sets(
  x: usize, partials: usize, first: usize, count: usize, length: usize, centred: bool,
): void {
  momentsSets<f64>(x, partials, first, count, length, centred);
}

@inline
function momentsRuns<A>(
  x: usize, partials: usize, first: usize, count: usize, length: usize, groups: usize, rows: usize, perSegment: usize,
): void {
  setCentred(true);
  const stride = groups * length;
  const blocks = (rows + perSegment - 1) / perSegment;
  for (let unit = first; unit < first + count; unit++) {
    const group = unit % groups, sample = unit / groups / blocks, row = (unit / groups % blocks) * perSegment;
    const runs = min(perSegment, rows - row);
    let at = (sample * rows + row) * stride + group * length;
    if (length >= LONG_RUN) {
      startMerge();
      for (let i: usize = 0; i < runs; i++, at += stride) {
        momentsSegment<A>(loaded(inputAt(x, at), length), length);
        mergeSegment(<f64>length);
      }
      endMerge();
    } else {
      let run = inputAt(x, at), step = bytesOf<A>(stride);
      if (staged()) {
        run = loadedRows(run, runs, length, stride);
        step = bytesOf<A>(length);
      }
      setSums(0, 0);
      const pivot = pivotFrom(loadCell<A>(run));
      for (let i: usize = 0; i < runs; i++, run += step) addExact<A>(run, length, pivot);
      finish(<f64>(runs * length), pivot);
    }
    putMoments(partials, unit);
  }
}

/**
 * Phase `moments`, layout `runs`: a segment is `perSegment` runs of `length` cells, one from each of a sample's rows, of one of
 * `groups` groups: segment = (sample * blocks + block) * groups + group. `rows` may leave a sample's last block short.
 * {mean, M2} as above. One read.
 */
export function momentsF32Runs(
  x: usize, partials: usize, first: usize, count: usize, length: usize, groups: usize, rows: usize, perSegment: usize,
): void {
  momentsRuns<f32>(x, partials, first, count, length, groups, rows, perSegment);
}

/** As momentsF32Runs, of float64 cells. */
export function momentsF64Runs(
  x: usize, partials: usize, first: usize, count: usize, length: usize, groups: usize, rows: usize, perSegment: usize,
): void {
  momentsRuns<f64>(x, partials, first, count, length, groups, rows, perSegment);
}

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

@inline
function momentsColumns<A>(x: usize, partials: usize, rows: usize, width: usize, stride: usize, columns: usize): void {
  setCentred(true);
  let step = bytesOf<A>(stride);
  const sums = columns + (width << 3), squares = sums + (width << 3);
  memory.fill(sums, 0, width << 4);
  for (let row: usize = 0; row < rows; row += SWEEP) {
    const sweep = min(SWEEP, rows - row);
    let top = inputAt(x, row * stride);
    if (staged()) {
      top = loadedRows(top, sweep, width, stride);
      step = bytesOf<A>(width);
    }
    if (row == 0) for (let c: usize = 0; c < width; c++) store<f64>(columns + (c << 3), pivotFrom(loadCell<A>(top + bytesOf<A>(c))));
    addRows<A>(top, sweep, width, step, columns);
  }
  for (let c: usize = 0; c < width; c++) {
    const at = c << 3;
    setSums(load<f64>(sums + at), load<f64>(squares + at));
    finish(<f64>rows, load<f64>(columns + at));
    putMoments(partials, c);
  }
}

/**
 * Moments of each of `width` columns over `rows` rows that lie `stride` cells apart, by the exact way, the first row as pivot.
 * {mean, M2} of column c at partials + 16 * c; `columns` is room for three float64 a column. One read.
 */
export function momentsF32Columns(x: usize, partials: usize, rows: usize, width: usize, stride: usize, columns: usize): void {
  momentsColumns<f32>(x, partials, rows, width, stride, columns);
}

/** As momentsF32Columns, of float64 cells. */
export function momentsF64Columns(x: usize, partials: usize, rows: usize, width: usize, stride: usize, columns: usize): void {
  momentsColumns<f64>(x, partials, rows, width, stride, columns);
}
