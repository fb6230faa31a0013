// What the calling thread and a worker say to each other.
import type { Phase } from "../src/plan/phase.js";
import type { Slices } from "../src/plan/slices.js";
import type { Control } from "./control.js";
import type { Operands } from "./operands.js";
import type { WasmMemory, WasmModule } from "./webassembly.js";

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
  readonly control: Control;
  readonly stages: Stages;
  /** Of those who work at the same time, each has another. */
  readonly seat: number;
  /** Whether each tile is noted, so that a slice can go on where it was lost: for what cannot be done twice. */
  readonly logged: boolean;
}

/** What a worker is born with. */
export interface WorkerData {
  readonly memory: WasmMemory;
  readonly module: WasmModule;
  /** Its seat's scratch. Slot 0 is the calling thread's. */
  readonly slot: number;
  /** One Int32: 1 when it is ready for tasks. */
  readonly ready: SharedArrayBuffer;
  /** Modules that are added to the worker's own: those of tests. */
  readonly modules: readonly string[];
}
