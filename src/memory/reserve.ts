// The memory of a pool: as much address space as is wanted, or as there is.
import { type WasmMemory, wasm } from "../../workers/webassembly.js";
import { OutOfMemoryError, UnsupportedRuntimeError } from "../errors.js";

export const PAGE_BYTES = 65_536;
/** The least that is of use, in pages: 1 MiB. */
const LEAST_PAGES = 16;
/** With its trap handler V8 reserves 10 GiB for any memory; Node.js 24 goes on without it where there is too little. */
const NO_SPACE =
  "; no address space is to be had: raise its limit (ulimit -v), or start node with --disable-wasm-trap-handler, which reserves less of it";

/** A module with one instruction of SIMD. */
const SIMD = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
);

export interface Reserved {
  readonly memory: WasmMemory;
  /** What it has, and what it may grow to, if the system has it. */
  readonly pages: number;
  readonly maxPages: number;
}

/** A memory that may grow to `maxPages` pages, or to fewer where not so many are to be had. @throws UnsupportedRuntimeError, OutOfMemoryError */
export function reserve(maxPages: number): Reserved {
  if (wasm === undefined) throw new UnsupportedRuntimeError("NormPool", "none: was node started with --jitless?");
  if (!wasm.validate(SIMD))
    throw new UnsupportedRuntimeError("NormPool", "one without SIMD: is the processor older than SSE 4.1?");
  let cause: unknown;
  for (let maximum = maxPages; maximum >= LEAST_PAGES; maximum = Math.floor(maximum / 2)) {
    try {
      const memory = new wasm.Memory({ initial: 1, maximum, shared: true });
      // V8 tries less by itself, down to a memory that cannot grow at all.
      memory.grow(1);
      return { memory, pages: 2, maxPages: maximum };
    } catch (error) {
      cause = error;
    }
  }
  throw new OutOfMemoryError("NormPool", maxPages * PAGE_BYTES, 0, 0, { cause, hint: NO_SPACE });
}
