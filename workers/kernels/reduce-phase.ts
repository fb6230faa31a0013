// Phase `reduce`: {sum of g * (x - mean), sum of g} of each segment, in the ways that the cells of a channel may lie, where a set is too
// large for one worker or its cells are apart. And phase `accumulate`: the same sums, times rstd, of each cell across samples.
import { inputAt, loaded, loadedBeside, loadedRows, loadedRowsBeside, converted } from "./cells";
import { APPLY_FIELDS, SEGMENT, SWEEP } from "./constants";
import { addSums, gradients, products, startSums, Unweighted, Weighted } from "./gradient";
import { bytesOf, loadCell, pair0, sumLanes } from "./lanes";
import { accumulateCells } from "./sink";

@inline
function putSums(partials: usize, segment: usize): void {
  store<f64>(partials + (segment << 4), products);
  store<f64>(partials + (segment << 4), gradients, 8);
}

/**
 * Layout `stretches`: segments [first, first + count) in memory order of stretches of `length` cells, `period` stretches a row,
 * `perSet` of them one set's, and `rows` rows a sample. `statistics` has {mean, rstd} of set = sample * sets + set of the row.
 * With `weight`, one entry of the cells' type a cell of `period` stretches, the sums are of g * weight. Reads x and g.
 */
@inline
function reduceStretches<A>(
  x: usize, g: usize, partials: usize, first: usize, count: usize, length: usize, period: usize, perSet: usize, rows: usize,
  statistics: usize, weight: usize,
): void {
  const parts = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const stretch = unit / parts, start = (unit % parts) * SEGMENT, channel = stretch % period;
    const set = (stretch / (period * rows)) * (period / perSet) + channel / perSet;
    const n = min(SEGMENT, length - start), at = stretch * length + start;
    const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n);
    startSums();
    const row = statistics + (set << 4), from = weight ? weight + bytesOf<A>(channel * length + start) : 0;
    addSums<A>(cells, beside, n, load<f64>(row), load<f64>(row, 8), from);
    putSums(partials, unit);
  }
}

/**
 * Layout `runs`: a segment is `perSegment` runs of `length` cells, one from each of a sample's rows, of one of `period` channels:
 * segment = (sample * blocks + block) * period + channel; `perSet` channels are one set's. Reads x and g.
 */
@inline
function reduceRuns<A>(
  x: usize, g: usize, partials: usize, first: usize, count: usize, length: usize, period: usize, perSet: usize, rows: usize,
  perSegment: usize, statistics: usize,
): void {
  const stride = period * length;
  const blocks = (rows + perSegment - 1) / perSegment;
  for (let unit = first; unit < first + count; unit++) {
    const channel = unit % period, sample = unit / period / blocks, row = (unit / period % blocks) * perSegment;
    const mean = load<f64>(statistics + ((sample * (period / perSet) + channel / perSet) << 4));
    const runs = min(perSegment, rows - row), at = (sample * rows + row) * stride + channel * length;
    let cells = inputAt(x, at), beside = inputAt(g, at), step = bytesOf<A>(stride);
    if (converted()) {
      cells = loadedRows(cells, runs, length, stride);
      beside = loadedRowsBeside(beside, runs, length, stride);
      step = bytesOf<A>(length);
    }
    startSums();
    for (let i: usize = 0; i < runs; i++, cells += step, beside += step) addSums<A>(cells, beside, length, mean, 1, 0);
    putSums(partials, unit);
  }
}

