// Which units parts are of, and how many numbers they leave. Of a job of many stripes and parts that is asked for each part: stripes are gone through once.
import { segmentAt } from "../plan/grid.js";
import { countUnits, type PartPhase, phaseStepOf, type Units, unitsOfPart } from "../plan/parts.js";
import type { MomentsPhase } from "../plan/phase.js";
import type { Job } from "./job.js";
import { type Planned, stripesOfPlan } from "./planned.js";

/** Where stripes begin, in units and in numbers of their partials; and, one more, where the last one ends. */
interface Starts {
  readonly phases: readonly MomentsPhase[];
  readonly units: readonly number[];
  readonly numbers: readonly number[];
}

const starts = new WeakMap<Planned, Starts>();
const counts = new WeakMap<Planned, Map<PartPhase, number>>();

/** Units of a phase, over all stripes of an input. */
function unitsOf(planned: Planned, stripeBytes: number, phase: PartPhase): number {
  const known = counts.get(planned) ?? new Map<PartPhase, number>();
  counts.set(planned, known);
  const count = known.get(phase) ?? countUnits(stripesOfPlan(planned, stripeBytes), phase);
  known.set(phase, count);
  return count;
}

/** Units of part `part` of a phase, by input: those that it has some of. A job's units are counted over all inputs. */
export function* unitsByInput(
  { parts, stripeBytes }: Pick<Job, "parts" | "stripeBytes">,
  plans: readonly Planned[],
  phase: PartPhase,
  part: number,
): Generator<{ readonly planned: Planned; readonly units: Units }> {
  const counts = plans.map((planned) => unitsOf(planned, stripeBytes, phase));
  const { from, to } = unitsOfPart(
    counts.reduce((sum, count) => sum + count, 0),
    part,
    parts,
  );
  let before = 0;
  for (const [i, planned] of plans.entries()) {
    const count = counts[i] as number;
    const units = { from: Math.max(0, from - before), to: Math.min(count, to - before) };
    if (units.from < units.to) yield { planned, units };
    before += count;
  }
}

/** Numbers of the partials of units of the moments phase. */
export function partialNumbers(planned: Planned, stripeBytes: number, { from, to }: Units): number {
  const found = starts.get(planned) ?? startsOf(planned, stripeBytes);
  starts.set(planned, found);
  return numbersBefore(found, to) - numbersBefore(found, from);
}

function startsOf(planned: Planned, stripeBytes: number): Starts {
  const phases: MomentsPhase[] = [];
  const [units, numbers] = [[0], [0]];
  for (const { plan } of stripesOfPlan(planned, stripeBytes)) {
    const phase = phaseStepOf(plan, "moments")?.phase as MomentsPhase;
    phases.push(phase);
    units.push((units.at(-1) as number) + phase.units);
    numbers.push((numbers.at(-1) as number) + 2 * segmentAt(phase, phase.units));
  }
  return { phases, units, numbers };
}

function numbersBefore({ phases, units, numbers }: Starts, unit: number): number {
  // The last stripe that begins at or before it.
  let [low, high] = [0, phases.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((units[middle] as number) <= unit) low = middle;
    else high = middle - 1;
  }
  const phase = phases[low];
  const within = phase === undefined ? 0 : 2 * segmentAt(phase, unit - (units[low] as number));
  return (numbers[low] as number) + within;
}
