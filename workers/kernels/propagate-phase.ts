// Phase `propagate`: gradients of the input from known sums, y = g * a + (x - mean) * b + c, and `differentiate`: sums and gradients of
// sets of consecutive cells at once, each set read from memory once.
import { applyRun } from "./apply";
import { finished, inputAt, loaded, loadedBeside, outputAt, converted, target } from "./cells";
import { DEVIATION, LENGTH, PROPAGATE_FIELDS, SEGMENT } from "./constants";
import { addSums, gradients, products, startSums } from "./gradient";
import { bytesOf, loadCell, pair0, putPair0, storeCell } from "./lanes";
import { momentsSet } from "./merge";
import { m2, mean } from "./segment-moments";
import { isAnySpecial, isTableSpecial, lengthShare, rstdOf, setMeasure, settle } from "./statistics";
import { isNear, propagateCells, propagateRun, propagateSinking } from "./propagate";

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
      weight ? weight + (((set % groups) * length + start) << 3) : 0,
    );
    if (isAnySpecial(load<f64>(row), load<f64>(row, 8), load<f64>(row, 16), load<f64>(row, 24))) settle<A>(results, n);
    finished(results, to, n);
  }
}

/** Layout `columns`: as applyF32Columns, with four arrays mean, a, b, c[width]; with `weight`, one a row, g counts times that. Two reads, one write; y may be x or g. */
@inline
function propagateColumns<A>(
  x: usize, g: usize, y: usize, first: usize, count: usize, width: usize, rows: usize, table: usize, weight: usize,
): void {
  const bytes = width << 3;
  let special = false;
  for (let row = first; row < first + count; row++) {
    const means = table + (row / rows) * PROPAGATE_FIELDS * bytes;
    if (row == first || row % rows == 0) special = isTableSpecial(means, PROPAGATE_FIELDS * width);
    for (let start: usize = 0; start < width; start += SEGMENT) {
      const n = min(SEGMENT, width - start), at = row * width + start, to = outputAt(y, at);
      const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n), results = target(to, cells);
      const even = n & ~1, w = weight ? load<f64>(weight + ((row % rows) << 3)) : 1, wide = f64x2.splat(w);
      for (let i: usize = 0; i < even; i += 2) {
        const entry = means + ((start + i) << 3), cell = bytesOf<A>(i);
        const d = f64x2.sub(pair0<A>(cells + cell), v128.load(entry));
        const ga = f64x2.mul(f64x2.mul(pair0<A>(beside + cell), wide), v128.load(entry + bytes));
        const b = v128.load(entry + 2 * bytes);
        const sum = f64x2.add(ga, v128.and(f64x2.mul(d, b), f64x2.ne(b, f64x2.splat(0))));
        putPair0<A>(results + cell, f64x2.add(sum, v128.load(entry + 3 * bytes)));
      }
      if (even < n) {
        const entry = means + ((start + even) << 3), cell = bytesOf<A>(even);
        const d = loadCell<A>(cells + cell) - load<f64>(entry);
        const b = load<f64>(entry + 2 * bytes);
        const sum = loadCell<A>(beside + cell) * w * load<f64>(entry + bytes) + (b == 0 ? 0 : d * b);
        storeCell<A>(results + cell, sum + load<f64>(entry + 3 * bytes));
      }
      if (special) settle<A>(results, n);
      finished(results, to, n);
    }
  }
}

/**
 * Phase `differentiate`: units [first, first + count) of `setsPerUnit` sets, `sets` in all, of `length` consecutive cells.
 * weight is float64, one entry a run of `run` cells as in normalizeF32Sets, or 0 where all are 1. `statistics` has {mean, rstd} of each
 * set; 0: both are computed here. Where `partials` is not 0 the gradients of the parameters go there, {sum of g * xhat, sum of g}:
 *   byCell   a unit's two arrays, one entry a cell of `groups` sets; run is 1; added to what is there, if `continues`
 *   else     an entry for each run of each set
 * Two reads, one write; y may be x or g.
 */
