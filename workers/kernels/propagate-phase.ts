// Phase `propagate`: gradients of the input from known sums, y = g * a + (x - mean) * b + c, and `differentiate`: sums and gradients of
// sets of consecutive cells at once, each set read from memory once.
import { applyRun } from "./apply";
import { finished, inputAt, loaded, loadedBeside, outputAt, converted, target } from "./cells";
import { BLOCK, DEVIATION, LENGTH, NARROW, PROPAGATE_FIELDS, SEGMENT, SINK_ROWS } from "./constants";
import { addSums, areSpread, gradients, isHeld, products, sizes, startSums } from "./gradient";
import { bytesOf, freeScratch, loadCell, pair0, putPair0, storeCell } from "./lanes";
import { momentsSet } from "./moments";
import { repeatTable, rowsTaken } from "./narrow";
import { m2, mean } from "./segment-moments";
import { isAnySpecial, isTableSpecial, lengthShare, rstdOf, setMeasure, settle } from "./statistics";
import { isNear, isSlight, propagateCells, propagateF32Single, propagateF32SingleCells, propagateRun, takeLine } from "./propagate";
import { accumulateCells, holdsMean, sinkF32MovedRows, sinkF32Rows, sinkF64Cells } from "./sink";

const ROW: usize = PROPAGATE_FIELDS << 3; // bytes of a table row

/** Layout `runs`: as applyF32Stretches, with {mean, a, b, c} as table row. Two reads, one write; y may be x or g. */
@inline
function propagateStretches<A>(
  x: usize, g: usize, y: usize, first: usize, count: usize, length: usize, period: usize, rows: usize, table: usize,
): void {
  const perRun = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const run = unit / perRun, start = (unit % perRun) * SEGMENT;
    const row = table + ((run / (period * rows)) * period + (run % period)) * ROW;
    const n = min(SEGMENT, length - start), at = run * length + start, to = outputAt(y, at);
    const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n), results = target(to, cells);
    const a = load<f64>(row, 8), b = load<f64>(row, 16), c = load<f64>(row, 24);
    // Where no gradient flows through the statistics x does not count, not even a NaN of it.
    if (b == 0 && c == 0) applyRun<A>(beside, results, n, 0, a, 0);
    else propagateRun<A>(cells, beside, results, n, load<f64>(row), a, b, c);
    if (isAnySpecial(load<f64>(row), a, b, c)) settle<A>(results, n);
    finished(results, to, n);
  }
}

/** Layout `cells`: as applyF32SetCells, with {mean, a, b, c} as table row. Two reads, one write; y may be x or g. */
@inline
function propagateSetCells<A>(
  x: usize, g: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, table: usize, weight: usize,
): void {
  const perSet = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const set = unit / perSet, start = (unit % perSet) * SEGMENT, row = table + set * ROW;
    const n = min(SEGMENT, length - start), at = set * length + start, to = outputAt(y, at);
    const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n), results = target(to, cells);
    propagateCells<A>(
      cells, beside, results, n, load<f64>(row), load<f64>(row, 8), load<f64>(row, 16), load<f64>(row, 24),
      weight ? weight + bytesOf<A>((set % groups) * length + start) : 0,
    );
    if (isAnySpecial(load<f64>(row), load<f64>(row, 8), load<f64>(row, 16), load<f64>(row, 24))) settle<A>(results, n);
    finished(results, to, n);
  }
}

/** (x - mean) * b of two columns; 0 where b is, whatever x. */
@inline
function share(x: v128, mean: v128, b: v128, flows: v128): v128 {
  return v128.and(f64x2.mul(f64x2.sub(x, mean), b), flows);
}

@inline
function rowOf<A>(x: usize, g: usize, y: usize, n: usize, means: usize, bytes: usize, weight: f64): void {
  const even = n & ~1, wide = f64x2.splat(weight);
  for (let i: usize = 0; i < even; i += 2) {
    const entry = means + (i << 3), cell = bytesOf<A>(i), b = v128.load(entry + 2 * bytes);
    const ga = f64x2.mul(f64x2.mul(pair0<A>(g + cell), wide), v128.load(entry + bytes));
    const sum = f64x2.add(ga, share(pair0<A>(x + cell), v128.load(entry), b, f64x2.ne(b, f64x2.splat(0))));
    putPair0<A>(y + cell, f64x2.add(sum, v128.load(entry + 3 * bytes)));
  }
  if (even < n) {
    const entry = means + (even << 3), cell = bytesOf<A>(even), b = load<f64>(entry + 2 * bytes);
    const d = loadCell<A>(x + cell) - load<f64>(entry);
    const sum = loadCell<A>(g + cell) * weight * load<f64>(entry + bytes) + (b == 0 ? 0 : d * b);
    storeCell<A>(y + cell, sum + load<f64>(entry + 3 * bytes));
  }
}

