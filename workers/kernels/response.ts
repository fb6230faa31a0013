// LocalResponseNorm (Krizhevsky, Sutskever, Hinton 2012, as torch.nn.LocalResponseNorm): a cell is divided by what the cells of the
// channels about it, at its own position, amount to. With before = floor(size / 2) and after = floor((size - 1) / 2):
//   S = k + (alpha / size) * sum of x^2 over channels c - before .. c + after,  y = x * S^-beta
//   dx = g * S^-beta - (2 * alpha * beta / size) * x * sum over c - after .. c + before of g * x * S^(-beta - 1)
// No sum is ever taken off another, which would keep the rounding errors of cells long gone by: short windows are summed anew, in the order
// of the channels; long ones are the end of one block and the beginning of the next (van Herk 1992, Gil and Werman 1993), so that a cell
// costs the same however long its window is.
import { finished, inputAt, loaded, loadedBeside, outputAt, target } from "./cells";
import { DIRECT_WINDOW, ENDS, GRADIENTS, RESULTS, SHARE_ENDS, SQUARES } from "./constants";
import { loadCell, pair0, pair1, pair2, pair3, pinF64, putPair0, putPair1, putPair2, putPair3, storeCell } from "./lanes";
import { divided, inverted, NO_ROOTS, powerRow, rootsOf } from "./power";
import { settle } from "./statistics";

/**
 * Sums over rows [from, to) of `bytes` bytes of float64 columns, rows `step` bytes apart, to `sums`. Eight columns at a time, which share what the loop
 * over their rows costs: rows and `sums` have room for as many at their ends.
 */
function sumRows(values: usize, from: usize, to: usize, step: usize, bytes: usize, sums: usize): void {
  const more = (to - from - 1) * step;
  for (let column = values + from * step, end = column + bytes; column < end; column += 64, sums += 64) {
    let a = v128.load(column), b = v128.load(column, 16), c = v128.load(column, 32), d = v128.load(column, 48);
    for (let row = column, last = column + more; row < last; ) {
      row += step;
      a = f64x2.add(a, v128.load(row));
      b = f64x2.add(b, v128.load(row, 16));
      c = f64x2.add(c, v128.load(row, 32));
      d = f64x2.add(d, v128.load(row, 48));
    }
    v128.store(sums, a);
    v128.store(sums, b, 16);
    v128.store(sums, c, 32);
    v128.store(sums, d, 48);
  }
}

/** Two rows of `bytes` bytes added, to `sums`. */
@inline
function addRows(one: usize, other: usize, bytes: usize, sums: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(sums + i, f64x2.add(v128.load(one + i), v128.load(other + i)));
}

/**
 * The sums of each row of [from, to) and those after it in its block, of rows of `bytes` bytes, to `ends`. Blocks are as long as a window, and
 * begin where the first row's window does. Those of rows from `to` on are there.
 */
function sumEnds(
  values: usize, ends: usize, channels: usize, bytes: usize, before: usize, window: usize, from: usize, to: usize,
): void {
  for (let c = to; c-- > from; ) {
    const row = values + c * bytes, sums = ends + c * bytes;
    const isLast = c + 1 == channels || (c + 1 + before) % window == 0;
    for (let i: usize = 0; i < bytes; i += 16) {
      const value = v128.load(row + i);
      v128.store(sums + i, isLast ? value : f64x2.add(value, v128.load(sums + bytes + i)));
    }
  }
}

/** Takes the row that channel c's window ends with into the sums of its block's beginning, at `starts`; a window that is a whole block begins anew. */
function addStart(values: usize, starts: usize, c: usize, channels: usize, bytes: usize, after: usize, window: usize): void {
  if (c % window == 0) memory.fill(starts, 0, bytes);
  else if (c + after < channels) {
    const row = values + (c + after) * bytes;
    addRows(starts, row, bytes, starts);
  }
}

/** Bytes that sumRows may go beyond a row. */
const BEYOND: usize = 64;

/** Bytes of a row of `tile` float64, in fours. Not a multiple of 4096: the rows of a window would all be in the same set of a core's cache. */
@inline
function rowBytes(tile: usize): usize {
  const bytes = ((tile + 3) & ~3) << 3;
  return bytes & 4095 ? bytes : bytes + 64;
}

/** Cells i and i + 1 of a row of n; those beyond it count as 0. */
@inline
function pairOf<A>(row: usize, i: usize, n: usize): v128 {
  const address = row + i * sizeof<A>();
  return i + 1 < n ? pair0<A>(address) : i < n ? f64x2.replace_lane(f64x2.splat(0), 0, loadCell<A>(address)) : f64x2.splat(0);
}

@inline
function putPairOf<A>(row: usize, i: usize, n: usize, v: v128): void {
  const address = row + i * sizeof<A>();
  if (i + 1 < n) putPair0<A>(address, v);
  else if (i < n) storeCell<A>(address, f64x2.extract_lane(v, 0));
}

/** 0, or NaN where a number is not finite. */
@inline
function zeroOf(v: v128): v128 {
  return f64x2.sub(v, v);
}

