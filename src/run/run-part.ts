// Runs a part of a plan, whose other parts other processes run: units of one phase, counted over all stripes. What a part leaves is the same, whoever runs it
// and the others, and however often.
import { driverOf } from "../../workers/drivers/drivers.js";
import { Workspace } from "../memory/workspace.js";
import { cellsPerSet, type Geometry, setCount } from "../plan/geometry.js";
import { segmentAt } from "../plan/grid.js";
import { type PartPhase, phaseStepOf, type Units } from "../plan/parts.js";
import type { MomentsPhase } from "../plan/phase.js";
import type { PhaseStep, Plan, Step } from "../plan/plan.js";
import { roundsOf, type Stripe, stripesOf } from "../plan/stripes.js";
import type { Spec } from "../storage/spec.js";
import type { Tensor } from "../tensor/tensor.js";
import { throwIfAborted } from "./abort.js";
import { between, mergeSegmentsOf } from "./between.js";
import type { Inputs, Watchers } from "./call.js";
import type { Executor } from "./executor.js";
import { publicErrorOf } from "./file-errors.js";
import { closeScope } from "./run-call.js";
import { gridOfPhase, inPieces } from "./run-plan.js";
import { Runner } from "./runner.js";
import { Scope } from "./scope.js";
import type { Steps } from "./steps.js";
import { StripeTables } from "./tables.js";

/** A plan whose parts are run one by one. */
export interface PartedCall {
  readonly operation: string;
  readonly plan: Plan;
  /** Plans a part of the tensor, of the geometry that the plan's steps see. */
  planPart(part: Geometry): Plan;
  /** What a stripe's tables may take: the same for all parts, which count over stripes. */
  readonly stripeBytes: number;
  readonly inputs: Inputs;
  readonly watchers: Watchers;
}

/** Pairs of numbers, {mean, M2}, on their way: they are taken, or filled, before the promise is fulfilled. */
type Pairs = (pairs: Float64Array) => Promise<void>;

/** Finds the partials of `units` of the moments phase. @param take is given them in their order. */
export function runMomentsPart(
  executor: Executor,
  call: PartedCall,
  x: Tensor,
  units: Units,
  take: Pairs,
): Steps<void> {
  return withTensors(executor, call, x, null, function* (specs, workspace) {
    const [first] = stripesIn(call, "moments", units);
    if (first === undefined) return;
    const runner = runnerOf(executor, call, x, specs, first.stripe);
    try {
      const tables = tablesOf(executor, call, workspace);
      const parts = [...roundsIn(call, units)];
      for (const { phase, from, to } of parts) runner.countSlices(phase, from, to);
      for (const { stripe, step, phase, from, to } of parts) {
        tables.begin(stripe);
        const segment = segmentAt(phase, from);
        yield runner.run(phase, tables.operandsOf(step, stripe, specs, segment), from, to);
        yield take(tables.values("partials").subarray(0, 2 * (segmentAt(phase, to) - segment)));
      }
    } finally {
      runner.end();
    }
  });
}

/**
 * Merges the partials of all parts.
 * @param read fills with the partials that come next, in the order of the parts. @param take is given {mean, M2} of sets, from set `first` of the tensor on, of `count` cells
 * each, in the order in which apply reads them.
 */
export function* mergePartials(
  executor: Executor,
  call: PartedCall,
  read: Pairs,
  take: (pairs: Float64Array, first: number, count: number) => Promise<void>,
): Steps<void> {
  const { operation, watchers } = call;
  const workspace = new Workspace(executor.arena, operation);
  try {
    const tables = tablesOf(executor, call, workspace);
    for (const { stripe } of stripesIn(call, "moments")) {
      tables.begin(stripe);
      const { steps, geometry } = stripe.plan;
      const [{ phase }, merging] = steps as [PhaseStep & { readonly phase: MomentsPhase }, Step];
      const merge = mergeSegmentsOf(merging, gridOfPhase(phase, stripe), tables);
      for (const { from, to } of roundsOf(phase, call.stripeBytes)) {
        const segment = segmentAt(phase, from);
        const segments = segmentAt(phase, to) - segment;
        yield read(tables.values("partials").subarray(0, 2 * segments));
        throwIfAborted(operation, watchers.signal);
        yield* inPieces(call, segments, (a, b) => merge(segment + a, segment + b, a));
      }
      const sets = setCount(geometry);
      const first = stripe.sample * call.plan.geometry.g + stripe.group;
      yield take(tables.values("moments").subarray(0, 2 * sets), first, cellsPerSet(geometry));
    }
  } finally {
    workspace.giveBack();
  }
}

