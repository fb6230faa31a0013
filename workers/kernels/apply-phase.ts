// Phase `apply`, where cells are stretches that share a table row, or sets with a weight a cell. Where they are columns: apply-columns.ts.
import { applyCells, applyRun } from "./apply";
import { applyBytes, applyBytesCells, isBytes } from "./bytes";
import { finished, inputAt, isHalf, loaded, outputAt, target } from "./cells";
import { APPLY_FIELDS, SEGMENT } from "./constants";
import { applyHalves } from "./halves";
import { bytesOf } from "./lanes";
import { isAnySpecial, settle } from "./statistics";

const ROW: usize = APPLY_FIELDS << 3; // bytes of a table row

@inline
function applyStretches<A>(
  x: usize, y: usize, first: usize, count: usize, length: usize, period: usize, rows: usize, table: usize,
): void {
  const perRun = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const run = unit / perRun, start = (unit % perRun) * SEGMENT;
    const row = table + ((run / (period * rows)) * period + (run % period)) * ROW;
    const n = min(SEGMENT, length - start), at = run * length + start;
    if (isHalf()) {
      applyHalves(inputAt(x, at), outputAt(y, at), n, load<f64>(row), load<f64>(row, 8), load<f64>(row, 16));
      continue;
    }
    if (isBytes()) {
      applyBytes(inputAt(x, at), outputAt(y, at), n, load<f64>(row), load<f64>(row, 8), load<f64>(row, 16));
      continue;
    }
    const cells = loaded(inputAt(x, at), n), to = outputAt(y, at), results = target(to, cells);
    const mean = load<f64>(row), scale = load<f64>(row, 8), shift = load<f64>(row, 16);
    applyRun<A>(cells, results, n, mean, scale, shift);
    // A scale of 0 is that of an infinite length or mean square, with a mean of 0: Infinity times it is NaN.
    if (isAnySpecial(mean, scale, shift, 1 / scale)) settle<A>(results, n);
    finished(results, to, n);
  }
}

/**
 * Phase `apply`, layout `runs`: segments [first, first + count) in memory order of runs of `length` cells, `period` runs a row and
 * `rows` rows a sample. Run p of a row of sample s takes row s * period + p of the table. One read, one write.
 */
export function applyF32Stretches(
  x: usize, y: usize, first: usize, count: usize, length: usize, period: usize, rows: usize, table: usize,
): void {
  applyStretches<f32>(x, y, first, count, length, period, rows, table);
}

/** As applyF32Stretches, of float64 cells. */
export function applyF64Stretches(
  x: usize, y: usize, first: usize, count: usize, length: usize, period: usize, rows: usize, table: usize,
): void {
  applyStretches<f64>(x, y, first, count, length, period, rows, table);
}

@inline
function applySetCells<A>(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, table: usize, weight: usize, bias: usize,
): void {
  const perSet = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const set = unit / perSet, start = (unit % perSet) * SEGMENT;
    const row = table + set * ROW, affine = bytesOf<A>((set % groups) * length + start);
    const n = min(SEGMENT, length - start), at = set * length + start;
    const mean = load<f64>(row), rstd = load<f64>(row, 8);
    if (isBytes()) {
      applyBytesCells(inputAt(x, at), outputAt(y, at), n, mean, rstd, weight + affine, bias + affine);
      continue;
    }
    const cells = loaded(inputAt(x, at), n), to = outputAt(y, at), results = target(to, cells);
    applyCells<A>(cells, results, n, mean, rstd, weight + affine, bias + affine);
    if (isAnySpecial(mean, rstd, 1 / rstd, 0)) settle<A>(results, n);
    finished(results, to, n);
  }
}

/**
 * Phase `apply`, layout `cells`: segments [first, first + count) in memory order of sets of `length` cells; set s takes row s of
 * the table as mean and rstd, and the weights of group s % groups. One read, one write.
 */
export function applyF32SetCells(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, table: usize, weight: usize, bias: usize,
): void {
  applySetCells<f32>(x, y, first, count, length, groups, table, weight, bias);
}

/** As applyF32SetCells, of float64 cells. */
export function applyF64SetCells(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, table: usize, weight: usize, bias: usize,
): void {
  applySetCells<f64>(x, y, first, count, length, groups, table, weight, bias);
}
