// The backward pass as phases: what plan.ts is for the forward one.
import { affineCount, cellsPerSet, type Geometry, setCount } from "./geometry.js";
import {
  byChannel,
  columns,
  geometryFor,
  hasEntryPerCell,
  makeMomentsPhase,
  runOf,
  segments,
  slices,
  WHOLE_SET_CELLS,
} from "./plan.js";
import {
  type AccumulatePhase,
  COLUMN_TILE,
  type DifferentiatePhase,
  type MomentsPhase,
  type Phase,
  type PropagatePhase,
  type ReducePhase,
  SEGMENT_CELLS,
} from "./protocol.js";

/** The widest sample whose parameters' gradients a worker sums while it computes the input's: 256 KiB of sums stay in its cache. */
const SINK_CELLS = 16_384;

/** Blocks of samples that gradients of parameters with an entry a cell are summed by: enough for many threads, each sum a block long. */
const SINK_BLOCKS = 128;

export interface BackwardPlan {
  /** The geometry as the phases see it. */
  readonly geometry: Geometry;
  /** Where the statistics have to be found first. */
  readonly moments: MomentsPhase | undefined;
  /** Gradients of parameters with an entry a cell, where `differentiate` cannot sum them. */
  readonly accumulate: AccumulatePhase | undefined;
  readonly gradients:
    | { readonly differentiate: DifferentiatePhase }
    | { readonly reduce: ReducePhase | undefined; readonly propagate: PropagatePhase };
  /** Each weight entry is repeated this often in the arena. */
  readonly repeatAffine: number;
}

export interface BackwardPlanOptions {
  readonly eps: number;
  readonly centred: boolean;
  /** Whether there are parameters: weights that change something, or gradients of them to be found. */
  readonly affine: boolean;
  /** Whether gradients of parameters are to be found. */
  readonly parameters: boolean;
  /** Running statistics: constants that no gradient flows through. */
  readonly givenStatistics: boolean;
  /** Whether the sets' moments are known. */
  readonly givenMoments: boolean;
  /** Whether the sets' sums are known. */
  readonly givenSums: boolean;
}

export function makeBackwardPlan(whole: Geometry, options: BackwardPlanOptions): BackwardPlan {
  const { eps, centred, parameters, givenStatistics, givenMoments, givenSums } = options;
  const geometry = geometryFor(whole, options.affine, givenStatistics);
  const { n, r, g, s } = geometry;
  const length = cellsPerSet(geometry);
  const byCell = r === 1 && hasEntryPerCell(geometry);
  const repeatAffine = byCell ? s : 1;
  const accumulate = byCell && parameters ? accumulatePhase(n, g, length) : undefined;
  const known = givenStatistics || givenMoments;
  const moments = known ? undefined : makeMomentsPhase(geometry, centred);
  if (r === 1 && length <= WHOLE_SET_CELLS && !givenStatistics && !givenSums) {
    const sinks = byCell && parameters && g * length <= SINK_CELLS;
    const perBlock = sinks ? Math.max(Math.ceil(n / SINK_BLOCKS), Math.ceil(SINK_CELLS / (g * length))) : 1;
    const setsPerUnit = sinks ? perBlock * g : 1;
    const sets = n * g;
    const differentiate: DifferentiatePhase = {
      kind: "differentiate",
      setsPerUnit,
      sets,
      length,
      groups: g,
      run: byCell ? 1 : runOf(geometry),
      eps,
      centred,
      byCell,
      continues: false,
      ...slices(Math.ceil(sets / setsPerUnit), setsPerUnit * length),
    };
    if (accumulate === undefined || sinks) {
      return { geometry, moments: undefined, accumulate: undefined, gradients: { differentiate }, repeatAffine };
    }
    return { geometry, moments, accumulate, gradients: { differentiate }, repeatAffine };
  }
  const needsSums = (parameters && accumulate === undefined) || !(givenStatistics || givenSums);
  const reduce = needsSums ? reducePhase(geometry, byCell) : undefined;
  const propagate: PropagatePhase = byCell
    ? { kind: "propagate", layout: "cells", length, groups: g, ...segments(setCount(geometry), length) }
    : { kind: "propagate", ...byChannel(geometry) };
  return { geometry, moments, accumulate, gradients: { reduce, propagate }, repeatAffine };
}

/** The plan's phases in the order in which they run. */
export function backwardPhasesOf({ moments, accumulate, gradients }: BackwardPlan): Phase[] {
  const last = "differentiate" in gradients ? [gradients.differentiate] : [gradients.reduce, gradients.propagate];
  return [moments, accumulate, ...last].filter((phase) => phase !== undefined);
}

/** The reduce phase of a geometry: with a weight for each cell by set, else by channel or column. */
export function reducePhase(geometry: Geometry, byCell: boolean): ReducePhase {
  const { n, r, g, k, s } = geometry;
  if (byCell) return stretches(n * g, cellsPerSet(geometry), g, 1, 1);
  const channels = affineCount(geometry);
  const lookup = byChannel(geometry);
  if (lookup.layout === "columns" && r > 1) return { kind: "reduce", ...columns(n, r, lookup.width) };
  if (r === 1 || s >= SEGMENT_CELLS) return stretches(n * r * channels, s, channels, k, r);
  const perSegment = Math.floor(SEGMENT_CELLS / s);
  const size = slices(n * Math.ceil(r / perSegment) * channels, Math.min(r, perSegment) * s);
  return { kind: "reduce", layout: "runs", length: s, period: channels, perSet: k, rows: r, perSegment, ...size };
}

function stretches(count: number, length: number, period: number, perSet: number, rows: number): ReducePhase {
  return { kind: "reduce", layout: "stretches", length, period, perSet, rows, ...segments(count, length) };
}

function accumulatePhase(samples: number, groups: number, length: number): AccumulatePhase {
  const width = groups * length;
  const tiles = Math.ceil(width / COLUMN_TILE);
  // Where there are many tiles there is work for all threads without cutting the samples.
  const blocks = Math.max(1, Math.ceil(SINK_BLOCKS / tiles));
  const perBlock = Math.ceil(samples / blocks);
  const units = Math.ceil(samples / perBlock) * tiles;
  const size = slices(units, perBlock * Math.min(COLUMN_TILE, width));
  return { kind: "accumulate", samples, perBlock, length, groups, pitch: width, continues: false, ...size };
}
