// Runs a plan: its steps in their order, stripe after stripe.
import { driverOf } from "../../workers/drivers/drivers.js";
import { isSame } from "../../workers/staging.js";
import { isContiguous } from "../../workers/tiles/window.js";
import { nextTurn } from "../clock.js";
import type { Workspace } from "../memory/workspace.js";
import { samplesPerBlock } from "../plan/backward.js";
import { cellsPerSet, setCount } from "../plan/geometry.js";
import { gridOf, segmentsOf } from "../plan/grid.js";
import { lanesOf } from "../plan/moments.js";
import { isInParts, type PartLog, partsOfPhase } from "../plan/parts.js";
import type { MomentsPhase, ReducePhase } from "../plan/phase.js";
import { phasesOf, type Step } from "../plan/plan.js";
import { isMerged, roundsOf, type Stripe, stripesOf } from "../plan/stripes.js";
import type { Spec } from "../storage/spec.js";
import { throwIfAborted } from "./abort.js";
import { between, mergeSegmentsOf } from "./between.js";
import type { Call } from "./call.js";
import type { Executor } from "./executor.js";
import { Runner } from "./runner.js";
import type { Steps } from "./steps.js";
import { StripeTables } from "./tables.js";

/** Sets, entries or segments that the calling thread takes between two turns of the event loop: a millisecond or two where memory is fresh. */
const PIECE = 16_384;

export function* runPlan(
  executor: Executor,
  call: Call<unknown>,
  specs: { readonly x: Spec; readonly g: Spec | null; readonly y: Spec | null },
  workspace: Workspace,
  log?: PartLog,
): Steps<void> {
  const { plan, operation, x, watchers } = call;
  const stripes = () => stripesOf(plan, (part) => call.planPart(part), executor.stripeBytes);
  const [first] = stripes() as Iterable<Stripe>;
  const drivers = [specs.x, specs.g, specs.y].flatMap((spec) => (spec === null ? [] : [driverOf(spec)]));
  const inArena = drivers.every(({ addressOf }) => addressOf !== undefined);
  const isInPlace = specs.y !== null && (isSame(specs.x, specs.y) || isSame(specs.g, specs.y));
  // Sums that one stripe after another adds to can be begun once only.
  const { n } = (first as Stripe).plan.geometry;
  const addsOn = n < plan.geometry.n && n < samplesPerBlock(plan);
  const runner = new Runner(executor, {
    operation,
    cells: x.size,
    dtype: plan.dtype,
    // Stripes are alike, or smaller.
    phases: phasesOf((first as Stripe).plan),
    backward: specs.g !== null,
    onDevice: drivers.some(({ onDevice }) => onDevice === true),
    staged: !inArena || !isContiguous((first as Stripe).window),
    logged: (call.inPlaceSafe && isInPlace) || addsOn,
    watchers,
  });
  try {
    const bytes = executor.stripeBytes;
    if (watchers.onProgress !== undefined) {
      const parts = new Parts(log, executor.partCells);
      for (const { plan } of stripes()) {
        for (const step of plan.steps) {
          if (step.kind !== "phase") continue;
          for (const { from, to } of runsOf(step, bytes, parts)) runner.countSlices(step.phase, from, to);
        }
      }
    }
    const tables = new StripeTables(operation, workspace, call.inputs, bytes, executor.tileBytes);
    const parts = new Parts(log, executor.partCells);
    for (const stripe of stripes()) {
      tables.begin(stripe);
      yield* runSteps(call, stripe, specs, tables, runner, parts);
      const { geometry } = stripe.plan;
      const firstSet = stripe.sample * plan.geometry.g + stripe.group;
      const moments = call.found.moments && tables.find("moments");
      if (moments) call.found.moments?.(moments.subarray(0, 2 * setCount(geometry)), firstSet, cellsPerSet(geometry));
    }
    tables.checkGiven();
    if (log) yield log.settled();
  } finally {
    runner.end();
  }
}

function* runSteps(
  call: Call<unknown>,
  stripe: Stripe,
  specs: { readonly x: Spec; readonly g: Spec | null; readonly y: Spec | null },
  tables: StripeTables,
  runner: Runner,
  parts: Parts,
): Steps<void> {
  const { steps } = stripe.plan;
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as Step;
    if (step.kind !== "phase") {
      const { count, run } = between(step, stripe, tables, call.inputs, call.found);
      yield* inPieces(call, count, run);
      continue;
    }
    const { phase } = step;
    // What a phase leaves of each run is merged before the next.
    const merge = isMerged(phase) && mergeSegmentsOf(steps[++i] as Step, gridOfPhase(phase, stripe), tables);
    for (const { from, to, part } of runsOf(step, tables.bytes, parts)) {
      const segment = isMerged(phase) ? segmentsOf(phase, from) : 0;
      yield runner.run(phase, tables.operandsOf(step, stripe, specs, segment), from, to);
      if (part !== undefined) parts.log?.finish(part);
      if (merge && isMerged(phase)) {
        yield* inPieces(call, segmentsOf(phase, to) - segment, (a, b) => merge(segment + a, segment + b, a));
      }
    }
  }
}

/** The parts of a call, counted as its steps come to them. */
class Parts {
  readonly log: PartLog | undefined;
  readonly cells: number;
  count = 0;

  constructor(log: PartLog | undefined, cells: number) {
    this.log = log;
    this.cells = cells;
  }
}

/** What of a phase is run at a time: units [from, to). Of parts those that are not done, of what is merged as much as its tables take, else all. */
function* runsOf(
  step: Extract<Step, { kind: "phase" }>,
  bytes: number,
  parts: Parts,
): Generator<{ readonly from: number; readonly to: number; readonly part?: number }> {
  const { phase } = step;
  if (parts.log !== undefined && isInParts(step)) {
    for (const run of partsOfPhase(phase, parts.cells)) {
      const part = parts.count++;
      if (!parts.log.has(part)) yield { ...run, part };
    }
  } else if (isMerged(phase)) yield* roundsOf(phase, bytes);
  else yield { from: 0, to: phase.units };
}

export function gridOfPhase(phase: MomentsPhase | ReducePhase, { plan }: Stripe) {
  const { r, g } = plan.geometry;
  return gridOf(phase, r, phase.kind === "moments" ? g : lanesOf(phase));
}

/** Runs what is [0, count) a piece at a time, so that the event loop is not held up. */
export function* inPieces(
  { operation, watchers }: Pick<Call<unknown>, "operation" | "watchers">,
  count: number,
  run: (from: number, to: number) => void,
): Steps<void> {
  for (let from = 0; from < count; from += PIECE) {
    if (from > 0) {
      yield nextTurn();
      throwIfAborted(operation, watchers.signal);
    }
    run(from, Math.min(count, from + PIECE));
  }
}
