// How the phases of any geometry lie on its cells. The layouts and segments follow from the whole tensor, for they decide the bits: of a
// part of it (a stripe) the samples of the whole are asked for, too.
import { affineCount, type Geometry, withoutChannels, withoutSamples } from "./geometry.js";
import { blocksOf, columnTilesOf, partsOf, SEGMENT_CELLS } from "./grid.js";
import type { MomentsPhase, ReducePhase } from "./phase.js";
import type { StatisticsSource } from "./plan.js";

/** The largest set that one worker normalises alone: 1 MiB of float32, about what a core's cache holds of it. */
export const WHOLE_SET_CELLS = 262_144;

/** Runs shorter than this do not fill the kernels' lanes: their cells are taken as columns, or get a weight each. */
const SHORT_RUN = 16;

/** Rows of a segment in the layout `columns`: so many that there are some 64 segments over all samples, within these bounds. */
const COLUMN_SEGMENTS = 64;
const SHORTEST_COLUMN_SEGMENT = 512;
const LONGEST_COLUMN_SEGMENT = 4096;

/** The geometry as far as the arithmetic has to tell channels and samples apart. */
export function seenGeometry(geometry: Geometry, affine: boolean, from: StatisticsSource): Geometry {
  const seen = affine ? geometry : withoutChannels(geometry);
  return from === "running" ? withoutSamples(seen) : seen;
}

/** Whether sets of consecutive cells get an entry of weight and bias for each cell. */
export function hasEntryPerCell({ r, k, s }: Geometry): boolean {
  return r === 1 && k > 1 && s < SHORT_RUN;
}

/** Moments of the sets of a part of a tensor that has `rows` rows in all, of all samples. */
export function momentsPhase({ n, r, g, k, s }: Geometry, rows: number, centred: boolean): MomentsPhase {
  const length = k * s;
  if (r === 1 || length >= SEGMENT_CELLS) {
    return { kind: "moments", layout: "stretches", length, centred, units: n * r * g * partsOf(length) };
  }
  if (length < SHORT_RUN) return { kind: "moments", ...columns(n, r, g * length, rows) };
  const perSegment = Math.floor(SEGMENT_CELLS / length);
  const units = n * blocksOf(r, perSegment) * g;
  return { kind: "moments", layout: "runs", length, groups: g, rows: r, perSegment, units };
}

/** Sums of a backward pass: with a weight for each cell by set, else by channel or column. */
export function reducePhase(geometry: Geometry, allRows: number, byCell: boolean): ReducePhase {
  const { n, r, g, k, s } = geometry;
  const stretches = (length: number, period: number, perSet: number, rows: number): ReducePhase => {
    const units = n * rows * period * partsOf(length);
    return { kind: "reduce", layout: "stretches", length, period, perSet, rows, units };
  };
  if (byCell) return stretches(k * s, g, 1, 1);
  const channels = affineCount(geometry);
  if (s < SHORT_RUN && r > 1) return { kind: "reduce", ...columns(n, r, channels * s, allRows) };
  if (r === 1 || s >= SEGMENT_CELLS) return stretches(s, channels, k, r);
  const perSegment = Math.floor(SEGMENT_CELLS / s);
  const units = n * blocksOf(r, perSegment) * channels;
  return { kind: "reduce", layout: "runs", length: s, period: channels, perSet: k, rows: r, perSegment, units };
}

/** Units that are blocks of rows by tiles of columns. */
function columns(samples: number, rows: number, width: number, allRows: number) {
  const wanted = Math.ceil(allRows / COLUMN_SEGMENTS);
  const perSegment = Math.min(Math.max(wanted, SHORTEST_COLUMN_SEGMENT), LONGEST_COLUMN_SEGMENT);
  const units = samples * blocksOf(rows, perSegment) * columnTilesOf(width);
  return { layout: "columns" as const, rows, width, perSegment, units };
}

/** How a table with entries for each channel, or each column, is laid on rows. */
export function byChannel({ n, r, g, k, s }: Geometry) {
  if (s < SHORT_RUN) return { layout: "columns" as const, width: g * k * s, rows: r, units: n * r };
  return { layout: "stretches" as const, length: s, period: g * k, rows: r, units: n * r * g * k * partsOf(s) };
}

/** How a table of sets, whose cells have a weight each, is laid on them. */
export function byCell({ n, g, k, s }: Geometry) {
  return { layout: "cells" as const, length: k * s, groups: g, units: n * g * partsOf(k * s) };
}