/** Adds rows of `width` cells, `step` bytes apart, each times its weight if there are any, to the columns' sums from their means: arrays of float64. */
@inline
function addRows<A, W>(
  x: usize, g: usize, rows: usize, width: usize, step: usize, means: usize, productsAt: usize, gradientsAt: usize, weight: usize,
): void {
  const even = width & ~1, height = rows * step;
  for (let c: usize = 0; c < even; c += 2) {
    const at = c << 3;
    const m = v128.load(means + at);
    let p = v128.load(productsAt + at), s = v128.load(gradientsAt + at);
    let beside = g + bytesOf<A>(c), entry = weight;
    for (let cell = x + bytesOf<A>(c), end = cell + height; cell < end; cell += step, beside += step) {
      let gradient = pair0<A>(beside);
      if (sizeof<W>() == sizeof<Weighted>()) {
        gradient = f64x2.mul(gradient, v128.load64_splat(entry));
        entry += 8;
      }
      p = f64x2.add(p, f64x2.mul(gradient, f64x2.sub(pair0<A>(cell), m)));
      s = f64x2.add(s, gradient);
    }
    v128.store(productsAt + at, p);
    v128.store(gradientsAt + at, s);
  }
  if (even < width) {
    const at = even << 3;
    let p = load<f64>(productsAt + at), s = load<f64>(gradientsAt + at);
    let beside = g + bytesOf<A>(even), entry = weight;
    for (let cell = x + bytesOf<A>(even), end = cell + height; cell < end; cell += step, beside += step) {
      let gradient = loadCell<A>(beside);
      if (sizeof<W>() == sizeof<Weighted>()) {
        gradient *= load<f64>(entry);
        entry += 8;
      }
      p += gradient * (loadCell<A>(cell) - load<f64>(means + at));
      s += gradient;
    }
    store<f64>(productsAt + at, p);
    store<f64>(gradientsAt + at, s);
  }
}

/**
 * Layout `columns`: sums of `width` columns over `rows` rows, `stride` cells apart, to partials; `columns` is room for two float64 a column. With
 * `weight`, one a row, g counts times that.
 */
@inline
function reduceColumns<A>(
  x: usize, g: usize, partials: usize, rows: usize, width: usize, stride: usize, means: usize, columns: usize, weight: usize,
): void {
  const gradientsAt = columns + (width << 3);
  memory.fill(columns, 0, width << 4);
  let step = bytesOf<A>(stride);
  for (let row: usize = 0; row < rows; row += SWEEP) {
    const sweep = min(SWEEP, rows - row);
    let cells = inputAt(x, row * stride), beside = inputAt(g, row * stride);
    if (converted()) {
      cells = loadedRows(cells, sweep, width, stride);
      beside = loadedRowsBeside(beside, sweep, width, stride);
      step = bytesOf<A>(width);
    }
    if (weight) addRows<A, Weighted>(cells, beside, sweep, width, step, means, columns, gradientsAt, weight + (row << 3));
    else addRows<A, Unweighted>(cells, beside, sweep, width, step, means, columns, gradientsAt, 0);
  }
  for (let c: usize = 0; c < width; c++) {
    store<f64>(partials + (c << 4), load<f64>(columns + (c << 3)));
    store<f64>(partials + (c << 4), load<f64>(gradientsAt + (c << 3)), 8);
  }
}

/**
 * Phase `sumRows`: segments [first, first + count) of rows of `width` cells, `rows` rows a sample, of which column c has mean and rstd in entry c
 * of the sample's table, laid as for applyF32Columns: sums of g * xhat and of g to partials + 16 * segment. Reads x and g.
 */
@inline
function sumRows<A>(x: usize, g: usize, partials: usize, first: usize, count: usize, width: usize, rows: usize, table: usize): void {
  const parts = (width + SEGMENT - 1) / SEGMENT, bytes = width << 3;
  for (let unit = first; unit < first + count; unit++) {
    const row = unit / parts, start = (unit % parts) * SEGMENT, n = min(SEGMENT, width - start), at = row * width + start;
    const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n);
    let means = table + (row / rows) * APPLY_FIELDS * bytes + (start << 3);
    let p = f64x2.splat(0), s = p, i: usize = 0;
    for (; i + 1 < n; i += 2, means += 16) {
      const gradient = pair0<A>(beside + bytesOf<A>(i));
      const xhat = f64x2.mul(f64x2.sub(pair0<A>(cells + bytesOf<A>(i)), v128.load(means)), v128.load(means + bytes));
      p = f64x2.add(p, f64x2.mul(gradient, xhat));
      s = f64x2.add(s, gradient);
    }
    let product = sumLanes(p), sum = sumLanes(s);
    if (i < n) {
      const gradient = loadCell<A>(beside + bytesOf<A>(i));
      product += gradient * ((loadCell<A>(cells + bytesOf<A>(i)) - load<f64>(means)) * load<f64>(means + bytes));
      sum += gradient;
    }
    store<f64>(partials + (unit << 4), product);
    store<f64>(partials + (unit << 4), sum, 8);
  }
}

