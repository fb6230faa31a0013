import { readFileSync } from "node:fs";
import { type WasmMemory, type WasmModule, wasm } from "./webassembly.js";

/** Every export of the kernel module: tests hold the build against it. */
export const KERNELS = [
  "setScratch",
  "sumsF32Blocks",
  "sumsF32Exact",
  "pivotF32",
  "momentsF32Sets",
  "momentsF32Runs",
  "momentsF32Columns",
  "applyF32Plain",
  "applyF32Run",
  "applyF32Cells",
  "applyF32Runs",
  "applyF32SetCells",
  "applyF32Columns",
  "fuseF32Plain",
  "fuseF32Run",
  "fuseF32Cells",
  "normalizeF32Sets",
  "doubleF32Run",
] as const;

/** The kernels that are called from JavaScript. Addresses are bytes, counts are cells or units; workers/kernels/ documents each. */
export interface Kernels {
  setScratch(address: number): void;
  momentsF32Sets(x: number, partials: number, first: number, count: number, length: number, centred: boolean): void;
  momentsF32Runs(
    x: number,
    partials: number,
    first: number,
    count: number,
    length: number,
    groups: number,
    samples: number,
    perSegment: number,
  ): void;
  momentsF32Columns(x: number, partials: number, rows: number, width: number, stride: number): void;
  applyF32Run(x: number, y: number, n: number, mean: number, scale: number, shift: number): void;
  applyF32Cells(x: number, y: number, n: number, mean: number, rstd: number, weight: number, bias: number): void;
  applyF32Runs(x: number, y: number, first: number, count: number, length: number, period: number, table: number): void;
  applyF32SetCells(
    x: number,
    y: number,
    first: number,
    count: number,
    length: number,
    groups: number,
    table: number,
    weight: number,
    bias: number,
  ): void;
  applyF32Columns(x: number, y: number, first: number, count: number, width: number, table: number): void;
  normalizeF32Sets(
    x: number,
    y: number,
    first: number,
    count: number,
    length: number,
    groups: number,
    run: number,
    weight: number,
    bias: number,
    eps: number,
    moments: number,
    centred: boolean,
  ): void;
  doubleF32Run(x: number, y: number, n: number): void;
}

let compiled: WasmModule | undefined;

/** The built kernels, compiled once a process. */
export function kernelModule(): WasmModule {
  compiled ??= new wasm.Module(readFileSync(new URL("./kernels.wasm", import.meta.url)));
  return compiled;
}

/** An instance of the kernels over the arena, with its own scratch slot. */
export function instantiate(module: WasmModule, memory: WasmMemory, scratch: number): Kernels {
  const instance = new wasm.Instance(module, { env: { memory } });
  // The build compiles the module from workers/kernels/index.ts; a test holds its exports against this interface.
  const kernels = instance.exports as unknown as Kernels;
  kernels.setScratch(scratch);
  return kernels;
}