/** rowOf for n cells of rows of `period` cells, whose table is at `means`. */
@inline
function narrowOf<A>(x: usize, g: usize, y: usize, n: usize, period: usize, means: usize): void {
  for (let done: usize = 0; done < n; done += period) {
    const at = bytesOf<A>(done);
    rowOf<A>(x + at, g + at, y + at, min(period, n - done), means, period << 3, 1);
  }
}

export function propagateF32Narrow(x: usize, g: usize, y: usize, n: usize, period: usize, means: usize): void {
  narrowOf<f32>(x, g, y, n, period, means);
}

/** Rows that are taken at once, where they have so many columns: what is looked up for them is more than the nearest cache holds. */
const ROWS_AT_ONCE: usize = 4;
const AT_ONCE_FROM: usize = 640;

/** rowOf for ROWS_AT_ONCE rows of n float32 cells that lie one after the other: what is looked up serves all. */
export function propagateF32Rows(x: usize, g: usize, y: usize, n: usize, means: usize): void {
  const row = n << 2, bytes = n << 3, end = means + ((n & ~1) << 3);
  // Distances from x: one counter.
  g -= x;
  y -= x;
  for (; means < end; means += 16, x += 8) {
    const m = v128.load(means), slopes = means + 2 * bytes;
    const a = v128.load(means + bytes), b = v128.load(slopes), c = v128.load(slopes + bytes), flows = f64x2.ne(b, f64x2.splat(0));
    const cell1 = x + row, cell2 = cell1 + row, cell3 = cell2 + row;
    const sum0 = f64x2.add(f64x2.mul(pair0<f32>(x + g), a), share(pair0<f32>(x), m, b, flows));
    const sum1 = f64x2.add(f64x2.mul(pair0<f32>(cell1 + g), a), share(pair0<f32>(cell1), m, b, flows));
    const sum2 = f64x2.add(f64x2.mul(pair0<f32>(cell2 + g), a), share(pair0<f32>(cell2), m, b, flows));
    const sum3 = f64x2.add(f64x2.mul(pair0<f32>(cell3 + g), a), share(pair0<f32>(cell3), m, b, flows));
    putPair0<f32>(x + y, f64x2.add(sum0, c));
    putPair0<f32>(cell1 + y, f64x2.add(sum1, c));
    putPair0<f32>(cell2 + y, f64x2.add(sum2, c));
    putPair0<f32>(cell3 + y, f64x2.add(sum3, c));
  }
  if (n & 1) {
    for (let cell = x, last = x + ROWS_AT_ONCE * row; cell < last; cell += row) rowOf<f32>(cell, cell + g, cell + y, 1, means, bytes, 1);
  }
}

/** Layout `columns`: as applyF32Columns, with four arrays mean, a, b, c[width]; with `weight`, one a row, g counts times that. Two reads, one write; y may be x or g. */
@inline
function propagateColumns<A>(
  x: usize, g: usize, y: usize, first: usize, count: usize, width: usize, rows: usize, table: usize, weight: usize,
): void {
  const bytes = width << 3, end = first + count;
  let special = false, repeated: usize = 0;
  for (let row = first; row < end; row++) {
    const means = table + (row / rows) * PROPAGATE_FIELDS * bytes;
    if (row == first || row % rows == 0) {
      special = isTableSpecial(means, PROPAGATE_FIELDS * width);
      repeated = 0;
    }
    const left = min(end, (row / rows + 1) * rows) - row;
    if (width < NARROW && !weight && left >= rowsTaken(width)) {
      if (!repeated) repeated = repeatTable(means, width, PROPAGATE_FIELDS);
      const taken = min(left, SEGMENT / width), n = taken * width, at = row * width, to = outputAt(y, at);
      const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n), results = target(to, cells);
      if (sizeof<A>() == 4) propagateF32Narrow(cells, beside, results, n, rowsTaken(width) * width, repeated);
      else narrowOf<A>(cells, beside, results, n, rowsTaken(width) * width, repeated);
      if (special) settle<A>(results, n);
      finished(results, to, n);
      row += taken - 1;
      continue;
    }
    if (sizeof<A>() == 4 && width >= AT_ONCE_FROM && !weight && !special && !converted() && row + ROWS_AT_ONCE <= min(end, (row / rows + 1) * rows)) {
      const at = (row * width) << 2;
      propagateF32Rows(x + at, g + at, y + at, width, means);
      row += ROWS_AT_ONCE - 1;
      continue;
    }
    for (let start: usize = 0; start < width; start += SEGMENT) {
      const n = min(SEGMENT, width - start), at = row * width + start, to = outputAt(y, at);
      const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n), results = target(to, cells);
      rowOf<A>(cells, beside, results, n, means + (start << 3), bytes, weight ? load<f64>(weight + ((row % rows) << 3)) : 1);
      if (special) settle<A>(results, n);
      finished(results, to, n);
    }
  }
}

