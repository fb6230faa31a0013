// Phase `apply`, layout `columns`: each column has a mean, a scale and a shift of its own. As apply.ts, float64 with one rounding.
import { applied } from "./apply";
import { isBytes } from "./bytes";
import { applyBytesColumns } from "./bytes-columns";
import { finished, inputAt, loaded, outputAt, converted, target } from "./cells";
import { APPLY_FIELDS, NARROW, SEGMENT } from "./constants";
import { isTableSpecial, settle } from "./statistics";
import { repeatTable, rowsTaken } from "./narrow";
import { bytesOf, loadCell, pair0, pair1, pair2, pair3, pinF64, putPair0, putPair1, putPair2, putPair3, storeCell } from "./lanes";

/**
 * Rows of fewer columns than SHORT, or of WIDE and more, whose tables are more than a core's nearest cache holds, share what is looked up. Between them
 * one row at a time is faster: two rows of 512 columns took twice as long.
 */
const SHORT: usize = 128;
const WIDE: usize = 1024;

/** y = (x - mean[i]) * scale[i] + shift[i] over n cells. One read, one write. */
@inline
function columnsOf<A>(x: usize, y: usize, n: usize, means: usize, scales: usize, shifts: usize): void {
  const end = x + bytesOf<A>(n);
  for (const stop = x + bytesOf<A>(n & ~7); x < stop; means += 64, scales += 64, shifts += 64) {
    putPair0<A>(y, applied(pair0<A>(x), v128.load(means), v128.load(scales), v128.load(shifts)));
    putPair1<A>(y, applied(pair1<A>(x), v128.load(means, 16), v128.load(scales, 16), v128.load(shifts, 16)));
    putPair2<A>(y, applied(pair2<A>(x), v128.load(means, 32), v128.load(scales, 32), v128.load(shifts, 32)));
    putPair3<A>(y, applied(pair3<A>(x), v128.load(means, 48), v128.load(scales, 48), v128.load(shifts, 48)));
    x += sizeof<A>() << 3;
    y += sizeof<A>() << 3;
  }
  for (; x < end; x += sizeof<A>(), y += sizeof<A>(), means += 8, scales += 8, shifts += 8) {
    storeCell<A>(y, (loadCell<A>(x) - load<f64>(means)) * load<f64>(scales) + load<f64>(shifts));
  }
}

/** columnsOf for two rows at once, the second `step` bytes after the first: what is looked up serves both. */
@inline
function twoRowsOf<A>(x: usize, y: usize, n: usize, step: usize, means: usize, scales: usize, shifts: usize): void {
  const even = n & ~3;
  for (const stop = x + bytesOf<A>(even); x < stop; means += 32, scales += 32, shifts += 32) {
    const m = v128.load(means), a = v128.load(scales), b = v128.load(shifts);
    const m2 = v128.load(means, 16), a2 = v128.load(scales, 16), b2 = v128.load(shifts, 16);
    const below = x + step, to = y + step;
    putPair0<A>(y, applied(pair0<A>(x), m, a, b));
    putPair1<A>(y, applied(pair1<A>(x), m2, a2, b2));
    putPair0<A>(to, applied(pair0<A>(below), m, a, b));
    putPair1<A>(to, applied(pair1<A>(below), m2, a2, b2));
    x += sizeof<A>() << 2;
    y += sizeof<A>() << 2;
  }
  if (even < n) {
    columnsOf<A>(x, y, n - even, means, scales, shifts);
    columnsOf<A>(x + step, y + step, n - even, means, scales, shifts);
  }
}

/** columnsOf, and that times a weight plus a bias of the row's. */
@inline
function weightedRowOf<A>(
  x: usize, y: usize, n: usize, means: usize, scales: usize, shifts: usize, weight: f64, bias: f64,
): void {
  const w = pinF64(weight, 0), b = pinF64(bias, 1);
  const end = x + bytesOf<A>(n);
  for (const stop = x + bytesOf<A>(n & ~3); x < stop; means += 32, scales += 32, shifts += 32) {
    const low = applied(pair0<A>(x), v128.load(means), v128.load(scales), v128.load(shifts));
    const high = applied(pair1<A>(x), v128.load(means, 16), v128.load(scales, 16), v128.load(shifts, 16));
    putPair0<A>(y, f64x2.add(f64x2.mul(low, w), b));
    putPair1<A>(y, f64x2.add(f64x2.mul(high, w), b));
    x += sizeof<A>() << 2;
    y += sizeof<A>() << 2;
  }
  for (; x < end; x += sizeof<A>(), y += sizeof<A>(), means += 8, scales += 8, shifts += 8) {
    storeCell<A>(y, ((loadCell<A>(x) - load<f64>(means)) * load<f64>(scales) + load<f64>(shifts)) * weight + bias);
  }
}

