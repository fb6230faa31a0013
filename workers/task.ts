// What the calling thread and a worker say to each other.
import type { Phase } from "../src/plan/phase.js";
import type { Slices } from "../src/plan/slices.js";
import type { Operands } from "./operands.js";
import type { WasmMemory, WasmModule } from "./webassembly.js";

/** Int32 indices into a phase's control block. */
export const CONTROL = {
  /** The next slice to claim; workers add 1. */
  cursor: 0,
  /** Not 0: claim no more slices. Written by the calling thread, read before each claim. */
  stop: 1,
  /** Slices finished; workers add 1. */
  done: 2,
} as const;
export const CONTROL_BYTES = 12;

/** Whose stage a task has: `bytes` for each seat, seat after seat. */
export interface Stages {
  readonly address: number;
  readonly bytes: number;
}

/** A worker's task: claim slices of one phase until none is left, or it is told to stop. */
export interface PhaseTask {
  readonly phase: Phase;
  readonly slices: Slices;
  readonly operands: Operands;
  readonly control: SharedArrayBuffer;
  readonly stages: Stages;
  /** Of those who work at the same time, each has another. */
  readonly seat: number;
}

/** What a worker is born with. */
export interface WorkerData {
  readonly memory: WasmMemory;
  readonly module: WasmModule;
  /** One Int32: scratch slots taken so far. Slot 0 is the calling thread's. */
  readonly slots: SharedArrayBuffer;
  /** Modules whose drivers are added to the worker's own: those of tests. */
  readonly drivers: readonly string[];
}
