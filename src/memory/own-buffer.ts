// How a region of a shared memory gets a buffer object of its own, whose life is the region's.
import type { WasmMemory } from "../../workers/webassembly.js";

/** A SharedArrayBuffer object over the memory's bytes that nobody else has. */
type OwnBuffer = (memory: WasmMemory) => SharedArrayBuffer;

const { structuredClone } = globalThis;

/** After each `grow` the memory has another object: the one before is nobody's. Takes 0.3 us. */
const grown: OwnBuffer = (memory) => {
  const { buffer } = memory;
  memory.grow(0);
  return buffer;
};

/** Where it does not (JavaScriptCore; the specification may come to allow it) a copy shares the bytes, and is an object of its own. Takes 2 us. */
const cloned: OwnBuffer = ({ buffer }) => structuredClone(buffer);

/** The way that this engine has; undefined where it has none. The memory's first byte must be unused and 0. */
export function findOwnBuffer(memory: WasmMemory): OwnBuffer | undefined {
  return [grown, cloned].find((own) => makesOwn(memory, own));
}

function makesOwn(memory: WasmMemory, own: OwnBuffer): boolean {
  try {
    const made = [own(memory), own(memory), memory.buffer] as const;
    const [first, ...bytes] = made.map((buffer) => new Uint8Array(buffer)) as [Uint8Array, ...Uint8Array[]];
    first[0] = 1;
    const shared = bytes.every(([byte]) => byte === 1);
    first[0] = 0;
    return shared && new Set(made).size === made.length;
  } catch {
    return false;
  }
}