/** Whether a sum of what should be zeros has met NaN or Infinity. */
@inline
function isSpecial(zeros: v128): bool {
  return f64x2.extract_lane(zeros, 0) + f64x2.extract_lane(zeros, 1) != 0;
}

// Rows of a tile: `sums` has what the windows of its cells amount to, `powers` S^-beta. Each loop does one thing, so that its numbers stay in registers.

/** squares = x * x */
function squareRow<A>(cells: usize, squares: usize, n: usize): void {
  let i: usize = 0;
  for (; i < (n & ~7); i += 8) {
    const at = cells + i * sizeof<A>(), to = squares + (i << 3);
    const a = pair0<A>(at), b = pair1<A>(at), c = pair2<A>(at), d = pair3<A>(at);
    v128.store(to, f64x2.mul(a, a));
    v128.store(to, f64x2.mul(b, b), 16);
    v128.store(to, f64x2.mul(c, c), 32);
    v128.store(to, f64x2.mul(d, d), 48);
  }
  for (; i < n; i += 2) {
    const cell = pairOf<A>(cells, i, n);
    v128.store(squares + (i << 3), f64x2.mul(cell, cell));
  }
}

/** y = x * powers. Whether a result is NaN or infinite. */
function resultRow<A>(cells: usize, powers: usize, results: usize, n: usize): bool {
  let zeros = f64x2.splat(0), i: usize = 0;
  for (; i < (n & ~7); i += 8) {
    const at = cells + i * sizeof<A>(), to = results + i * sizeof<A>(), by = powers + (i << 3);
    const a = f64x2.mul(pair0<A>(at), v128.load(by)), b = f64x2.mul(pair1<A>(at), v128.load(by, 16));
    const c = f64x2.mul(pair2<A>(at), v128.load(by, 32)), d = f64x2.mul(pair3<A>(at), v128.load(by, 48));
    zeros = f64x2.add(zeros, zeroOf(f64x2.add(f64x2.add(f64x2.abs(a), f64x2.abs(b)), f64x2.add(f64x2.abs(c), f64x2.abs(d)))));
    putPair0<A>(to, a);
    putPair1<A>(to, b);
    putPair2<A>(to, c);
    putPair3<A>(to, d);
  }
  for (; i < n; i += 2) {
    const result = f64x2.mul(pairOf<A>(cells, i, n), v128.load(powers + (i << 3)));
    zeros = f64x2.add(zeros, zeroOf(result));
    putPairOf<A>(results, i, n, result);
  }
  return isSpecial(zeros);
}

/** shares = g * x * S^-beta / S */
function shareRow<A>(
  cells: usize, beside: usize, sums: usize, powers: usize, shares: usize, n: usize, roots: i32, areWithin: bool,
): void {
  let i: usize = 0;
  if (areWithin) {
    for (; i < (n & ~3); i += 4) {
      const at = i * sizeof<A>(), entry = i << 3;
      const p = v128.load(powers + entry), q = v128.load(powers + entry, 16);
      const a = f64x2.mul(f64x2.mul(pair0<A>(beside + at), pair0<A>(cells + at)), p);
      const b = f64x2.mul(f64x2.mul(pair1<A>(beside + at), pair1<A>(cells + at)), q);
      v128.store(shares + entry, f64x2.mul(a, inverted(v128.load(sums + entry), p, roots)));
      v128.store(shares + entry, f64x2.mul(b, inverted(v128.load(sums + entry, 16), q, roots)), 16);
    }
  }
  for (; i < n; i += 2) {
    const power = v128.load(powers + (i << 3));
    const product = f64x2.mul(f64x2.mul(pairOf<A>(beside, i, n), pairOf<A>(cells, i, n)), power);
    v128.store(shares + (i << 3), divided(product, v128.load(sums + (i << 3)), power, roots));
  }
}

/** A gradient and what its neighbours have of it. Where they have none (`back` is 0) it is its own, whatever they are: 0 times Infinity would be NaN. */
@inline
function gradientOf(g: v128, power: v128, x: v128, sum: v128, b: v128, back: f64): v128 {
  const own = f64x2.mul(g, power);
  return back == 0 ? own : f64x2.add(own, f64x2.mul(f64x2.mul(b, x), sum));
}

/** y = g * powers - back * x * sums, the sums being of shares. Whether a result is NaN or infinite. */
function gradientRow<A>(cells: usize, beside: usize, powers: usize, sums: usize, results: usize, n: usize, back: f64): bool {
  const b = pinF64(-back, 0);
  let zeros = f64x2.splat(0), i: usize = 0;
  for (; i < (n & ~3); i += 4) {
    const at = i * sizeof<A>(), entry = i << 3;
    const one = gradientOf(pair0<A>(beside + at), v128.load(powers + entry), pair0<A>(cells + at), v128.load(sums + entry), b, back);
    const other = gradientOf(pair1<A>(beside + at), v128.load(powers + entry, 16), pair1<A>(cells + at), v128.load(sums + entry, 16), b, back);
    zeros = f64x2.add(zeros, f64x2.add(zeroOf(one), zeroOf(other)));
    putPair0<A>(results + at, one);
    putPair1<A>(results + at, other);
  }
  for (; i < n; i += 2) {
    const entry = i << 3;
    const result = gradientOf(pairOf<A>(beside, i, n), v128.load(powers + entry), pairOf<A>(cells, i, n), v128.load(sums + entry), b, back);
    zeros = f64x2.add(zeros, zeroOf(result));
    putPairOf<A>(results, i, n, result);
  }
  return isSpecial(zeros);
}

