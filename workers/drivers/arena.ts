import type { ArenaSpec } from "../../src/storage/spec.js";
import type { WasmMemory } from "../webassembly.js";
import { arenaBuffer } from "./copy.js";
import { type Driver, LINE, type Runs } from "./driver.js";
import { shared } from "./shared.js";

/** Tensors in the arena: they are staged only where a tile's runs lie apart, as any other shared memory. */
export const arena: Driver<ArenaSpec> = {
  addressOf: ({ address }, at) => address + at,
  lineOffsetOf: ({ address }, at) => (address + at) % LINE,
  load: (spec, runs, memory, to) => shared.load(sharedOf(spec, runs, memory), runs, memory, to),
  store: (spec, runs, memory, from, cached) => shared.store(sharedOf(spec, runs, memory), runs, memory, from, cached),
};

function sharedOf({ address }: ArenaSpec, { at, rows, bytes, stride }: Runs, memory: WasmMemory) {
  const buffer = arenaBuffer(memory, address + at + (rows - 1) * stride + bytes);
  return { kind: "shared", buffer, byteOffset: address } as const;
}