// What `differentiate` found of a set, before its gradients: its mean and so on.
const RSTD: usize = 8;
const SLOPE: usize = 16;
const OFFSET: usize = 24;
/** 0 where the set is to be computed on in float64; else the terms' absolute values, times rstd, and negative where they were summed in float64. */
const SIZE: usize = 32;
const FACTS: usize = 40;

/** Whether SINK_ROWS rows' terms may be added in float32: none was summed in float64, or is more than the others together. */
function sinksInSingle(rows: usize, facts: usize): bool {
  if (rows < SINK_ROWS) return false;
  let total: f64 = 0, largest: f64 = 0, least = Infinity;
  for (let i: usize = 0; i < rows; i++, facts += FACTS) {
    const size = load<f64>(facts, SIZE);
    total += size;
    largest = max(largest, size);
    least = min(least, size);
  }
  return least > 0 && total < 1e37 && 2 * largest <= total;
}

/** Gradients of the weights and biases of `rows` sets of one group, to `weights` and `biases`. Reads x and g. */
function sinkRows<A>(x: usize, g: usize, n: usize, rows: usize, facts: usize, weights: usize, biases: usize): void {
  if (sizeof<A>() == 4 && sinksInSingle(rows, facts)) {
    const m0 = load<f64>(facts), m1 = load<f64>(facts, FACTS), m2 = load<f64>(facts, 2 * FACTS), m3 = load<f64>(facts, 3 * FACTS);
    const r0 = load<f64>(facts, RSTD), r1 = load<f64>(facts, FACTS + RSTD);
    const r2 = load<f64>(facts, 2 * FACTS + RSTD), r3 = load<f64>(facts, 3 * FACTS + RSTD);
    if (holdsMean(m0, r0) && holdsMean(m1, r1) && holdsMean(m2, r2) && holdsMean(m3, r3)) {
      sinkF32Rows(x, g, n, weights, biases, m0, m1, m2, m3, r0, r1, r2, r3);
    } else sinkF32MovedRows(x, g, n, weights, biases, m0, m1, m2, m3, r0, r1, r2, r3);
    return;
  }
  for (let i: usize = 0; i < rows; i++, facts += FACTS) {
    const cells = loaded(inputAt(x, i * n), n), beside = loadedBeside(inputAt(g, i * n), n);
    accumulateCells<A>(cells, beside, n, load<f64>(facts), load<f64>(facts, RSTD), weights, biases);
  }
}

/**
 * Phase `differentiate`: units [first, first + count) of `setsPerUnit` sets, `sets` in all, of `length` consecutive cells.
 * weight is one entry a run of `run` cells, float64, or where that is one cell (`byCell`) of the cells' type; or 0 where all are 1. `statistics` has
 * {mean, rstd} of each set; 0: both are computed here. Where `partials` is not 0 the gradients of the parameters go there, {sum of g * xhat, sum of g}:
 *   byCell   a unit's two arrays, one entry a cell of `groups` sets; run is 1; added to what is there, if `continues`; those of `together` sets of
 *            a unit, of one group, are added before
 *   else     an entry for each run of each set
 * Two reads, one write; y may be x or g.
 */
