// From a job to the plans of its inputs, and to the calls that run them.
import { FileFormatError } from "../errors.js";
import { channelView, resolveAxis } from "../layers/channel-axis.js";
import { planForward } from "../plan/forward.js";
import { affineCount, batchNormGeometry, type Geometry } from "../plan/geometry.js";
import { planMoments } from "../plan/moments.js";
import { type PartPhase, phaseStepOf } from "../plan/parts.js";
import type { Plan } from "../plan/plan.js";
import { planResponse } from "../plan/response.js";
import { type Stripe, stripesOf } from "../plan/stripes.js";
import { type Inputs, NO_INPUTS, type Watchers } from "../run/call.js";
import type { PartedCall } from "../run/run-part.js";
import { hashOf } from "../storage/journal.js";
import type { Parameter } from "../tensor/parameter.js";
import type { Job, JobInput } from "./job.js";

const PHASES = ["moments", "apply"] as const satisfies readonly PartPhase[];

/** The plan of one input. */
export interface Planned {
  readonly input: JobInput;
  readonly plan: Plan;
  planPart(part: Geometry): Plan;
}

type Unchecked = Omit<Job, "plans" | "weights">;

export function plansOf({ work, inputs }: Pick<Job, "work" | "inputs">): Planned[] {
  return inputs.map((input) => ({ input, ...planOf(work, input) }));
}

function planOf(work: Job["work"], { dtype, shape }: JobInput): Omit<Planned, "input"> {
  switch (work.kind) {
    case "forward": {
      const { geometry, options } = work;
      return {
        plan: planForward(geometry, options),
        planPart: (part) => planForward(geometry, options, part),
      };
    }
    case "response": {
      const plan = planResponse(work.options, dtype, false);
      return { plan, planPart: () => plan };
    }
    case "moments":
    case "fit": {
      const measure = work.kind === "fit" ? "deviation" : work.measure;
      const geometry = work.kind === "fit" ? channelsOf(work.channelAxis, shape) : work.geometry;
      return {
        plan: planMoments(geometry, { dtype, measure }),
        planPart: (part) => planMoments(geometry, { dtype, measure }, part),
      };
    }
  }
}

/** A scaler's sets: the channels. */
function channelsOf(channelAxis: number, shape: readonly number[]): Geometry {
  return batchNormGeometry(channelView(shape, resolveAxis("fit", channelAxis, shape.length), true));
}

/** What two processes have to agree on. */
export function hashOfPlans(job: Unchecked, plans: readonly Planned[] = plansOf(job)): string {
  return hashOf([JSON.stringify({ plans: plans.map(({ plan }) => plan), stripeBytes: job.stripeBytes })]);
}

export function* stripesOfPlan({ plan, planPart }: Planned, stripeBytes: number): Generator<Stripe> {
  yield* stripesOf(plan, planPart, stripeBytes);
}

/** The phases that the job has, in order. */
export function phasesOfJob(job: Pick<Job, "work">, plans: readonly Planned[]): PartPhase[] {
  const [{ plan }] = plans as [Planned];
  const isForward = job.work.kind === "forward" || job.work.kind === "response";
  return PHASES.filter((phase) => (phase === "moments" || isForward) && phaseStepOf(plan, phase) !== undefined);
}

/** Weights and running statistics, as the job's folder has them. */
export interface JobWeights {
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  readonly mean: Parameter | null;
  readonly variance: Parameter | null;
}

/** Of the moments phase, which reads no weights. */
export function momentsCallOf(
  operation: string,
  { plan, planPart }: Planned,
  { stripeBytes }: Job,
  watchers: Watchers,
): PartedCall {
  return { operation, plan, planPart, stripeBytes, inputs: NO_INPUTS, watchers };
}

/** Of the phase that writes y. @param path of the weights, for messages. Throws FileFormatError where they are not the plan's. */
export function applyCallOf(
  operation: string,
  planned: Planned,
  job: Job,
  watchers: Watchers,
  { weight, bias, mean, variance }: JobWeights,
  path: string,
): PartedCall {
  const { plan } = planned;
  const { geometry, affineRows } = plan;
  const channels = affineCount(geometry);
  const entries = affineRows ? geometry.r : channels;
  const isOf = (values: Parameter | null, count: number) => values === null || values.length === count;
  const usesRunning = plan.steps.some((step) => step.kind === "fillTable" && step.from === "running");
  const running = mean !== null && variance !== null ? { mean, variance } : null;
  if (!isOf(weight, entries) || !isOf(bias, entries) || usesRunning !== (running !== null)) {
    throw new FileFormatError(operation, path, "its weights are not the plan's");
  }
  if (!isOf(mean, channels) || !isOf(variance, channels)) {
    throw new FileFormatError(operation, path, "its running statistics are not the plan's");
  }
  const inputs: Inputs = { ...NO_INPUTS, weight, bias, running };
  return { ...momentsCallOf(operation, planned, job, watchers), inputs };
}
