import type { Phase } from "../plan/phase.js";

/** Who computes a call's phases: the calling thread at once, it and the workers together, or the workers. */
export type Placement = "calling thread" | "shared" | "workers";

/** What else decides where a call is computed. */
export interface PlacedCall {
  /** Whether a signal or progress reports are asked for. */
  readonly watched: boolean;
  /** Whether a tensor's driver may wait for a device. */
  readonly onDevice: boolean;
}

/** Decides where a call on so many cells is computed. */
export type Placer = (cells: number, phases: readonly Phase[], call: PlacedCall) => Placement;

export const IN_MEMORY: PlacedCall = { watched: false, onDevice: false };

/**
 * Up to so many cells a call computes on the calling thread. Handing a phase to workers and back takes about as long as one thread
 * needs for half of them (`npm run bench -- latency`), and it blocks the event loop for less than half a millisecond.
 */
const INLINE_CELLS = 131_072;
/**
 * Up to so many cells the calling thread takes slices beside the workers: by the time that these have the message, part of the work is done,
 * and nobody has to be told the end. Not where progress or a signal is asked for, and only of phases so light that the event
 * loop is blocked for about half a millisecond at most.
 */
const SHARED_CELLS = 1_048_576;
/** LocalResponseNorm takes so many times as long as the others: a power a cell. */
const RESPONSE = 16;
const LIGHT: ReadonlySet<Phase["kind"]> = new Set(["normalize", "moments", "apply"]);

export const byCells: Placer = (cells, phases, { watched, onDevice }) => {
  if (onDevice) return "workers";
  const weight = phases[0]?.kind === "response" ? RESPONSE : 1;
  if (cells * weight <= INLINE_CELLS) return "calling thread";
  if (cells > SHARED_CELLS || watched) return "workers";
  return phases.every(({ kind }) => LIGHT.has(kind)) ? "shared" : "workers";
};
