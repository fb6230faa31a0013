// What the main thread and a worker say to each other. Workers import this module and nothing else of src.
import type { WasmMemory, WasmModule } from "../workers/webassembly.js";

/** Cells of a segment, the unit of arithmetic. The kernels hold the same number. */
export const SEGMENT_CELLS = 16_384;

/** Int32 indices into a call's control block. */
export const CONTROL = {
  /** The next slice to claim; workers add 1. */
  cursor: 0,
  /** Not 0: claim no more slices. Written by the main thread, read before each claim. */
  abort: 1,
  /** Slices finished; workers add 1. */
  done: 2,
} as const;
export const CONTROL_BYTES = 12;

/** An address that names nothing: no weight, no table, no moments wanted. The arena never hands out address 0. */
export const NONE = 0;

/** How cells are stored, as the kernels know it. */
export const CELLS = { float32: 0, float64: 1, float16: 2, bfloat16: 3, uint8: 4 } as const;
export type CellsCode = (typeof CELLS)[keyof typeof CELLS];

export const CELL_BYTES: { readonly [Code in CellsCode]: number } = {
  [CELLS.float32]: 4,
  [CELLS.float64]: 8,
  [CELLS.float16]: 2,
  [CELLS.bfloat16]: 2,
  [CELLS.uint8]: 1,
};

/** Bytes of a result's cell: of uint8 input results are float32. */
export function resultBytesOf(cells: CellsCode): number {
  return CELL_BYTES[cells === CELLS.uint8 ? CELLS.float32 : cells];
}

/** Scratch of one thread at the foot of the arena: a slot each, a cache-line pair apart so that no two threads share one. */
export const SCRATCH_BYTES = 128;
export const SCRATCH_SLOTS = 512;
/** Slot 0 is the main thread's, and as many again are left for threads that replace crashed ones. */
export const MAX_THREADS = 255;

/** Columns of a unit in the columns layouts. */
export const COLUMN_TILE = 512;
/**
 * A task's stage: a segment of each of two inputs as float32, then four float64 of each column of a tile. Only calls
 * that convert cells or go by columns have one.
 */
export const STAGE_BYTES = 2 * SEGMENT_CELLS * 4 + 4 * COLUMN_TILE * 8;
/** Where the columns' part of a stage starts. */
export const STAGE_COLUMNS = 2 * SEGMENT_CELLS * 4;

/** A phase is `units` units of work in memory order; a slice is `unitsPerSlice` of them. */
interface Units {
  readonly units: number;
  readonly unitsPerSlice: number;
}

/** Moments and apply at once. Unit: a set of `length` consecutive cells; weight and bias have one entry a `run` of cells. */
export interface NormalizePhase extends Units {
  readonly kind: "normalize";
  readonly length: number;
  readonly groups: number;
  readonly run: number;
  readonly eps: number;
  /** Whether the mean is taken off; if not it counts as 0 (RMSNorm). */
  readonly centred: boolean;
}

/** A block of `perSegment` of a sample's `rows` rows, by a tile of their `width` columns; every column of it is a segment. */
interface ColumnUnits {
  readonly layout: "columns";
  readonly rows: number;
  readonly width: number;
  readonly perSegment: number;
}

