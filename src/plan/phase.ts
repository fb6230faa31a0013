// The phases: sweeps over the units of a tensor, as plain data that follows from the tensor alone. N R G K S are those of geometry.ts.
import { CELL_BYTES, type Dtype } from "./cells.js";

/**
 * What a set's cells are divided by: their deviation from the mean, which is taken off; their root mean square (RMSNorm); or their
 * length (UnitNorm). Where no mean is taken off it counts as 0.
 */
export type Measure = "deviation" | "rootMeanSquare" | "length";

/** A phase is `units` units of work in memory order. */
interface Units {
  readonly units: number;
}

/** Moments and apply at once. Unit: a set of `length` consecutive cells; weight and bias have one entry a `run` of cells. */
export interface NormalizePhase extends Units {
  readonly kind: "normalize";
  readonly length: number;
  readonly groups: number;
  readonly run: number;
  readonly eps: number;
  readonly measure: Measure;
}

/** A block of `perSegment` of a sample's `rows` rows, by a tile of their `width` columns; every column of it is a segment. */
interface Columns {
  readonly layout: "columns";
  readonly rows: number;
  readonly width: number;
  readonly perSegment: number;
}

/** Moments of each segment, to be merged by set. */
export type MomentsPhase = Units & { readonly kind: "moments" } & (
    | {
        /** Stretches of `length` consecutive cells; not centred, means count as 0. Unit: a segment. */
        readonly layout: "stretches";
        readonly length: number;
        readonly centred: boolean;
      }
    | {
        /** Unit: a segment of `perSegment` of a sample's `rows` rows, their runs of `length` cells of one group. */
        readonly layout: "runs";
        readonly length: number;
        readonly groups: number;
        readonly rows: number;
        readonly perSegment: number;
      }
    | Columns
  );

/** Where a known table says what becomes of a cell. */
export type ByTable =
  | {
      /** Stretches of `length` cells, `period` a row, `rows` rows a sample: each sample has `period` table rows. Unit: a segment. */
      readonly layout: "stretches";
      readonly length: number;
      readonly period: number;
      readonly rows: number;
    }
  | {
      /** Sets of `length` cells with a weight and bias each; set s takes table row s. Unit: a segment. */
      readonly layout: "cells";
      readonly length: number;
      readonly groups: number;
    }
  | {
      /** Column c takes entry c of its sample's table. Unit: a row. */
      readonly layout: "columns";
      readonly width: number;
      readonly rows: number;
    };

/** Applying known statistics. */
export type ApplyPhase = Units & { readonly kind: "apply" } & ByTable;

/** Gradients of the input from known sums. */
export type PropagatePhase = Units & { readonly kind: "propagate" } & ByTable;

/** Sums of g * (x - mean) and of g, of each segment, to be merged by channel or by set. */
export type ReducePhase = Units & { readonly kind: "reduce" } & (
    | {
        /**
         * Stretches of `length` cells, `period` a row, `perSet` of them a set's, `rows` rows a sample. Unit: a segment.
         * With weights it is one for each cell of a row, and g counts times that.
         */
        readonly layout: "stretches";
        readonly length: number;
        readonly period: number;
        readonly perSet: number;
        readonly rows: number;
      }
    | {
        /** Unit: a segment of `perSegment` of a sample's `rows` rows, their runs of `length` cells of one channel. */
        readonly layout: "runs";
        readonly length: number;
        readonly period: number;
        readonly perSet: number;
        readonly rows: number;
        readonly perSegment: number;
      }
    | Columns
  );

/** Gradients of parameters that each row of a sample has its own of. Unit: a segment of a row of `width` cells, a set in each column. */
export interface SumRowsPhase extends Units {
  readonly kind: "sumRows";
  readonly rows: number;
  readonly width: number;
}

/** Gradients of parameters that each cell of a sample has its own of. Unit: a block of `perBlock` samples by a tile of columns. */
export interface AccumulatePhase extends Units {
  readonly kind: "accumulate";
  readonly samples: number;
  readonly perBlock: number;
  readonly length: number;
  readonly groups: number;
}

/** Reduce and propagate at once, of sets of consecutive cells. Unit: `setsPerUnit` sets. */
export interface DifferentiatePhase extends Units {
  readonly kind: "differentiate";
  readonly setsPerUnit: number;
  readonly sets: number;
  readonly length: number;
  readonly groups: number;
  readonly run: number;
  readonly eps: number;
  readonly measure: Measure;
  /** Whether weight and bias have an entry a cell. */
  readonly byCell: boolean;
  /** Whether gradients by cell are summed over a unit's sets. */
  readonly sinks: boolean;
  /** Sets of a unit whose gradients by cell are added before they are added to the others. */
  readonly together: number;
}

/** LocalResponseNorm, or its gradient. Unit: a tile of positions of a sample's `channels` rows of `space` cells. */
export interface ResponsePhase extends Units {
  readonly kind: "response";
  readonly channels: number;
  readonly space: number;
  readonly tile: number;
  /** Channels of a window before and after the cell's own, no more than there are. */
  readonly before: number;
  readonly after: number;
  /** alpha / size, and 2 * alpha * beta / size. */
  readonly factor: number;
  readonly beta: number;
  readonly k: number;
  readonly back: number;
}

/** The longest window that is summed anew for each cell; longer ones are made of the sums of blocks. */
export const DIRECT_WINDOW = 16;

/** Rows of fewer columns are applied many at a time, with a table that is made for them. */
export const NARROW = 64;

export type Phase =
  | NormalizePhase
  | MomentsPhase
  | ApplyPhase
  | ReducePhase
  | SumRowsPhase
  | AccumulatePhase
  | PropagatePhase
  | DifferentiatePhase
  | ResponsePhase;

/** Numbers of a table row: {mean, scale, shift} of apply, {mean, a, b, c} of propagate. */
export const TABLE_FIELDS = { apply: 3, propagate: 4 } as const;

/** Entries of a sample's table; of the layout `cells`, of its sets. */
export function entriesPerSample(phase: ByTable): number {
  return phase.layout === "stretches" ? phase.period : phase.layout === "cells" ? phase.groups : phase.width;
}

/** Bytes of a weight as a phase reads it: float32, which every parameter of such cells is, where it is each cell's own; else float64. */
export function affineBytes(phase: Phase, dtype: Dtype): 4 | 8 {
  return hasWeightPerCell(phase) && dtype !== "float64" ? CELL_BYTES.float32 : CELL_BYTES.float64;
}

function hasWeightPerCell(phase: Phase): boolean {
  switch (phase.kind) {
    case "normalize":
      return phase.run === 1;
    case "apply":
    case "propagate":
      return phase.layout === "cells";
    case "reduce":
      return phase.layout === "stretches";
    case "differentiate":
      return phase.byCell;
    default:
      return false;
  }
}
