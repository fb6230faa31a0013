// Geometry -> phases of slices, as plain data. The layouts and segments follow from the tensor alone (they decide the bits);
// slices and whether one phase is enough are scheduling, and change no bit.
import { cellsPerSet, type Geometry, setCount } from "./geometry.js";
import { type ApplyPhase, type MomentsPhase, type NormalizePhase, SEGMENT_CELLS } from "./protocol.js";

/** Cells of a slice, where units are smaller: 256 KiB of float32, some 40 us of work. */
const SLICE_CELLS = 65_536;

/** The largest set that one worker normalises alone: 1 MiB of float32, about what a core's cache holds of it. */
const WHOLE_SET_CELLS = 262_144;

/** Runs shorter than this do not fill the kernels' lanes: their cells are taken as columns, or get a weight each. */
const SHORT_RUN = 16;

/** Samples of a segment in the columns layout, and columns of a unit. */
const COLUMN_SEGMENT = 512;
const COLUMN_TILE = 512;

/** Where a set is too large for one worker, or lies across samples. */
export interface TwoPhases {
  /** Undefined where the statistics are given. */
  readonly moments: MomentsPhase | undefined;
  readonly apply: ApplyPhase;
  /** Entries of the apply phase's table: which set's mean an entry holds, and which weight and bias. */
  readonly table: {
    readonly entries: number;
    readonly entriesPerSet: number;
    readonly entriesPerAffine: number;
  };
}

export interface Plan {
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

export function makePlan(geometry: Geometry, options: PlanOptions): Plan {
  if (geometry.acrossSamples || options.givenStatistics) {
    const moments = options.givenStatistics ? undefined : channelMoments(geometry);
    return { phases: { moments, ...channelApply(geometry) }, repeatAffine: 1 };
  }
  const { g, k, s } = geometry;
  const sets = setCount(geometry);
  const length = cellsPerSet(geometry);
  const onePerSet = !options.affine || k === 1;
  const run = onePerSet ? length : s < SHORT_RUN ? 1 : s;
  const repeatAffine = run === 1 && !onePerSet ? s : 1;
  if (length <= WHOLE_SET_CELLS) {
    const normalize: NormalizePhase = {
      kind: "normalize",
      length,
      groups: g,
      run,
      eps: options.eps,
      centred: options.centred,
      ...slices(sets, length),
    };
    return { phases: { normalize }, repeatAffine };
  }
  const moments = setMoments(sets, length, options.centred);
  if (run === 1) {
    const apply: ApplyPhase = { kind: "apply", layout: "cells", length, groups: g, ...segments(sets, length) };
    return {
      phases: { moments, apply, table: { entries: sets, entriesPerSet: 1, entriesPerAffine: 1 } },
      repeatAffine,
    };
  }
  const runsPerSet = length / run;
  const runs = sets * runsPerSet;
  const apply: ApplyPhase = { kind: "apply", layout: "runs", length: run, period: runs, ...segments(runs, run) };
  return {
    phases: { moments, apply, table: { entries: runs, entriesPerSet: runsPerSet, entriesPerAffine: 1 } },
    repeatAffine,
  };
}

/** Moments of sets of consecutive cells. */
export function setMoments(sets: number, length: number, centred: boolean): MomentsPhase {
  return { kind: "moments", layout: "sets", length, centred, ...segments(sets, length) };
}

/** Moments for sets of one channel across samples. */
function channelMoments({ n, g, k, s }: Geometry): MomentsPhase {
  const length = k * s;
  if (length < SHORT_RUN) {
    const width = g * length;
    const units = Math.ceil(n / COLUMN_SEGMENT) * Math.ceil(width / COLUMN_TILE);
    return {
      kind: "moments",
      layout: "columns",
      samples: n,
      width,
      perSegment: COLUMN_SEGMENT,
      tile: COLUMN_TILE,
      ...slices(units, Math.min(n, COLUMN_SEGMENT) * Math.min(width, COLUMN_TILE)),
    };
  }
  if (length >= SEGMENT_CELLS) return setMoments(n * g, length, true);
  const perSegment = Math.floor(SEGMENT_CELLS / length);
  const units = Math.ceil(n / perSegment) * g;
  return {
    kind: "moments",
    layout: "runs",
    length,
    groups: g,
    samples: n,
    perSegment,
    ...slices(units, Math.min(n, perSegment) * length),
  };
}

/** Statistics by channel, applied to all samples. */
function channelApply({ n, g, k, s }: Geometry): Pick<TwoPhases, "apply" | "table"> {
  const length = k * s;
  if (length < SHORT_RUN) {
    const width = g * length;
    const table = { entries: width, entriesPerSet: length, entriesPerAffine: length };
    return { apply: { kind: "apply", layout: "columns", width, ...slices(n, width) }, table };
  }
  const table = { entries: g, entriesPerSet: 1, entriesPerAffine: 1 };
  return { apply: { kind: "apply", layout: "runs", length, period: g, ...segments(n * g, length) }, table };
}

/** Units that are segments of `count` stretches of `length` cells. */
function segments(count: number, length: number): { units: number; unitsPerSlice: number } {
  return slices(count * Math.ceil(length / SEGMENT_CELLS), Math.min(length, SEGMENT_CELLS));
}

function slices(units: number, cellsPerUnit: number): { units: number; unitsPerSlice: number } {
  return { units, unitsPerSlice: Math.max(1, Math.floor(SLICE_CELLS / cellsPerUnit)) };
}
