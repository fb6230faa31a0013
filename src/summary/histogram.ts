// How many cells lie where, between a channel's least and largest: a second look at every cell, since the first one finds these.
import type { Tensor } from "../tensor/tensor.js";
import { eachPiece, type Watch } from "./pieces.js";
import { type Channels, cellsAtOnce, eachStretch, type Summary } from "./summary.js";

/** Cells between two numbers. */
export interface Bin {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

export interface HistogramOptions {
  /** Bins of a channel, all as wide. A channel of one value has one. */
  readonly bins: number;
  /** Channels from the first one on that are looked at. */
  readonly first: number;
}

/** The bins of each of the first channels, of finite cells. Throws AbortedError, ReadFailedError. */
export async function histograms(
  operation: string,
  x: Tensor,
  { channels, after }: Channels,
  { least, largest, counts }: Summary,
  { bins, first }: HistogramOptions,
  watch: Watch,
): Promise<Bin[][]> {
  const shown = Math.min(first, channels);
  const tables = Array.from({ length: shown }, () => new Float64Array(bins));
  await eachPiece(operation, x, cellsAtOnce(channels), watch, (piece, from) => {
    eachStretch({ channels, after }, from, piece.length, (i, end, channel) => {
      const table = tables[channel];
      if (table) countInto(table, piece, i, end, least[channel] as number, largest[channel] as number);
    });
  });
  return tables.map((table, channel) => {
    const [from, to, all] = [least[channel], largest[channel], counts[channel]] as [number, number, number];
    if (all === 0) return [];
    if (from === to) return [{ from, to, count: all }];
    const edge = (bin: number) => from * (1 - bin / bins) + to * (bin / bins);
    return Array.from(table, (count, bin) => ({ from: edge(bin), to: edge(bin + 1), count }));
  });
}

/** Counts cells [i, end), which lie between `least` and `largest` or are not finite. */
function countInto(
  table: Float64Array,
  piece: Float64Array,
  i: number,
  end: number,
  least: number,
  largest: number,
): void {
  const last = table.length - 1;
  // Of halves: the difference of finite numbers may be infinite.
  const width = largest / 2 - least / 2;
  for (; i < end; i++) {
    const value = piece[i] as number;
    if (!(width > 0 && Number.isFinite(value))) continue;
    const bin = Math.min(last, Math.floor(((value / 2 - least / 2) / width) * table.length));
    table[bin] = (table[bin] as number) + 1;
  }
}