@inline
function differentiate<A>(
  x: usize, g: usize, y: usize, first: usize, count: usize, setsPerUnit: usize, sets: usize, length: usize, groups: usize, run: usize,
  weight: usize, eps: f64, measure: i32, byCell: bool, together: usize, continues: bool, statistics: usize, partials: usize,
): void {
  setMeasure(measure);
  const entries = length / run, width = groups * length;
  // What is not converted is all one part; its cells stay in a core's cache from one pass to the next.
  const part = converted() ? min(SEGMENT, length) : length;
  // A set's gradients while it is in the nearest cache, from its sums, if nothing has to be read of it afterwards.
  const atOnce = sizeof<A>() == 4 && y != x && y != g;
  for (let unit = first; unit < first + count; unit++) {
    const sinks = partials + unit * (width << 4);
    if (byCell && partials && !continues) memory.fill(sinks, 0, width << 4);
    for (let set = unit * setsPerUnit, end = min(sets, set + setsPerUnit); set < end; set += together) {
      const high = min(together, end - set);
      const base = set * length, entry = (set % groups) * entries;
      const sinkAt = sinks + (entry << 3), sinksHere = byCell && partials != 0 && sizeof<A>() == 4;
      let facts = freeScratch();
      for (let row: usize = 0; row < high; row++, facts += FACTS) {
        sumSet<A>(x, g, set + row, length, groups, run, weight, eps, measure, byCell, statistics, partials, part, facts);
        if (atOnce) propagateSet<A>(x, g, y, base + row * length, entry, length, run, weight, byCell, part, facts);
      }
      facts = freeScratch();
      if (sinksHere) sinkRows<A>(inputAt(x, base), inputAt(g, base), length, high, facts, sinkAt, sinkAt + (width << 3));
      if (atOnce) continue;
      for (let row: usize = 0; row < high; row++, facts += FACTS) {
        const at = base + row * length;
        if (byCell && partials && sizeof<A>() == 8) {
          const rstd = load<f64>(facts, RSTD), results = outputAt(y, at);
          sinkF64Cells(
            x + bytesOf<A>(at), g + bytesOf<A>(at), results, length, load<f64>(facts), rstd, load<f64>(facts, SLOPE), load<f64>(facts, OFFSET),
            weight ? weight + (entry << 3) : 0, sinkAt, sinkAt + (width << 3),
          );
          if (isAnySpecial(load<f64>(facts), rstd, load<f64>(facts, SLOPE), load<f64>(facts, OFFSET))) settle<A>(results, length);
        } else propagateSet<A>(x, g, y, at, entry, length, run, weight, byCell, part, facts);
      }
    }
  }
}

/** What of a set its gradients hang on, to `facts`; to `partials`, if they are not 0 nor by cell, the gradients of its runs' parameters. Reads x and g. */
@inline
function sumSet<A>(
  x: usize, g: usize, set: usize, length: usize, groups: usize, run: usize, weight: usize, eps: f64, measure: i32, byCell: bool,
  statistics: usize, partials: usize, part: usize, facts: usize,
): void {
  const entries = length / run, base = set * length, entry = (set % groups) * entries, n = <f64>length;
  let center: f64, rstd: f64;
  if (statistics) {
    center = load<f64>(statistics + (set << 4));
    rstd = load<f64>(statistics + (set << 4), 8);
  } else {
    momentsSet<A>(inputAt(x, base), length);
    center = mean;
    rstd = rstdOf(m2, n, eps);
  }
  let total: f64 = 0, totalProducts: f64 = 0, totalSizes: f64 = 0;
  startSums();
  for (let start: usize = 0, i: usize = 0; start < length; start += part) {
    const cells = min(part, length - start);
    const at = loaded(inputAt(x, base + start), cells), besideAt = loadedBeside(inputAt(g, base + start), cells);
    if (byCell) {
      addSums<A>(at, besideAt, cells, center, rstd, weight ? weight + bytesOf<A>(entry + start) : 0);
      continue;
    }
    for (let done: usize = 0; done < cells; ) {
      const cut = min(cells, (i + 1) * run - start), from = bytesOf<A>(done);
      addSums<A>(at + from, besideAt + from, cut - done, center, rstd, 0);
      done = cut;
      if (start + done < (i + 1) * run) continue;
      if (partials) {
        store<f64>(partials + ((set * entries + i) << 4), products * rstd);
        store<f64>(partials + ((set * entries + i) << 4), gradients, 8);
      }
      const w = weight ? load<f64>(weight + ((entry + i) << 3)) : 1;
      total += w * gradients;
      totalProducts += w * products;
      totalSizes += Math.abs(w) * sizes;
      startSums();
      i++;
    }
  }
  if (byCell) {
    total = gradients;
    totalProducts = products;
    totalSizes = sizes;
  }
  store<f64>(facts, center);
  store<f64>(facts, rstd, RSTD);
  store<f64>(facts, measure == LENGTH ? lengthShare(rstd, eps, totalProducts) : -rstd * rstd * (totalProducts / n), SLOPE);
  store<f64>(facts, measure == DEVIATION ? -rstd * (total / n) : 0, OFFSET);
  // In a set of a few cells the terms cancel each other: of two cells all of them do.
  const inSingle = length >= BLOCK && isSlight(totalProducts, totalSizes) && !(byCell && weight && !isHeld(n));
  store<f64>(facts, inSingle ? (areSpread ? totalSizes : -totalSizes) * rstd : 0, SIZE);
}

