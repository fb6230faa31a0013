// Parts: runs of units of a phase that are done, synced and noted one after the other, so that a call can be gone on with where it was interrupted.
import type { Phase } from "./phase.js";
import type { PhaseStep, Plan, Step } from "./plan.js";
import { cellsPerUnit } from "./slices.js";
import type { Stripe } from "./stripes.js";

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

/** Units [from, to) of a phase, counted over all stripes of a plan. */
export interface Units {
  readonly from: number;
  readonly to: number;
}

/** What a plan is cut in where many processes run it: `moments` leaves partials, `apply` is the phase that writes y, whatever its kind. */
export type PartPhase = "moments" | "apply";

/** Undefined where the plan has no such phase. */
export function phaseStepOf({ steps }: Plan, name: PartPhase): PhaseStep | undefined {
  for (const step of steps) {
    if (step.kind !== "phase") continue;
    if (name === "moments" ? step.phase.kind === "moments" : step.writes.includes("y")) return step;
  }
  return undefined;
}

/** Units of a phase, over all stripes. */
export function countUnits(stripes: Iterable<Stripe>, name: PartPhase): number {
  let units = 0;
  for (const { plan } of stripes) units += phaseStepOf(plan, name)?.phase.units ?? 0;
  return units;
}

/** Part `part` of `parts` of a phase of so many units. Some have none where there are more parts than units. */
export function unitsOfPart(units: number, part: number, parts: number): Units {
  // By whole and rest: units times parts may be more than a number holds exactly.
  const [each, rest] = [Math.floor(units / parts), units % parts];
  const start = (index: number) => index * each + Math.floor((index * rest) / parts);
  return { from: start(part), to: start(part + 1) };
}
