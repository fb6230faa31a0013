// What a call does, as plain data: it may be written as JSON, sent to another machine, and run there. It follows from the tensor and the layer
// alone: no address, no thread, nothing of who runs it.
import { CELL_BYTES, type Dtype } from "./cells.js";
import type { Geometry } from "./geometry.js";
import {
  type ApplyPhase,
  affineBytes,
  type Measure,
  type MomentsPhase,
  type Phase,
  type PropagatePhase,
  type ReducePhase,
} from "./phase.js";

/** Changes when a plan would be read, or computed, in another way. */
export const PLAN_VERSION = 2;

/** What a step reads or writes: the call's tensors and parameters, and what one step leaves for another. */
export type Role =
  /** Input, gradient of the output, and result: tensors of the same shape. */
  | "x"
  | "g"
  | "y"
  /** Parameters in float64, each entry repeated `affineRepeat` times. */
  | "weight"
  | "bias"
  /** What a phase found out of each segment, unit or run. */
  | "partials"
  /** {sum for the weight, for the bias} of each block of samples, by cell. Kept from stripe to stripe while they lie in one block. */
  | "cellSums"
  /** {mean, M2} of each set. */
  | "moments"
  /** {mean, rstd} of each set. */
  | "statistics"
  /** The mean of each column's set. */
  | "means"
  /** What apply or propagate looks up. */
  | "table"
  /** {sum of g * (x - mean), sum of g} of each sample's channel, and weighted of each set. */
  | "sums"
  | "totals"
  /** Of weight and bias: what a backward call is for. */
  | "gradients";

export type TableRole = Exclude<Role, "x" | "g" | "y" | "gradients">;

/** Where a call's statistics come from: the tensor itself, moments of each set that come with the call, or running ones of each channel. */
export type StatisticsSource = "own" | "moments" | "running";

interface Flow {
  readonly reads: readonly Role[];
  readonly writes: readonly Role[];
}

/** A sweep over the tensors' cells: what workers do. */
export type PhaseStep = Flow & { readonly kind: "phase"; readonly phase: Phase };

/** What happens between phases, to numbers of sets, channels and columns: src/merge/ has a function for each. */
export type BetweenStep = Flow &
  (
    | { readonly kind: "mergeMoments"; readonly phase: MomentsPhase }
    | {
        readonly kind: "fillTable";
        readonly phase: ApplyPhase;
        readonly from: StatisticsSource;
        readonly eps: number;
        readonly measure: Measure;
        /** Whether a mean near 0 is folded into the shift: of cells that are then computed on in float32. */
        readonly folded: boolean;
      }
    | {
        readonly kind: "fillStatistics";
        readonly from: StatisticsSource;
        readonly eps: number;
        readonly measure: Measure;
      }
    | { readonly kind: "fillMeans"; readonly width: number }
    /** Adds partials of segments, by sample's channel or set. */
    | { readonly kind: "addSums"; readonly phase: ReducePhase }
    /** Adds sums, times their weights, by set; `given` sums come with the call. */
    | { readonly kind: "sumSets"; readonly width: number; readonly given: boolean }
    | {
        readonly kind: "fillPropagation";
        readonly phase: PropagatePhase;
        readonly measure: Measure;
        readonly eps: number;
        /** Cells that a set's sums are of; null where they come with the call. */
        readonly count: number | null;
        /** Whether a mean may be folded into c: float64 arithmetic has digits to spare, unless its cells are float64 too. */
        readonly folded: boolean;
      }
    /** Adds to the parameters' gradients: sums by a sample's cell of each block, by run of each set, by row, or by channel. */
    | { readonly kind: "addCellGradients"; readonly cells: number }
    | { readonly kind: "addRunGradients"; readonly runs: number }
    | { readonly kind: "addRowGradients"; readonly rows: number; readonly width: number }
    | { readonly kind: "addChannelGradients"; readonly width: number }
  );

export type Step = PhaseStep | BetweenStep;

export interface Plan {
  readonly version: typeof PLAN_VERSION;
  /** Of the input. */
  readonly dtype: Dtype;
  /** The geometry as the steps see it. */
  readonly geometry: Geometry;
  /** Whether weight and bias have an entry a row, and not one an affine index. */
  readonly affineRows: boolean;
  /** Each weight and bias entry counts for so many in a row: S where short runs get an entry a cell, else 1. */
  readonly affineRepeat: number;
  /** In the order in which they run. */
  readonly steps: readonly Step[];
}

export function phasesOf({ steps }: Plan): Phase[] {
  return steps.flatMap((step) => (step.kind === "phase" ? [step.phase] : []));
}

/**
 * Whether weights and biases lie as float32, which each parameter of such cells is: where only phases read them, of which each cell has its own. Else
 * they are float64.
 */
export function isPacked({ dtype, steps }: Pick<Plan, "dtype" | "steps">): boolean {
  const readers = steps.filter(({ reads }) => reads.includes("weight"));
  return readers.every((step) => step.kind === "phase" && affineBytes(step.phase, dtype) === CELL_BYTES.float32);
}