/**
 * Phase `response`: tiles [first, first + count) of `tile` positions each of samples of `channels` rows of `space` cells; a window is `before`
 * channels, the cell's own and `after`; `factor` is alpha / size, `back` 2 * alpha * beta / size. In `scratch` there is room for rows of `tile`
 * float64 (rowBytes): one and the columns that sumRows goes beyond it, `channels` of them and one more, with gradients three times as many, and as many
 * again and one for windows that are not short.
 * With g = NONE: y = x * S^-beta, else y is the gradient of x. One read (two with g), one write; y may be x or g.
 * Of the steps of a unit those in `steps` (constants.ts) are done, of channels [from, to): a unit of many channels is computed by many calls, step
 * after step, each step's channels in order, those of ends from the last one down.
 */
@inline
function respond<A>(
  x: usize, g: usize, y: usize, first: usize, count: usize, channels: usize, space: usize, tile: usize,
  before: usize, after: usize, factor: f64, beta: f64, k: f64, back: f64, scratch: usize, steps: i32, from: usize, to: usize,
): void {
  const tiles = (space + tile - 1) / tile, window = before + after + 1, slides = window > DIRECT_WINDOW;
  const step = rowBytes(tile), array = channels * step;
  const sums = scratch, squares = sums + step + BEYOND, ends = squares + array, starts = ends + array;
  const shares = slides ? starts + step : ends, powers = g ? shares + array : shares;
  // float64 cells ask for more digits than the roots give.
  const roots = sizeof<A>() == 4 ? rootsOf(beta) : NO_ROOTS;
  for (let unit = first; unit < first + count; unit++) {
    const start = (unit % tiles) * tile, n = min(tile, space - start), bytes = n << 3;
    const sample = (unit / tiles) * channels * space + start;
    if (steps & SQUARES) for (let c = from; c < to; c++) {
      const cells = loaded(inputAt(x, sample + c * space), n), row = squares + c * step;
      squareRow<A>(cells, row, n);
    }
    if (slides && steps & ENDS) sumEnds(squares, ends, channels, step, before, window, from, to);
    if (steps & RESULTS) for (let c = from; c < to; c++) {
      const at = sample + c * space, low = max(c, before) - before;
      if (slides) {
        addStart(squares, starts, c, channels, step, after, window);
        addRows(ends + low * step, starts, bytes, sums);
      } else sumRows(squares, low, min(channels, c + after + 1), step, bytes, sums);
      const row = powers + (g ? c * step : 0), areWithin = powerRow(sums, row, n, factor, k, beta, roots);
      const cells = loaded(inputAt(x, at), n);
      if (g) {
        shareRow<A>(cells, loadedBeside(inputAt(g, at), n), sums, row, shares + c * step, n, roots, areWithin);
        continue;
      }
      const output = outputAt(y, at), results = target(output, cells);
      if (resultRow<A>(cells, row, results, n)) settle<A>(results, n);
      finished(results, output, n);
    }
    if (!g) continue;
    if (slides && steps & SHARE_ENDS) sumEnds(shares, ends, channels, step, after, window, from, to);
    if (steps & GRADIENTS) for (let c = from; c < to; c++) {
      const at = sample + c * space, low = max(c, after) - after;
      if (slides) {
        addStart(shares, starts, c, channels, step, before, window);
        addRows(ends + low * step, starts, bytes, sums);
      } else sumRows(shares, low, min(channels, c + before + 1), step, bytes, sums);
      const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n);
      const output = outputAt(y, at), results = target(output, cells);
      if (gradientRow<A>(cells, beside, powers + c * step, sums, results, n, back)) settle<A>(results, n);
      finished(results, output, n);
    }
  }
}

export function respondF32(
  x: usize, g: usize, y: usize, first: usize, count: usize, channels: usize, space: usize, tile: usize,
  before: usize, after: usize, factor: f64, beta: f64, k: f64, back: f64, scratch: usize, steps: i32, from: usize, to: usize,
): void {
  respond<f32>(x, g, y, first, count, channels, space, tile, before, after, factor, beta, k, back, scratch, steps, from, to);
}

export function respondF64(
  x: usize, g: usize, y: usize, first: usize, count: usize, channels: usize, space: usize, tile: usize,
  before: usize, after: usize, factor: f64, beta: f64, k: f64, back: f64, scratch: usize, steps: i32, from: usize, to: usize,
): void {
  respond<f64>(x, g, y, first, count, channels, space, tile, before, after, factor, beta, k, back, scratch, steps, from, to);
}
