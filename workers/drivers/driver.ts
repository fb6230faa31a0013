import type { Spec } from "../../src/storage/spec.js";
import type { WasmMemory } from "../webassembly.js";

/** `rows` runs of `bytes` bytes, the first at byte `at` of a tensor, `stride` bytes apart. */
export interface Runs {
  readonly at: number;
  readonly rows: number;
  readonly bytes: number;
  readonly stride: number;
}

/** What knows where the cells of one kind of spec are, and moves them to the arena and back, a tile at a time. */
export interface Driver<S extends Spec = Spec> {
  /**
   * Makes the cells ready for a call: on the calling thread, before any slice. Returns the spec that workers are sent. What it throws is the
   * call's rejection.
   */
  open?(spec: S): S;
  /** Whether loading may wait for a device: then it is never done on the calling thread where there are others. */
  readonly onDevice?: true;
  /** Throws if the cells are no longer those that were opened. On the calling thread, when all is computed and before anything is told. */
  check?(opened: S): void;
  /** Ends what `open` began, when no worker touches the cells any more; also of a call that failed. */
  close?(opened: S): void;
  /** The address of byte `at` of a tensor that kernels work on where it lies. Without it, cells are staged. */
  addressOf?(spec: S, at: number): number;
  /** The place of byte `at` in its cache line. Copying is fastest where source and target have the same. */
  lineOffsetOf(spec: S, at: number): number;
  /** Copies runs to the arena, where they lie side by side from `to` on. */
  load(spec: S, runs: Runs, memory: WasmMemory, to: number): void;
  /** Copies what lies side by side in the arena from `from` on to runs. @param cached whether the runs' lines are in the cache. */
  store(spec: S, runs: Runs, memory: WasmMemory, from: number, cached: boolean): void;
}

export const LINE = 64;
