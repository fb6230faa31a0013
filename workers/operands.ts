// What a phase works on, by role. Addresses are bytes in the arena; nothing above src/run/ knows one.
import type { Dtype } from "../src/plan/cells.js";
import type { Window } from "../src/plan/stripes.js";
import type { Spec } from "../src/storage/spec.js";

/** An address that names nothing: no weight, no table, no moments wanted. The arena never hands out address 0. */
export const NONE = 0;

/** One entry an affine index, in float64; where each cell has its own, in the type that the cells are computed on as: `isPacked` of the plan. */
export interface Parameters {
  readonly weight: number;
  readonly bias: number;
}

/** What a phase looks up, in float64. */
export interface Tables {
  /** {mean, scale, shift} of apply, {mean, a, b, c} of propagate; for columns an array of each. */
  readonly table: number;
  /** {mean, rstd} of each set. */
  readonly statistics: number;
  /** The mean of each column's set. */
  readonly means: number;
}

/** What a phase finds out, in float64. */
export interface Results {
  /** Of each segment, unit or run, to be merged. */
  readonly partials: number;
  /** {mean, M2} of each set, where they are wanted. */
  readonly moments: number;
}

/** The call's tensors: where they are; null where the phase has no such one. */
interface TensorSpecs {
  readonly x: Spec | null;
  /** Gradient of the output. */
  readonly g: Spec | null;
  readonly y: Spec | null;
}

/** Bytes of a tile, at most: of consecutive cells, and of columns. */
export interface TileBytes {
  readonly cells: number;
  readonly columns: number;
}

export interface Operands {
  /** Of the input. */
  readonly dtype: Dtype;
  readonly tensors: TensorSpecs;
  /** The part of each tensor that the phase is of; null: all. */
  readonly window: Window | null;
  readonly parameters: Parameters;
  readonly tables: Tables;
  readonly results: Results;
  readonly tileBytes: TileBytes;
  /** Whether sums by cell are added to what the results hold: of a block's earlier samples. */
  readonly continues: boolean;
}

export const NO_PARAMETERS: Parameters = { weight: NONE, bias: NONE };
export const NO_TABLES: Tables = { table: NONE, statistics: NONE, means: NONE };
export const NO_RESULTS: Results = { partials: NONE, moments: NONE };
