// LocalResponseNorm (Krizhevsky, Sutskever, Hinton 2012, as torch.nn.LocalResponseNorm): a cell is divided by what the cells of the
// channels about it, at its own position, amount to:
//   S = k + (alpha / size) * sum of x^2 over channels c - floor(size / 2) .. c + floor((size - 1) / 2),  y = x * S^-beta
//   dx = g * S^-beta - (2 * alpha * beta / size) * x * sum over c - floor((size - 1) / 2) .. c + floor(size / 2) of g * x * S^(-beta - 1)
// Each window is summed anew, in the order of the channels: sums that slide would keep the rounding errors of cells long gone by.
import { finished, inputAt, loaded, loadedBeside, outputAt, target } from "./cells";
import { loadCell, pair0, pinF64, putPair0, storeCell } from "./lanes";
import { power } from "./power";

/** Sum over rows [from, to) of the pair of float64 at `column`, rows `step` bytes apart. */
@inline
function windowSum(column: usize, from: usize, to: usize, step: usize): v128 {
  let sum = f64x2.splat(0);
  for (let row = column + from * step, end = column + to * step; row < end; row += step) sum = f64x2.add(sum, v128.load(row));
  return sum;
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

/**
 * Phase `response`: tiles [first, first + count) of `tile` positions each of samples of `channels` rows of `space` cells. In
 * `scratch` there is room for `channels` rows of `tile` + 1 float64, three times with gradients. With g = NONE: y = x * S^-beta, else y
 * is the gradient of x. One read (two with g), one write; y may be x or g.
 */
@inline
function respond<A>(
  x: usize, g: usize, y: usize, first: usize, count: usize, channels: usize, space: usize, tile: usize,
  size: usize, alpha: f64, beta: f64, k: f64, scratch: usize,
): void {
  const tiles = (space + tile - 1) / tile;
  const before = size >> 1, after = (size - 1) >> 1;
  const step = ((tile + 1) & ~1) << 3;
  const squares = scratch, shares = squares + channels * step, powers = shares + channels * step;
  const factor = pinF64(alpha / <f64>size, 0), base = pinF64(k, 1), exponent = pinF64(-beta, 2);
  const back = pinF64((-2 * alpha * beta) / <f64>size, 3);
  for (let unit = first; unit < first + count; unit++) {
    const start = (unit % tiles) * tile, n = min(tile, space - start);
    const sample = (unit / tiles) * channels * space + start;
    for (let c: usize = 0; c < channels; c++) {
      const cells = loaded(inputAt(x, sample + c * space), n);
      for (let i: usize = 0; i < n; i += 2) {
        const cell = pairOf<A>(cells + i * sizeof<A>(), i + 1 < n);
        v128.store(squares + c * step + (i << 3), f64x2.mul(cell, cell));
      }
    }
    for (let c: usize = 0; c < channels; c++) {
      const at = sample + c * space, to = outputAt(y, at);
      const low = max(c, before) - before, high = min(channels, c + after + 1);
      const cells = loaded(inputAt(x, at), n), beside = g ? loadedBeside(inputAt(g, at), n) : 0;
      const results = target(to, cells);
      for (let i: usize = 0; i < n; i += 2) {
        const both = i + 1 < n, cell = pairOf<A>(cells + i * sizeof<A>(), both);
        const sum = f64x2.add(base, f64x2.mul(factor, windowSum(squares + (i << 3), low, high, step)));
        const scale = power(sum, exponent);
        if (g) {
          const entry = c * step + (i << 3), gradient = pairOf<A>(beside + i * sizeof<A>(), both);
          v128.store(powers + entry, scale);
          v128.store(shares + entry, f64x2.div(f64x2.mul(f64x2.mul(gradient, cell), scale), sum));
        } else putPairOf<A>(results + i * sizeof<A>(), f64x2.mul(cell, scale), both);
      }
      if (!g) finished(results, to, n);
    }
    if (!g) continue;
    for (let c: usize = 0; c < channels; c++) {
      const at = sample + c * space, to = outputAt(y, at);
      const low = max(c, after) - after, high = min(channels, c + before + 1);
      const cells = loaded(inputAt(x, at), n), beside = loadedBeside(inputAt(g, at), n), results = target(to, cells);
      for (let i: usize = 0; i < n; i += 2) {
        const both = i + 1 < n, cell = pairOf<A>(cells + i * sizeof<A>(), both);
        const direct = f64x2.mul(pairOf<A>(beside + i * sizeof<A>(), both), v128.load(powers + c * step + (i << 3)));
        const shared = f64x2.mul(f64x2.mul(back, cell), windowSum(shares + (i << 3), low, high, step));
        putPairOf<A>(results + i * sizeof<A>(), f64x2.add(direct, shared), both);
      }
      finished(results, to, n);
    }
  }
}

export function respondF32(
  x: usize, g: usize, y: usize, first: usize, count: usize, channels: usize, space: usize, tile: usize,
  size: usize, alpha: f64, beta: f64, k: f64, scratch: usize,
): void {
  respond<f32>(x, g, y, first, count, channels, space, tile, size, alpha, beta, k, scratch);
}

export function respondF64(
  x: usize, g: usize, y: usize, first: usize, count: usize, channels: usize, space: usize, tile: usize,
  size: usize, alpha: f64, beta: f64, k: f64, scratch: usize,
): void {
  respond<f64>(x, g, y, first, count, channels, space, tile, size, alpha, beta, k, scratch);
}