export function applyF32TwoRows(x: usize, y: usize, n: usize, step: usize, means: usize, scales: usize, shifts: usize): void {
  twoRowsOf<f32>(x, y, n, step, means, scales, shifts);
}

/** columnsOf for n cells of rows of `period` cells, whose table is at `means`. */
@inline
function narrowOf<A>(x: usize, y: usize, n: usize, period: usize, means: usize): void {
  const bytes = period << 3;
  for (let done: usize = 0; done < n; done += period) {
    const at = bytesOf<A>(done);
    columnsOf<A>(x + at, y + at, min(period, n - done), means, means + bytes, means + 2 * bytes);
  }
}

export function applyF32Narrow(x: usize, y: usize, n: usize, period: usize, means: usize): void {
  narrowOf<f32>(x, y, n, period, means);
}

@inline
function applyColumns<A>(
  x: usize, y: usize, first: usize, count: usize, width: usize, rows: usize, table: usize, weight: usize, bias: usize,
): void {
  const bytes = width << 3, end = first + count;
  let special = false, repeated: usize = 0;
  for (let row = first; row < end; row++) {
    const means = table + (row / rows) * APPLY_FIELDS * bytes;
    if (row == first || row % rows == 0) {
      special = isTableSpecial(means, APPLY_FIELDS * width);
      repeated = 0;
    }
    const left = min(end, (row / rows + 1) * rows) - row;
    if (isBytes() && !weight) {
      applyBytesColumns(inputAt(x, row * width), outputAt(y, row * width), left, width, means);
      row += left - 1;
      continue;
    }
    if (width < NARROW && !weight && left >= rowsTaken(width)) {
      if (!repeated) repeated = repeatTable(means, width, APPLY_FIELDS);
      const taken = min(left, SEGMENT / width), n = taken * width, at = row * width, to = outputAt(y, at);
      const cells = loaded(inputAt(x, at), n), results = target(to, cells);
      if (sizeof<A>() == 4) applyF32Narrow(cells, results, n, rowsTaken(width) * width, repeated);
      else narrowOf<A>(cells, results, n, rowsTaken(width) * width, repeated);
      if (special) settle<A>(results, n);
      finished(results, to, n);
      row += taken - 1;
      continue;
    }
    if (sizeof<A>() == 4 && (width < SHORT || width >= WIDE) && !weight && !special && !converted() && row + 1 < end && (row + 1) % rows != 0) {
      const at = (row * width) << 2;
      applyF32TwoRows(x + at, y + at, width, width << 2, means, means + bytes, means + 2 * bytes);
      row++;
      continue;
    }
    for (let start: usize = 0; start < width; start += SEGMENT) {
      const n = min(SEGMENT, width - start), at = row * width + start, mean = means + (start << 3);
      const cells = loaded(inputAt(x, at), n), to = outputAt(y, at), results = target(to, cells);
      if (weight) {
        const entry = (row % rows) << 3, w = load<f64>(weight + entry), b = load<f64>(bias + entry);
        weightedRowOf<A>(cells, results, n, mean, mean + bytes, mean + 2 * bytes, w, b);
      } else columnsOf<A>(cells, results, n, mean, mean + bytes, mean + 2 * bytes);
      if (special) settle<A>(results, n);
      finished(results, to, n);
    }
  }
}

/**
 * Phase `apply`, layout `columns`: rows [first, first + count) of `width` cells, `rows` rows a sample; column c takes entry c
 * of the sample's table, laid as three arrays mean[width], scale[width], shift[width] of float64. With `weight` that is multiplied by the
 * weight of the sample's row, and its bias is added. One read, one write.
 */
export function applyF32Columns(
  x: usize, y: usize, first: usize, count: usize, width: usize, rows: usize, table: usize, weight: usize, bias: usize,
): void {
  applyColumns<f32>(x, y, first, count, width, rows, table, weight, bias);
}

/** As applyF32Columns, of float64 cells. */
export function applyF64Columns(
  x: usize, y: usize, first: usize, count: usize, width: usize, rows: usize, table: usize, weight: usize, bias: usize,
): void {
  applyColumns<f64>(x, y, first, count, width, rows, table, weight, bias);
}
