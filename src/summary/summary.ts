// What a look at every cell tells, by channel: how many are NaN or infinite, and of the others the least, the largest, mean and M2. Plain
// JavaScript on the calling thread, for what no kernel counts.
import { mergeInto } from "../merge/moments.js";
import { product } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { eachPiece, type Watch } from "./pieces.js";

/** Of each channel; of all cells where no channels are asked for. */
export interface Summary {
  /** Cells that are finite. */
  readonly counts: Float64Array;
  readonly nans: Float64Array;
  /** Cells that are Infinity or -Infinity. */
  readonly infinities: Float64Array;
  /** Of finite cells; Infinity and -Infinity where there are none. */
  readonly least: Float64Array;
  readonly largest: Float64Array;
  /** Of finite cells, {mean, M2} of each channel. */
  readonly moments: Float64Array;
}

/** Cells that lie together and have one channel: `after` of channel 0, then of channel 1, ... of `channels`, and again. */
export interface Channels {
  readonly channels: number;
  readonly after: number;
}

/** @param axis the channels' dimension, from 0; null for one channel of all cells. */
export function channelsOf({ shape, size }: Tensor, axis: number | null): Channels {
  if (axis === null) return { channels: 1, after: size };
  return { channels: shape[axis] as number, after: product(shape, axis + 1, shape.length) };
}

/** Fewer would be turns of the event loop, more would hold it up. Of very many channels, as many: each piece goes through all of them. */
export function cellsAtOnce(channels: number): number {
  return Math.min(1 << 22, Math.max(1 << 17, channels));
}

/** Looks at every cell of `x`. Throws AbortedError, ReadFailedError. */
export async function summarise(
  operation: string,
  x: Tensor,
  { channels, after }: Channels,
  watch: Watch,
): Promise<Summary> {
  const table = () => new Float64Array(channels);
  const summary: Summary = {
    counts: table(),
    nans: table(),
    infinities: table(),
    least: table().fill(Number.POSITIVE_INFINITY),
    largest: table().fill(Number.NEGATIVE_INFINITY),
    moments: new Float64Array(2 * channels),
  };
  const sums: Sums = { counts: table(), pivots: table().fill(Number.NaN), sums: table(), squares: table() };
  await eachPiece(operation, x, cellsAtOnce(channels), watch, (piece, from) => {
    if (after === 1) lookAtRows(piece, from % channels, summary, sums);
    else {
      eachStretch({ channels, after }, from, piece.length, (i, end, channel) =>
        lookAt(piece, i, end, channel, summary, sums),
      );
    }
    merge(summary, sums);
  });
  return summary;
}

/** Calls `use` with the stretches of one channel, cells [i, end), of a piece of `cells` cells whose first one is cell `from`. */
export function eachStretch(
  { channels, after }: Channels,
  from: number,
  cells: number,
  use: (i: number, end: number, channel: number) => void,
): void {
  let channel = Math.floor(from / after) % channels;
  let end = after - (from % after);
  for (let i = 0; i < cells; end += after) {
    use(i, Math.min(end, cells), channel);
    i = end;
    channel = channel + 1 === channels ? 0 : channel + 1;
  }
}

/** Of a piece, sums of cells less a pivot: the channel's mean so far, at first its first finite cell, and NaN before that. */
interface Sums {
  readonly counts: Float64Array;
  readonly pivots: Float64Array;
  readonly sums: Float64Array;
  readonly squares: Float64Array;
}

/** Takes cells [i, end) of one channel. */
function lookAt(piece: Float64Array, i: number, end: number, channel: number, summary: Summary, sums: Sums): void {
  let least = summary.least[channel] as number;
  let largest = summary.largest[channel] as number;
  let count = sums.counts[channel] as number;
  let sum = sums.sums[channel] as number;
  let squares = sums.squares[channel] as number;
  let pivot = sums.pivots[channel] as number;
  for (; i < end; i++) {
    const value = piece[i] as number;
    let distance = value - pivot;
    // NaN of what is not finite: nearly always no.
    if (distance - distance !== 0) {
      if (!isCounted(value, channel, summary, sums)) continue;
      pivot = sums.pivots[channel] as number;
      distance = value - pivot;
    }
    if (value < least) least = value;
    if (value > largest) largest = value;
    count++;
    sum += distance;
    squares += distance * distance;
  }
  summary.least[channel] = least;
  summary.largest[channel] = largest;
  sums.counts[channel] = count;
  sums.sums[channel] = sum;
  sums.squares[channel] = squares;
}

/** lookAt where each cell is of the channel after the one before, in a loop of its own: it is some three times as fast. */
function lookAtRows(piece: Float64Array, channel: number, summary: Summary, all: Sums): void {
  const { least, largest } = summary;
  const { counts, pivots, sums, squares } = all;
  const channels = counts.length;
  for (let i = 0, c = channel; i < piece.length; i++, c = c + 1 === channels ? 0 : c + 1) {
    const value = piece[i] as number;
    let distance = value - (pivots[c] as number);
    if (distance - distance !== 0) {
      if (!isCounted(value, c, summary, all)) continue;
      distance = value - (pivots[c] as number);
    }
    if (value < (least[c] as number)) least[c] = value;
    if (value > (largest[c] as number)) largest[c] = value;
    counts[c] = (counts[c] as number) + 1;
    sums[c] = (sums[c] as number) + distance;
    squares[c] = (squares[c] as number) + distance * distance;
  }
}

/** Whether a cell is finite; counted as what it is if not. The first one of a channel becomes its pivot. */
function isCounted(value: number, channel: number, { nans, infinities }: Summary, { pivots }: Sums): boolean {
  if (Number.isFinite(value)) {
    if (Number.isNaN(pivots[channel])) pivots[channel] = value;
    return true;
  }
  const table = Number.isNaN(value) ? nans : infinities;
  table[channel] = (table[channel] as number) + 1;
  return false;
}

/** Takes the piece's sums into the moments, and begins others about the new means. */
function merge({ counts, moments }: Summary, piece: Sums): void {
  for (let channel = 0; channel < counts.length; channel++) {
    const count = piece.counts[channel] as number;
    if (count === 0) continue;
    const before = counts[channel] as number;
    const sum = piece.sums[channel] as number;
    const m2 = (piece.squares[channel] as number) - sum * (sum / count);
    const mean = (piece.pivots[channel] as number) + sum / count;
    // Squares of finite cells may be too large for a float64.
    mergeInto(moments, 2 * channel, before, count, mean, m2 >= 0 ? m2 : m2 < 0 ? 0 : Number.POSITIVE_INFINITY);
    counts[channel] = before + count;
    piece.pivots[channel] = moments[2 * channel] as number;
    piece.counts[channel] = 0;
    piece.sums[channel] = 0;
    piece.squares[channel] = 0;
  }
}
