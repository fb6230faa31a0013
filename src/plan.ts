// Geometry -> phases of slices, as plain data. The layouts and segments follow from the tensor alone (they decide the bits);
// slices and whether one phase is enough are scheduling, and change no bit.
import { cellsPerSet, type Geometry, sameGeometry, withoutChannels, withoutSamples } from "./geometry.js";
import { type ApplyPhase, COLUMN_TILE, type MomentsPhase, type NormalizePhase, SEGMENT_CELLS } from "./protocol.js";

/**
 * A phase is cut to so many slices, of cells within these bounds: long ones, whose first set alone is not summed beside another's results, but
 * not so long that some core has nothing to do at the end. The shortest are some 15 us of work.
 */
const SLICES = 128;
const SHORTEST_SLICE = 32_768;
const LONGEST_SLICE = 524_288;

/** The largest set that one worker normalises alone: 1 MiB of float32, about what a core's cache holds of it. */
export const WHOLE_SET_CELLS = 262_144;

/** Runs shorter than this do not fill the kernels' lanes: their cells are taken as columns, or get a weight each. */
const SHORT_RUN = 16;

/** Rows of a segment in the columns layout: so many that there are some 64 segments over all samples, within these bounds. */
const COLUMN_SEGMENTS = 64;
const SHORTEST_COLUMN_SEGMENT = 512;
const LONGEST_COLUMN_SEGMENT = 4096;

/** Where a set is too large for one worker, or its cells are apart. */
interface TwoPhases {
  /** Undefined where the statistics are given. */
  readonly moments: MomentsPhase | undefined;
  readonly apply: ApplyPhase;
}

export interface Plan {
  /** The geometry as the phases see it. */
  readonly geometry: Geometry;
  readonly phases: { readonly normalize: NormalizePhase } | TwoPhases;
  /** Each weight and bias entry is repeated this often in the arena: S where short runs get an entry a cell, else 1. */
  readonly repeatAffine: number;
}

export interface PlanOptions {
  readonly eps: number;
  /** Whether the sets' means are taken off; if not they count as 0. */
  readonly centred: boolean;
  /** Whether there are weights that change anything. */
  readonly affine: boolean;
  /** Whether mean and variance come with the call, one per channel (evaluation), instead of from the tensor. */
  readonly givenStatistics: boolean;
}

let last: { readonly whole: Geometry; readonly options: PlanOptions; readonly plan: Plan } | undefined;

/** How a call runs. Plans are plain data that nothing changes: a call like the one before it has the same one. */
export function makePlan(whole: Geometry, options: PlanOptions): Plan {
  if (last === undefined || !sameGeometry(last.whole, whole) || !sameOptions(last.options, options)) {
    last = { whole, options, plan: planFor(whole, options) };
  }
  return last.plan;
}

function sameOptions(a: PlanOptions, b: PlanOptions): boolean {
  return a.eps === b.eps && a.centred === b.centred && a.affine === b.affine && a.givenStatistics === b.givenStatistics;
}

function planFor(whole: Geometry, options: PlanOptions): Plan {
  const geometry = geometryFor(whole, options.affine, options.givenStatistics);
  const { n, g, k, s } = geometry;
  const given = options.givenStatistics;
  if (geometry.r > 1 || given) {
    const moments = given ? undefined : makeMomentsPhase(geometry, options.centred);
    return { geometry, phases: { moments, apply: { kind: "apply", ...byChannel(geometry) } }, repeatAffine: 1 };
  }
  const length = cellsPerSet(geometry);
  const run = runOf(geometry);
  const byCell = hasEntryPerCell(geometry);
  const repeatAffine = byCell ? s : 1;
  if (length <= WHOLE_SET_CELLS) {
    const { eps, centred } = options;
    const units = slices(n * g, length);
    const normalize: NormalizePhase = { kind: "normalize", length, groups: g, run, eps, centred, ...units };
    return { geometry, phases: { normalize }, repeatAffine };
  }
  const moments = makeMomentsPhase(geometry, options.centred);
  const apply: ApplyPhase = byCell
    ? { kind: "apply", layout: "cells", length, groups: g, ...segments(n * g, length) }
    : { kind: "apply", layout: "runs", length: run, period: g * k, rows: 1, ...segments(n * g * k, run) };
  return { geometry, phases: { moments, apply }, repeatAffine };
}

/** The geometry as far as the arithmetic has to tell channels and samples apart. */
export function geometryFor(whole: Geometry, affine: boolean, givenStatistics: boolean): Geometry {
  const geometry = affine ? whole : withoutChannels(whole);
  return givenStatistics ? withoutSamples(geometry) : geometry;
}

/** Cells in a row that share a weight and bias: 1 where those runs are short and a set is one piece, so that each cell gets its own. */
export function runOf(geometry: Geometry): number {
  return hasEntryPerCell(geometry) ? 1 : geometry.s;
}

/** Whether sets of consecutive cells get an entry of weight and bias for each cell. */
export function hasEntryPerCell({ k, s }: Geometry): boolean {
  return k > 1 && s < SHORT_RUN;
}

/** Moments of the sets of any geometry. */
export function makeMomentsPhase(geometry: Geometry, centred: boolean): MomentsPhase {
  const { n, r, g, k, s } = geometry;
  const length = k * s;
  if (r === 1 || length >= SEGMENT_CELLS) return setMoments(n * r * g, length, centred);
  if (length < SHORT_RUN) return { kind: "moments", ...columns(n, r, g * length) };
  const perSegment = Math.floor(SEGMENT_CELLS / length);
  const units = n * Math.ceil(r / perSegment) * g;
  const size = slices(units, Math.min(r, perSegment) * length);
  return { kind: "moments", layout: "runs", length, groups: g, rows: r, perSegment, ...size };
}

/** Moments of stretches of consecutive cells. */
function setMoments(stretches: number, length: number, centred: boolean): MomentsPhase {
  return { kind: "moments", layout: "sets", length, centred, ...segments(stretches, length) };
}

/** Units that are blocks of rows by tiles of columns. */
export function columns(samples: number, rows: number, width: number) {
  const wanted = Math.ceil((samples * rows) / COLUMN_SEGMENTS);
  const perSegment = Math.min(Math.max(wanted, SHORTEST_COLUMN_SEGMENT), LONGEST_COLUMN_SEGMENT);
  const units = samples * Math.ceil(rows / perSegment) * Math.ceil(width / COLUMN_TILE);
  const size = slices(units, Math.min(rows, perSegment) * Math.min(width, COLUMN_TILE));
  return { layout: "columns" as const, rows, width, perSegment, ...size };
}

/** How a table with entries for each channel, or each column, is laid on rows. */
export function byChannel({ n, r, g, k, s }: Geometry) {
  const width = g * k * s;
  if (s < SHORT_RUN) return { layout: "columns" as const, width, rows: r, ...slices(n * r, width) };
  return { layout: "runs" as const, length: s, period: g * k, rows: r, ...segments(n * r * g * k, s) };
}

/** Units that are segments of `count` stretches of `length` cells. */
export function segments(count: number, length: number): { units: number; unitsPerSlice: number } {
  return slices(count * Math.ceil(length / SEGMENT_CELLS), Math.min(length, SEGMENT_CELLS));
}

export function slices(units: number, cellsPerUnit: number): { units: number; unitsPerSlice: number } {
  const cells = Math.min(Math.max((units * cellsPerUnit) / SLICES, SHORTEST_SLICE), LONGEST_SLICE);
  return { units, unitsPerSlice: Math.max(1, Math.floor(cells / cellsPerUnit)) };
}