/** Moments of each segment, to be merged by set. */
export type MomentsPhase = Units & { readonly kind: "moments" } & (
    | {
        /** Stretches of `length` consecutive cells; not centred, means count as 0. Unit: a segment. */
        readonly layout: "sets";
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
    | ColumnUnits
  );

/** Where a known table says what becomes of a cell. */
type ByTable =
  | {
      /** Runs of `length` cells, `period` a row, `rows` rows a sample: each sample has `period` table rows. Unit: a segment. */
      readonly layout: "runs";
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
         * Where the operands have a weight it is one for each cell of a row, and g counts times that.
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
    | ColumnUnits
  );

/** Gradients of parameters that each cell of a sample has its own of. Unit: a block of `perBlock` samples by a tile of columns. */
export interface AccumulatePhase extends Units {
  readonly kind: "accumulate";
  readonly samples: number;
  readonly perBlock: number;
  readonly length: number;
  readonly groups: number;
  /** Cells from a sample to the next. */
  readonly pitch: number;
  /** Whether the gradients are added to what is there: of a block's earlier samples. */
  readonly continues: boolean;
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
  readonly centred: boolean;
  /** Whether weight and bias have an entry a cell: their gradients are then summed by unit, else by run. */
  readonly byCell: boolean;
  /** Whether gradients by unit are added to what is there: of a unit's earlier sets. */
  readonly continues: boolean;
}

/** LocalResponseNorm, or with `g` its gradient. Unit: a tile of positions of a sample's `channels` rows of `space` cells. */
export interface ResponsePhase extends Units {
  readonly kind: "response";
  readonly channels: number;
  readonly space: number;
  readonly tile: number;
  readonly size: number;
  readonly alpha: number;
  readonly beta: number;
  readonly k: number;
  /** Bytes that a task needs after its stage. */
  readonly scratchBytes: number;
}

/** y = 2x, what the bench measures a machine's limit with. Unit: `length` cells. */
interface DoublePhase extends Units {
  readonly kind: "double";
  readonly length: number;
}

export type Phase =
  | NormalizePhase
  | MomentsPhase
  | ApplyPhase
  | ReducePhase
  | AccumulatePhase
  | PropagatePhase
  | DifferentiatePhase
  | ResponsePhase
  | DoublePhase;

/** Cells on shared memory that is not the arena's: of any size, so workers stage them, a tile at a time. */
interface SharedStorage {
  readonly kind: "shared";
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
}

/** Where a tensor's cells are: at an address in the arena, where kernels work on them, or elsewhere, where only workers/storage.ts does. */
export type Storage = number | SharedStorage;

/** Byte addresses in the arena; NONE where there is none. All but x, g and y are float64. */
export interface Operands {
  /** How the cells of x, g and y are stored. */
  readonly cells: CellsCode;
  readonly x: Storage;
  /** Gradients of the output. */
  readonly g: Storage;
  readonly y: Storage;
  readonly weight: number;
  readonly bias: number;
  /** What apply and propagate look up: {mean, scale, shift}, {mean, a, b, c}; for columns an array of each. For reduce, columns' means. */
  readonly table: number;
  /** {mean, rstd} of each set. */
  readonly statistics: number;
  /** What a phase found out for each segment, to be merged. */
  readonly partials: number;
  /** {mean, M2} of each set, where they are wanted. */
  readonly moments: number;
  /** The first task's stage; each task has `stageBytes` of its own. */
  readonly stage: number;
  readonly stageBytes: number;
}

/** Operands that kernels can work on as they are: whole tensors in the arena, or tiles. */
export interface Addresses extends Operands {
  readonly x: number;
  readonly g: number;
  readonly y: number;
}

/** Operands with nothing but input and output. */
export function operandsOf(cells: CellsCode, x: Storage, y: Storage): Operands {
  return {
    cells,
    x,
    g: NONE,
    y,
    weight: NONE,
    bias: NONE,
    table: NONE,
    statistics: NONE,
    partials: NONE,
    moments: NONE,
    stage: NONE,
    stageBytes: 0,
  };
}

/** A worker's task: claim slices of one phase until none is left. */
export interface PhaseTask {
  readonly phase: Phase;
  readonly operands: Operands;
  readonly control: SharedArrayBuffer;
  /** Which of the phase's tasks it is: whose stage it takes. */
  readonly seat: number;
}

/** What a worker is born with. */
export interface WorkerData {
  readonly memory: WasmMemory;
  readonly module: WasmModule;
  /** One Int32: scratch slots taken so far. Slot 0 is the main thread's. */
  readonly slots: SharedArrayBuffer;
}

export function sliceCount(phase: Phase): number {
  return Math.ceil(phase.units / phase.unitsPerSlice);
}

/** Bytes of stage that a task of this phase needs for cells stored so. */
export function stageBytesOf(phase: Phase, cells: CellsCode): number {
  if (phase.kind === "response") return STAGE_BYTES + phase.scratchBytes;
  const columns =
    "layout" in phase && phase.layout === "columns" && (phase.kind === "moments" || phase.kind === "reduce");
  return columns || cells >= CELLS.float16 ? STAGE_BYTES : 0;
}
