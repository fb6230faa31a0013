// Parts: runs of units of a phase that are done, synced and noted one after the other, so that a call can be gone on with where it was interrupted.
import type { Phase } from "./phase.js";
import type { Step } from "./plan.js";
import { cellsPerUnit } from "./slices.js";

/** Cells of a part, about: of float32 256 MiB, which a disk takes in the time that a dozen notes cost, or more. */
export const PART_CELLS = 1 << 26;

/** What is known of a call's parts, which are numbered in the order of its plan. */
export interface PartLog {
  /** Whether an earlier run of the same call finished it: its results are there. */
  has(part: number): boolean;
  /** It is finished: notes that, once its results are safe. */
  finish(part: number): void;
  /** Waits for all notes. */
  settled(): Promise<void>;
}

/** Whether a phase's parts may be left out where their results are there: it leaves nothing else. */
export function isInParts({ writes }: Step): boolean {
  return writes.length === 1 && writes[0] === "y";
}

/** Units [from, to) of each part of a phase. */
export function* partsOfPhase(phase: Phase, cells = PART_CELLS): Generator<{ from: number; to: number }> {
  const step = Math.max(1, Math.floor(cells / cellsPerUnit(phase)));
  for (let from = 0; from < phase.units; from += step) yield { from, to: Math.min(phase.units, from + step) };
}