/** The gradients of the input of the set at `base`, from what is known of it. Two reads, one write. */
@inline
function propagateSet<A>(
  x: usize, g: usize, y: usize, base: usize, entry: usize, length: usize, run: usize, weight: usize, byCell: bool, part: usize, facts: usize,
): void {
  const center = load<f64>(facts), rstd = load<f64>(facts, RSTD), b = load<f64>(facts, SLOPE) * rstd, c = load<f64>(facts, OFFSET);
  const special = isAnySpecial(center, rstd, b, c), inSingle = sizeof<A>() == 4 && load<f64>(facts, SIZE) != 0;
  const folded = c - center * b, near = sizeof<A>() == 4 && isNear(center, rstd, folded);
  const from = near ? 0 : center, offset = near ? folded : c;
  for (let start: usize = 0; start < length; start += part) {
    const n = min(part, length - start), to = outputAt(y, base + start);
    const cells = loaded(inputAt(x, base + start), n), beside = loadedBeside(inputAt(g, base + start), n);
    const results = target(to, cells);
    if (byCell) {
      const weights = weight ? weight + bytesOf<A>(entry + start) : 0;
      if (!inSingle || !takeLine(center, rstd, b, c)) propagateCells<A>(cells, beside, results, n, from, rstd, b, offset, weights);
      else if (weight) propagateF32SingleCells(cells, beside, results, n, weights);
      else propagateF32Single(cells, beside, results, n);
    } else {
      for (let done: usize = 0; done < n; ) {
        const i = (start + done) / run, cut = min(n, (i + 1) * run - start), at = bytesOf<A>(done);
        const a = weight ? rstd * load<f64>(weight + ((entry + i) << 3)) : rstd;
        if (inSingle && takeLine(center, a, b, c)) propagateF32Single(cells + at, beside + at, results + at, cut - done);
        else propagateRun<A>(cells + at, beside + at, results + at, cut - done, from, a, b, offset);
        done = cut;
      }
    }
    if (special) settle<A>(results, n);
    finished(results, to, n);
  }
}

export function propagateF32Stretches(
  x: usize, g: usize, y: usize, first: usize, count: usize, length: usize, period: usize, rows: usize, table: usize,
): void {
  propagateStretches<f32>(x, g, y, first, count, length, period, rows, table);
}

export function propagateF64Stretches(
  x: usize, g: usize, y: usize, first: usize, count: usize, length: usize, period: usize, rows: usize, table: usize,
): void {
  propagateStretches<f64>(x, g, y, first, count, length, period, rows, table);
}

export function propagateF32SetCells(
  x: usize, g: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, table: usize, weight: usize,
): void {
  propagateSetCells<f32>(x, g, y, first, count, length, groups, table, weight);
}

export function propagateF64SetCells(
  x: usize, g: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, table: usize, weight: usize,
): void {
  propagateSetCells<f64>(x, g, y, first, count, length, groups, table, weight);
}

export function propagateF32Columns(
  x: usize, g: usize, y: usize, first: usize, count: usize, width: usize, rows: usize, table: usize, weight: usize,
): void {
  propagateColumns<f32>(x, g, y, first, count, width, rows, table, weight);
}

export function propagateF64Columns(
  x: usize, g: usize, y: usize, first: usize, count: usize, width: usize, rows: usize, table: usize, weight: usize,
): void {
  propagateColumns<f64>(x, g, y, first, count, width, rows, table, weight);
}

export function differentiateF32Sets(
  x: usize, g: usize, y: usize, first: usize, count: usize, setsPerUnit: usize, sets: usize, length: usize, groups: usize, run: usize,
  weight: usize, eps: f64, measure: i32, byCell: bool, together: usize, continues: bool, statistics: usize, partials: usize,
): void {
  differentiate<f32>(
    x, g, y, first, count, setsPerUnit, sets, length, groups, run, weight, eps, measure, byCell, together, continues, statistics, partials,
  );
}

export function differentiateF64Sets(
  x: usize, g: usize, y: usize, first: usize, count: usize, setsPerUnit: usize, sets: usize, length: usize, groups: usize, run: usize,
  weight: usize, eps: f64, measure: i32, byCell: bool, together: usize, continues: bool, statistics: usize, partials: usize,
): void {
  differentiate<f64>(
    x, g, y, first, count, setsPerUnit, sets, length, groups, run, weight, eps, measure, byCell, together, continues, statistics, partials,
  );
}