/**
 * Phase `accumulate`: over samples [first, first + count) of `groups` sets of `length` cells, `pitch` cells apart, for the cells
 * [start, start + width) of a sample: sums of g * xhat and of g, to `weights` and `biases`, float64 entries of the sample's cells; or
 * added to what is there, if `continues`. Reads x and g.
 */
@inline
function accumulate<A>(
  x: usize, g: usize, first: usize, count: usize, start: usize, width: usize, length: usize, groups: usize, pitch: usize,
  continues: bool, statistics: usize, weights: usize, biases: usize,
): void {
  if (!continues) {
    memory.fill(weights + (start << 3), 0, width << 3);
    memory.fill(biases + (start << 3), 0, width << 3);
  }
  for (let sample = first; sample < first + count; sample++) {
    for (let cell = start; cell < start + width; ) {
      const group = cell / length, n = min(start + width, (group + 1) * length) - cell;
      const row = statistics + ((sample * groups + group) << 4), at = sample * pitch + cell;
      const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n);
      accumulateCells<A>(cells, beside, n, load<f64>(row), load<f64>(row, 8), weights + (cell << 3), biases + (cell << 3));
      cell += n;
    }
  }
}

export function reduceF32Stretches(
  x: usize, g: usize, partials: usize, first: usize, count: usize, length: usize, period: usize, perSet: usize, rows: usize,
  statistics: usize, weight: usize,
): void {
  reduceStretches<f32>(x, g, partials, first, count, length, period, perSet, rows, statistics, weight);
}

export function reduceF64Stretches(
  x: usize, g: usize, partials: usize, first: usize, count: usize, length: usize, period: usize, perSet: usize, rows: usize,
  statistics: usize, weight: usize,
): void {
  reduceStretches<f64>(x, g, partials, first, count, length, period, perSet, rows, statistics, weight);
}

export function reduceF32Runs(
  x: usize, g: usize, partials: usize, first: usize, count: usize, length: usize, period: usize, perSet: usize, rows: usize,
  perSegment: usize, statistics: usize,
): void {
  reduceRuns<f32>(x, g, partials, first, count, length, period, perSet, rows, perSegment, statistics);
}

export function reduceF64Runs(
  x: usize, g: usize, partials: usize, first: usize, count: usize, length: usize, period: usize, perSet: usize, rows: usize,
  perSegment: usize, statistics: usize,
): void {
  reduceRuns<f64>(x, g, partials, first, count, length, period, perSet, rows, perSegment, statistics);
}

export function reduceF32Columns(
  x: usize, g: usize, partials: usize, rows: usize, width: usize, stride: usize, means: usize, columns: usize, weight: usize,
): void {
  reduceColumns<f32>(x, g, partials, rows, width, stride, means, columns, weight);
}

export function reduceF64Columns(
  x: usize, g: usize, partials: usize, rows: usize, width: usize, stride: usize, means: usize, columns: usize, weight: usize,
): void {
  reduceColumns<f64>(x, g, partials, rows, width, stride, means, columns, weight);
}

export function sumF32Rows(
  x: usize, g: usize, partials: usize, first: usize, count: usize, width: usize, rows: usize, table: usize,
): void {
  sumRows<f32>(x, g, partials, first, count, width, rows, table);
}

export function sumF64Rows(
  x: usize, g: usize, partials: usize, first: usize, count: usize, width: usize, rows: usize, table: usize,
): void {
  sumRows<f64>(x, g, partials, first, count, width, rows, table);
}

export function accumulateF32(
  x: usize, g: usize, first: usize, count: usize, start: usize, width: usize, length: usize, groups: usize, pitch: usize,
  continues: bool, statistics: usize, weights: usize, biases: usize,
): void {
  accumulate<f32>(x, g, first, count, start, width, length, groups, pitch, continues, statistics, weights, biases);
}

export function accumulateF64(
  x: usize, g: usize, first: usize, count: usize, start: usize, width: usize, length: usize, groups: usize, pitch: usize,
  continues: bool, statistics: usize, weights: usize, biases: usize,
): void {
  accumulate<f64>(x, g, first, count, start, width, length, groups, pitch, continues, statistics, weights, biases);
}
