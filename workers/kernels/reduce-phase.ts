// Phase `reduce`: {sum of g * (x - mean), sum of g} of each segment, in the ways that the cells of a channel may lie, where a set is too
// large for one worker or its cells are apart. And phase `accumulate`: the same sums, times rstd, of each cell across samples.
import { inputAt, loaded, loadedBeside, loadedRows, loadedRowsBeside, converted } from "./cells";
import { APPLY_FIELDS, SEGMENT, SIDE_BY_SIDE, SWEEP, SWEPT_FROM } from "./constants";
import { addSums, gradients, isGood, products, resumeSums, startSums, Unweighted, Weighted } from "./gradient";
import { bytesOf, loadCell, pair0, pinU32, sumLanes } from "./lanes";
import { addSquares, addWidened, fetchRows } from "./moments-columns";
import { sumOfFour } from "./segment-moments";
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
  const stride = period * length, bytes = bytesOf<A>(length), most = min(SIDE_BY_SIDE, SEGMENT / length);
  const blocks = (rows + perSegment - 1) / perSegment;
  for (let unit = first, end = first + count; unit < end; ) {
    const channel = unit % period, sample = unit / period / blocks, row = (unit / period % blocks) * perSegment;
    const runs = min(perSegment, rows - row), at = (sample * rows + row) * stride + channel * length;
    // Segments that lie side by side, row by row: their sums are in `partials` meanwhile.
    const many = min(most, min(end - unit, period - channel)), set = sample * (period / perSet);
    for (let i: usize = 0; i < runs; i++) {
      let cells = loaded(inputAt(x, at + i * stride), many * length), beside = loadedBeside(inputAt(g, at + i * stride), many * length);
      for (let each: usize = 0; each < many; each++, cells += bytes, beside += bytes) {
        const sums = partials + ((unit + each) << 4);
        startSums();
        if (i > 0) resumeSums(load<f64>(sums, 8), load<f64>(sums));
        addSums<A>(cells, beside, length, load<f64>(statistics + ((set + (channel + each) / perSet) << 4)), 1, 0);
        putSums(partials, unit + each);
      }
    }
    unit += many;
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

/** Adds all rows to the columns' sums, as addRows. */
@inline
function addColumns<A>(
  x: usize, g: usize, rows: usize, width: usize, stride: usize, means: usize, productsAt: usize, gradientsAt: usize, weight: usize,
): void {
  let step = bytesOf<A>(stride);
  for (let row: usize = 0; row < rows; row += SWEEP) {
    const sweep = min(SWEEP, rows - row);
    let cells = inputAt(x, row * stride), beside = inputAt(g, row * stride);
    if (converted()) {
      cells = loadedRows(cells, sweep, width, stride);
      beside = loadedRowsBeside(beside, sweep, width, stride);
      step = bytesOf<A>(width);
    }
    if (weight) addRows<A, Weighted>(cells, beside, sweep, width, step, means, productsAt, gradientsAt, weight + (row << 3));
    else addRows<A, Unweighted>(cells, beside, sweep, width, step, means, productsAt, gradientsAt, 0);
  }
}

/** Four means as float32. */
@inline
function centers(means: usize): v128 {
  const low = f32x4.demote_f64x2_zero(v128.load(means)), high = f32x4.demote_f64x2_zero(v128.load(means, 16));
  return i64x2.shuffle(low, high, 0, 2);
}

/**
 * Float32 sums of SWEEP rows, `step` bytes apart, of a multiple of four columns, added to float64 ones: four arrays as `sums` has them. As the blocks of
 * gradient.ts.
 */
export function sumF32Columns(x: usize, g: usize, width: usize, step: usize, means: usize, sums: usize): void {
  const unsigned = pinU32(0x7fffffff, 0);
  const array = width << 3, height = step * SWEEP, step2 = step << 1, step4 = step << 2;
  g -= x;
  for (const end = x + (width << 2); x < end; x += 16, means += 32, sums += 32) {
    const m = centers(means);
    let s = f32x4.splat(0), p = s, t = s;
    for (let cell = x, last = x + height; cell < last; cell += step4) {
      const second = cell + step, third = cell + step2, fourth = second + step2;
      const a = v128.load(cell + g), b = v128.load(second + g), c = v128.load(third + g), d = v128.load(fourth + g);
      const e = f32x4.mul(a, f32x4.sub(v128.load(cell), m)), f = f32x4.mul(b, f32x4.sub(v128.load(second), m));
      const h = f32x4.mul(c, f32x4.sub(v128.load(third), m)), i = f32x4.mul(d, f32x4.sub(v128.load(fourth), m));
      s = f32x4.add(s, sumOfFour(a, b, c, d));
      p = f32x4.add(p, sumOfFour(e, f, h, i));
      t = f32x4.add(t, sumOfFour(v128.and(e, unsigned), v128.and(f, unsigned), v128.and(h, unsigned), v128.and(i, unsigned)));
    }
    addWidened(sums, p);
    addWidened(sums + array, s);
    addSquares(sums + 2 * array, sums + 3 * array, t);
  }
}

/**
 * The sums of a multiple of four columns over SWEPT_FROM rows or more, to `sums`: four arrays of float64, of terms and of g, and for `isSpread` of the
 * terms' absolute values. Where float32 might have lost digits four columns at a time are summed again in float64.
 */
function sweepColumns(x: usize, g: usize, rows: usize, width: usize, stride: usize, means: usize, sums: usize): void {
  const array = width << 3, gradientsAt = sums + array, sizesAt = gradientsAt + array, swept = rows - (rows % SWEEP);
  memory.fill(sums, 0, array << 2);
  for (let row: usize = 0; row < swept; row += SWEEP) {
    const cells = inputAt(x, row * stride), beside = inputAt(g, row * stride);
    if (converted()) {
      sumF32Columns(loadedRows(cells, SWEEP, width, stride), loadedRowsBeside(beside, SWEEP, width, stride), width, width << 2, means, sums);
    } else {
      fetchRows(cells, width << 2, stride << 2);
      fetchRows(beside, width << 2, stride << 2);
      sumF32Columns(cells, beside, width, stride << 2, means, sums);
    }
  }
  for (let at: usize = 0; at < array; at += 32) {
    let good = true;
    for (let i = at; i < at + 32; i += 8) {
      const s = load<f64>(gradientsAt + i), t = load<f64>(sizesAt + i), mean = load<f64>(means + i);
      good = good && isGood(s, t, load<f64>(sizesAt + array + i), <f64>swept);
      // What of the mean float32 has no room for is taken off the sum.
      store<f64>(sums + i, load<f64>(sums + i) - (mean - <f64>(<f32>mean)) * s);
    }
    if (good) continue;
    memory.fill(sums + at, 0, 32);
    memory.fill(gradientsAt + at, 0, 32);
    addColumns<f32>(inputAt(x, at >> 3), inputAt(g, at >> 3), swept, 4, stride, means + at, sums + at, gradientsAt + at, 0);
  }
  if (swept == rows) return;
  addColumns<f32>(inputAt(x, swept * stride), inputAt(g, swept * stride), rows - swept, width, stride, means, sums, gradientsAt, 0);
}

/** Takes two arrays of sums to pairs. */
@inline
function putColumns(partials: usize, width: usize, sums: usize, gradientsAt: usize): void {
  for (let c: usize = 0; c < width; c++) {
    store<f64>(partials + (c << 4), load<f64>(sums + (c << 3)));
    store<f64>(partials + (c << 4), load<f64>(gradientsAt + (c << 3)), 8);
  }
}

/**
 * Layout `columns`: sums of `width` columns over `rows` rows, `stride` cells apart, to partials; `columns` is room for COLUMN_NUMBERS float64 a column.
 * With `weight`, one a row, g counts times that.
 */
@inline
function reduceColumns<A>(
  x: usize, g: usize, partials: usize, rows: usize, width: usize, stride: usize, means: usize, columns: usize, weight: usize,
): void {
  let done: usize = 0;
  if (sizeof<A>() == 4 && !weight && rows >= SWEPT_FROM && width >= 4) {
    done = width & ~3;
    sweepColumns(x, g, rows, done, stride, means, columns);
    putColumns(partials, done, columns, columns + (done << 3));
    if (done == width) return;
  }
  const left = width - done, gradientsAt = columns + (left << 3);
  memory.fill(columns, 0, left << 4);
  addColumns<A>(inputAt(x, done), inputAt(g, done), rows, left, stride, means + (done << 3), columns, gradientsAt, weight);
  putColumns(partials + (done << 4), left, columns, gradientsAt);
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