/** Writes `units` of the phase that writes y. @param read fills with merged moments from set `first` on, in the order in which they were merged. */
export function runApplyPart(
  executor: Executor,
  call: PartedCall,
  x: Tensor,
  y: Tensor,
  units: Units,
  read: (pairs: Float64Array, first: number) => Promise<void>,
): Steps<void> {
  return withTensors(executor, call, x, y, function* (specs, workspace) {
    const parts = [...stripesIn(call, "apply", units)];
    if (parts[0] === undefined) return;
    const runner = runnerOf(executor, call, x, specs, parts[0].stripe);
    try {
      for (const { step, from, to } of parts) runner.countSlices(step.phase, from, to);
      const tables = tablesOf(executor, call, workspace);
      for (const { stripe, from, to, before } of parts) {
        tables.begin(stripe);
        const moments = tables.find("moments");
        if (moments !== undefined) yield read(moments.subarray(0, 2 * setCount(stripe.plan.geometry)), before);
        for (const step of stripe.plan.steps) {
          if (step.kind === "phase") yield runner.run(step.phase, tables.operandsOf(step, stripe, specs), from, to);
          else if (step.kind !== "mergeMoments") {
            const { count, run } = between(step, stripe, tables, call.inputs, {});
            yield* inPieces(call, count, run);
          }
        }
      }
    } finally {
      runner.end();
    }
  });
}

interface Opened {
  readonly x: Spec;
  readonly g: null;
  readonly y: Spec | null;
}

function* withTensors(
  executor: Executor,
  { operation }: PartedCall,
  x: Tensor,
  y: Tensor | null,
  run: (specs: Opened, workspace: Workspace) => Steps<void>,
): Steps<void> {
  const scope = new Scope(executor, operation);
  let failed = true;
  try {
    yield* run({ x: scope.open(x), g: null, y: y && scope.open(y) }, scope.workspace);
    scope.check();
    failed = false;
  } catch (error) {
    throw publicErrorOf(operation, error);
  } finally {
    closeScope(operation, scope, failed);
  }
}

interface StripePart {
  /** With the steps of one phase, and what comes before and after it in a stripe. */
  readonly stripe: Stripe;
  readonly step: PhaseStep;
  /** Units of the stripe's phase. */
  readonly from: number;
  readonly to: number;
  /** Sets of the stripes before it. */
  readonly before: number;
}

/** The stripes that `units` of a phase lie in, default all of them. */
function* stripesIn(call: PartedCall, name: PartPhase, units?: Units): Generator<StripePart> {
  let [before, start] = [0, 0];
  for (const stripe of stripesOf(call.plan, (part) => call.planPart(part), call.stripeBytes)) {
    const step = phaseStepOf(stripe.plan, name) as PhaseStep;
    const from = Math.max(0, (units?.from ?? start) - start);
    const to = Math.min(step.phase.units, (units?.to ?? Number.POSITIVE_INFINITY) - start);
    if (from < to) yield { stripe: withSteps(stripe, name), step, from, to, before };
    start += step.phase.units;
    before += setCount(stripe.plan.geometry);
    if (units !== undefined && start >= units.to) return;
  }
}

/** Tables are made for what is run alone. */
function withSteps(stripe: Stripe, name: PartPhase): Stripe {
  const isFirst = ({ kind, ...step }: Step) =>
    kind === "mergeMoments" || ("phase" in step && step.phase.kind === "moments");
  const steps = stripe.plan.steps.filter((step) =>
    name === "moments" ? isFirst(step) : step.kind !== "phase" || !isFirst(step),
  );
  return { ...stripe, plan: { ...stripe.plan, steps } };
}

/** Rounds of the moments phase, as many units as leave what tables take of partials. */
function* roundsIn(
  call: PartedCall,
  units: Units,
): Generator<Omit<StripePart, "before"> & { readonly phase: MomentsPhase }> {
  for (const { stripe, step, from, to } of stripesIn(call, "moments", units)) {
    const phase = step.phase as MomentsPhase;
    const [{ to: most }] = roundsOf(phase, call.stripeBytes) as Iterable<Units> as [Units];
    for (let at = from; at < to; at += most) yield { stripe, step, phase, from: at, to: Math.min(to, at + most) };
  }
}

function runnerOf(
  executor: Executor,
  { operation, plan, watchers }: PartedCall,
  x: Tensor,
  specs: Opened,
  { plan: { steps } }: Stripe,
): Runner {
  const drivers = [specs.x, specs.y].flatMap((spec) => (spec === null ? [] : [driverOf(spec)]));
  return new Runner(executor, {
    operation,
    cells: x.size,
    dtype: plan.dtype,
    // Stripes are alike, or smaller.
    phases: steps.flatMap((step) => (step.kind === "phase" ? [step.phase] : [])),
    backward: false,
    onDevice: drivers.some(({ onDevice }) => onDevice === true),
    staged: true,
    logged: false,
    watchers,
  });
}

function tablesOf(executor: Executor, { operation, inputs, stripeBytes }: PartedCall, workspace: Workspace) {
  return new StripeTables(operation, workspace, inputs, stripeBytes, executor.tileBytes);
}
