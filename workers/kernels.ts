// The built kernels, over an arena.
import { readFileSync } from "node:fs";
import type { Dtype } from "../src/plan/cells.js";
import { ARITHMETIC, type Arithmetic, CELL_CODES, exportName } from "./arithmetic.js";
import { type WasmMemory, type WasmModule, wasm } from "./webassembly.js";

export interface Kernels {
  /** What they work on. */
  readonly memory: WasmMemory;
  readonly float32: Arithmetic;
  readonly float64: Arithmetic;
  /** What the next kernels' tensors hold, and the address of this thread's stage. */
  setCells(dtype: Dtype, stage: number): void;
}

let compiled: WasmModule | undefined;

/** The built kernels, compiled once a process. */
export function kernelModule(): WasmModule {
  compiled ??= new wasm.Module(readFileSync(new URL("./kernels.wasm", import.meta.url)));
  return compiled;
}

/** An instance of the kernels over the arena, with its own scratch slot. */
export function instantiate(module: WasmModule, memory: WasmMemory, scratch: number): Kernels {
  const { exports } = new wasm.Instance(module, { env: { memory } });
  // The build compiles the module from workers/kernels/index.ts; a test holds its exports against the lists above.
  const raw = exports as Readonly<Record<string, unknown>>;
  const ofType = (type: "F32" | "F64") =>
    Object.fromEntries(ARITHMETIC.map((kernel) => [kernel, raw[exportName(kernel, type)]])) as unknown as Arithmetic;
  const { setScratch, setCells } = exports as unknown as {
    setScratch(address: number): void;
    setCells(code: number, stage: number): void;
  };
  setScratch(scratch);
  return {
    memory,
    float32: ofType("F32"),
    float64: ofType("F64"),
    setCells: (dtype, stage) => setCells(CELL_CODES[dtype], stage),
  };
}
