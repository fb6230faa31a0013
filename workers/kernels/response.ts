// LocalResponseNorm (Krizhevsky, Sutskever, Hinton 2012, as torch.nn.LocalResponseNorm): a cell is divided by what the cells of the
// channels about it, at its own position, amount to. With before = floor(size / 2) and after = floor((size - 1) / 2):
//   S = k + (alpha / size) * sum of x^2 over channels c - before .. c + after,  y = x * S^-beta
//   dx = g * S^-beta - (2 * alpha * beta / size) * x * sum over c - after .. c + before of g * x * S^(-beta - 1)
// No sum is ever taken off another, which would keep the rounding errors of cells long gone by: short windows are summed anew, in the order
// of the channels; long ones are the end of one block and the beginning of the next (van Herk 1992, Gil and Werman 1993), so that a cell
// costs the same however long its window is.
import { finished, inputAt, loaded, loadedBeside, outputAt, target } from "./cells";
import { DIRECT_WINDOW, ENDS, GRADIENTS, RESULTS, SHARE_ENDS, SQUARES } from "./constants";
import { loadCell, pair0, pinF64, putPair0, storeCell } from "./lanes";
import { power } from "./power";
import { settle } from "./statistics";

/** Sum over rows [from, to) of the pair of float64 at `column`, rows `step` bytes apart. */
@inline
function windowSum(column: usize, from: usize, to: usize, step: usize): v128 {
  let sum = f64x2.splat(0);
  for (let row = column + from * step, end = column + to * step; row < end; row += step) sum = f64x2.add(sum, v128.load(row));
  return sum;
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
    for (let i: usize = 0; i < bytes; i += 16) v128.store(starts + i, f64x2.add(v128.load(starts + i), v128.load(row + i)));
  }
}

/** A pair of cells, of which the second may lie beyond the row: then it counts as 0. */
@inline
function pairOf<A>(address: usize, both: bool): v128 {
  return both ? pair0<A>(address) : f64x2.replace_lane(f64x2.splat(0), 0, loadCell<A>(address));
}

@inline
function putPairOf<A>(address: usize, v: v128, both: bool): void {
  if (both) putPair0<A>(address, v);
  else storeCell<A>(address, f64x2.extract_lane(v, 0));
}

/** Whether a sum of what should be zeros has met NaN or Infinity. */
@inline
function isSpecial(zeros: v128): bool {
  return f64x2.extract_lane(zeros, 0) + f64x2.extract_lane(zeros, 1) != 0;
}

/**
 * Phase `response`: tiles [first, first + count) of `tile` positions each of samples of `channels` rows of `space` cells; a window is `before`
 * channels, the cell's own and `after`; `factor` is alpha / size, `back` 2 * alpha * beta / size. In `scratch` there is room for rows of `tile` + 1
 * float64: `channels` of them once, three times with gradients, once more and one row for windows that are not short. With g = NONE: y =
 * x * S^-beta, else y is the gradient of x. One read (two with g), one write; y may be x or g.
 * Of the steps of a unit those in `steps` (constants.ts) are done, of channels [from, to): a unit of many channels is computed by many calls, step
 * after step, each step's channels in order, those of ends from the last one down.
 */
@inline
function respond<A>(
  x: usize, g: usize, y: usize, first: usize, count: usize, channels: usize, space: usize, tile: usize,
  before: usize, after: usize, factor: f64, beta: f64, k: f64, back: f64, scratch: usize, steps: i32, from: usize, to: usize,
): void {
  const tiles = (space + tile - 1) / tile, window = before + after + 1, slides = window > DIRECT_WINDOW;
  const step = ((tile + 1) & ~1) << 3, array = channels * step;
  const squares = scratch, ends = squares + array, starts = ends + array;
  const shares = slides ? starts + step : ends, powers = shares + array;
  const f = pinF64(factor, 0), base = pinF64(k, 1), exponent = pinF64(-beta, 2), b = pinF64(-back, 3);
  for (let unit = first; unit < first + count; unit++) {
    const start = (unit % tiles) * tile, n = min(tile, space - start);
    const sample = (unit / tiles) * channels * space + start;
    if (steps & SQUARES) for (let c = from; c < to; c++) {
      const cells = loaded(inputAt(x, sample + c * space), n);
      for (let i: usize = 0; i < n; i += 2) {
        const cell = pairOf<A>(cells + i * sizeof<A>(), i + 1 < n);
        v128.store(squares + c * step + (i << 3), f64x2.mul(cell, cell));
      }
    }
    if (slides && steps & ENDS) sumEnds(squares, ends, channels, step, before, window, from, to);
    if (steps & RESULTS) for (let c = from; c < to; c++) {
      const at = sample + c * space, output = outputAt(y, at);
      const low = max(c, before) - before, high = min(channels, c + after + 1);
      const cells = loaded(inputAt(x, at), n), beside = g ? loadedBeside(inputAt(g, at), n) : 0;
      const results = target(output, cells);
      if (slides) addStart(squares, starts, c, channels, step, after, window);
      let zeros = f64x2.splat(0);
      for (let i: usize = 0; i < n; i += 2) {
        const both = i + 1 < n, cell = pairOf<A>(cells + i * sizeof<A>(), both), column = i << 3;
        const total = slides
          ? f64x2.add(v128.load(ends + low * step + column), v128.load(starts + column))
          : windowSum(squares + column, low, high, step);
        const sum = f64x2.add(base, f64x2.mul(f, total));
        const scale = power(sum, exponent);
        if (g) {
          const entry = c * step + column, gradient = pairOf<A>(beside + i * sizeof<A>(), both);
          v128.store(powers + entry, scale);
          v128.store(shares + entry, f64x2.div(f64x2.mul(f64x2.mul(gradient, cell), scale), sum));
        } else {
          const result = f64x2.mul(cell, scale);
          zeros = f64x2.add(zeros, f64x2.sub(result, result));
          putPairOf<A>(results + i * sizeof<A>(), result, both);
        }
      }
      if (g) continue;
      if (isSpecial(zeros)) settle<A>(results, n);
      finished(results, output, n);
    }
    if (!g) continue;
    if (slides && steps & SHARE_ENDS) sumEnds(shares, ends, channels, step, after, window, from, to);
    if (steps & GRADIENTS) for (let c = from; c < to; c++) {
      const at = sample + c * space, output = outputAt(y, at);
      const low = max(c, after) - after, high = min(channels, c + before + 1);
      const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n), results = target(output, cells);
      if (slides) addStart(shares, starts, c, channels, step, before, window);
      let zeros = f64x2.splat(0);
      for (let i: usize = 0; i < n; i += 2) {
        const both = i + 1 < n, cell = pairOf<A>(cells + i * sizeof<A>(), both), column = i << 3;
        let result = f64x2.mul(pairOf<A>(beside + i * sizeof<A>(), both), v128.load(powers + c * step + column));
        // Without a share of its neighbours a cell's gradient is its own, whatever they are: 0 times Infinity would be NaN.
        if (back != 0) {
          const total = slides
            ? f64x2.add(v128.load(ends + low * step + column), v128.load(starts + column))
            : windowSum(shares + column, low, high, step);
          result = f64x2.add(result, f64x2.mul(f64x2.mul(b, cell), total));
        }
        zeros = f64x2.add(zeros, f64x2.sub(result, result));
        putPairOf<A>(results + i * sizeof<A>(), result, both);
      }
      if (isSpecial(zeros)) settle<A>(results, n);
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
