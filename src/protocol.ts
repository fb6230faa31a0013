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

/** Scratch of one thread at the foot of the arena: a slot each, a cache-line pair apart so that no two threads share one. */
export const SCRATCH_BYTES = 128;
export const SCRATCH_SLOTS = 512;
/** Slot 0 is the main thread's, and as many again are left for threads that replace crashed ones. */
export const MAX_THREADS = 255;

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

/** Moments of each segment, to be merged by set. */
export type MomentsPhase = Units & { readonly kind: "moments" } & (
    | {
        /** Sets of `length` consecutive cells; not centred, means count as 0. Unit: a segment. */
        readonly layout: "sets";
        readonly length: number;
        readonly centred: boolean;
      }
    | {
        /** Unit: a segment of `perSegment` samples' runs of `length` cells of one group. */
        readonly layout: "runs";
        readonly length: number;
        readonly groups: number;
        readonly samples: number;
        readonly perSegment: number;
      }
    | {
        /** Unit: `perSegment` samples by `tile` columns of `width`; every column of it is a segment. */
        readonly layout: "columns";
        readonly samples: number;
        readonly width: number;
        readonly perSegment: number;
        readonly tile: number;
      }
  );

/** Applying known statistics. */
export type ApplyPhase = Units & { readonly kind: "apply" } & (
    | {
        /** Runs of `length` cells; run r takes table row r % period. Unit: a segment. */
        readonly layout: "runs";
        readonly length: number;
        readonly period: number;
      }
    | {
        /** Sets of `length` cells with a weight and bias each; set s takes table row s. Unit: a segment. */
        readonly layout: "cells";
        readonly length: number;
        readonly groups: number;
      }
    | { /** Column c takes table entry c. Unit: a row. */ readonly layout: "columns"; readonly width: number }
  );

/** y = 2x, what the bench measures a machine's limit with. Unit: `length` cells. */
interface DoublePhase extends Units {
  readonly kind: "double";
  readonly length: number;
}

export type Phase = NormalizePhase | MomentsPhase | ApplyPhase | DoublePhase;

/** Byte addresses in the arena; NONE where there is none. Weight, bias, table, partials and moments are float64. */
export interface Operands {
  readonly x: number;
  readonly y: number;
  readonly weight: number;
  readonly bias: number;
  /** Table rows {mean, scale, shift}; for columns the three arrays mean[], scale[], shift[]. */
  readonly table: number;
  /** {mean, M2} of each segment. */
  readonly partials: number;
  /** {mean, M2} of each set, where they are wanted. */
  readonly moments: number;
}

/** Operands with nothing but input and output. */
export function operandsOf(x: number, y: number): Operands {
  return { x, y, weight: NONE, bias: NONE, table: NONE, partials: NONE, moments: NONE };
}

/** A worker's task: claim slices of one phase until none is left. */
export interface PhaseTask {
  readonly phase: Phase;
  readonly operands: Operands;
  readonly control: SharedArrayBuffer;
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
