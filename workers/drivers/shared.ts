import type { SharedSpec } from "../../src/storage/spec.js";
import { arenaBuffer, copy } from "./copy.js";
import { type Driver, LINE, type Runs } from "./driver.js";

/** Tensors on shared memory that is not the arena's. */
export const shared: Driver<SharedSpec> = {
  lineOffsetOf: ({ byteOffset }, at) => (byteOffset + at) % LINE,

  load(spec, runs, memory, to) {
    const { rows, bytes } = runs;
    copy(
      runsOf(spec, runs),
      { buffer: arenaBuffer(memory, to + rows * bytes), at: to, stride: bytes },
      rows,
      bytes,
      true,
    );
  },

  store(spec, runs, memory, from, cached) {
    const { rows, bytes } = runs;
    const source = { buffer: arenaBuffer(memory, from + rows * bytes), at: from, stride: bytes };
    copy(source, runsOf(spec, runs), rows, bytes, cached);
  },
};

function runsOf({ buffer, byteOffset }: SharedSpec, { at, stride }: Runs) {
  return { buffer, at: byteOffset + at, stride };
}