@inline
function differentiate<A>(
  x: usize, g: usize, y: usize, first: usize, count: usize, setsPerUnit: usize, sets: usize, length: usize, groups: usize, run: usize,
  weight: usize, eps: f64, measure: i32, byCell: bool, continues: bool, statistics: usize, partials: usize,
): void {
  setMeasure(measure);
  const entries = length / run, width = groups * length, count64 = <f64>length;
  // What is not converted is all one part; its cells stay in a core's cache from one pass to the next.
  const part = converted() ? min(SEGMENT, length) : length;
  for (let unit = first; unit < first + count; unit++) {
    const sinks = partials + unit * (width << 4);
    if (byCell && partials && !continues) memory.fill(sinks, 0, width << 4);
    for (let set = unit * setsPerUnit, end = min(sets, set + setsPerUnit); set < end; set++) {
      const base = set * length, entry = (set % groups) * entries;
      let center: f64, rstd: f64;
      if (statistics) {
        center = load<f64>(statistics + (set << 4));
        rstd = load<f64>(statistics + (set << 4), 8);
      } else {
        momentsSet<A>(inputAt(x, base), length);
        center = mean;
        rstd = rstdOf(m2, count64, eps);
      }
      let cells: usize = 0, beside: usize = 0;
      let total: f64 = 0, totalProducts: f64 = 0;
      startSums();
      for (let start: usize = 0, i: usize = 0; start < length; start += part) {
        const n = min(part, length - start);
        cells = loaded(inputAt(x, base + start), n);
        beside = loadedBeside(inputAt(g, base + start), n);
        if (byCell) {
          addSums<A>(cells, beside, n, center, weight ? weight + ((entry + start) << 3) : 0);
          continue;
        }
        for (let done: usize = 0; done < n; ) {
          const cut = min(n, (i + 1) * run - start), at = bytesOf<A>(done);
          addSums<A>(cells + at, beside + at, cut - done, center, 0);
          done = cut;
          if (start + done < (i + 1) * run) continue;
          if (partials) {
            store<f64>(partials + ((set * entries + i) << 4), products * rstd);
            store<f64>(partials + ((set * entries + i) << 4), gradients, 8);
          }
          const w = weight ? load<f64>(weight + ((entry + i) << 3)) : 1;
          total += w * gradients;
          totalProducts += w * products;
          startSums();
          i++;
        }
      }
      if (byCell) {
        total = gradients;
        totalProducts = products;
      }
      const bHat = measure == LENGTH ? lengthShare(rstd, eps, totalProducts) : -rstd * rstd * (totalProducts / count64), b = bHat * rstd;
      const c = measure == DEVIATION ? -rstd * (total / count64) : 0;
      const folded = c - center * b, near = sizeof<A>() == 4 && isNear(center, rstd, folded);
      const from = near ? 0 : center, offset = near ? folded : c;
      const special = isAnySpecial(center, rstd, b, c);
      for (let start: usize = 0; start < length; start += part) {
        const n = min(part, length - start), to = outputAt(y, base + start);
        if (part < length) {
          cells = loaded(inputAt(x, base + start), n);
          beside = loadedBeside(inputAt(g, base + start), n);
        }
        const results = target(to, cells);
        if (byCell) {
          const weights = weight ? weight + ((entry + start) << 3) : 0;
          if (partials) {
            const sinkAt = sinks + ((entry + start) << 3);
            propagateSinking<A>(cells, beside, results, n, center, rstd, bHat, c, weights, sinkAt, sinkAt + (width << 3));
          } else propagateCells<A>(cells, beside, results, n, from, rstd, b, offset, weights);
        } else {
          for (let done: usize = 0; done < n; ) {
            const i = (start + done) / run, cut = min(n, (i + 1) * run - start), at = bytesOf<A>(done);
            const a = weight ? rstd * load<f64>(weight + ((entry + i) << 3)) : rstd;
            propagateRun<A>(cells + at, beside + at, results + at, cut - done, from, a, b, offset);
            done = cut;
          }
        }
        if (special) settle<A>(results, n);
        finished(results, to, n);
      }
    }
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
  weight: usize, eps: f64, measure: i32, byCell: bool, continues: bool, statistics: usize, partials: usize,
): void {
  differentiate<f32>(
    x, g, y, first, count, setsPerUnit, sets, length, groups, run, weight, eps, measure, byCell, continues, statistics, partials,
  );
}

export function differentiateF64Sets(
  x: usize, g: usize, y: usize, first: usize, count: usize, setsPerUnit: usize, sets: usize, length: usize, groups: usize, run: usize,
  weight: usize, eps: f64, measure: i32, byCell: bool, continues: bool, statistics: usize, partials: usize,
): void {
  differentiate<f64>(
    x, g, y, first, count, setsPerUnit, sets, length, groups, run, weight, eps, measure, byCell, continues, statistics, partials,
  );
}
