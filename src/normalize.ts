// One call: a layer's normalisation of x into y. Plans it, lays out what the kernels read, runs the phases.
import { addressesOf, affineOf, type WidenedAffine, widenAffine } from "./affine.js";
import { cellsPerSet, type Geometry, setCount } from "./geometry.js";
import type { Normalization } from "./layers/layer.js";
import { mergePartials, partialNumbers, type SetMoments } from "./moments.js";
import { makePlan, type Plan } from "./plan.js";
import { type ApplyPhase, NONE, type Operands, type Phase } from "./protocol.js";
import { eachEntry, entriesPerSample, ofChannels, ofMoments, type Statistics } from "./statistics.js";
import type { Steps } from "./steps.js";
import type { Block, Workspace } from "./workspace.js";

/** Computes one phase, here or on the workers. */
export type Run = (phase: Phase, operands: Operands) => void | Promise<void>;

/** Told all phases of a call before the first is run. */
export type Start = (phases: readonly Phase[]) => Run;

/** A forward call's plan, phase by phase. */
function phasesOf({ phases }: Plan): Phase[] {
  if ("normalize" in phases) return [phases.normalize];
  return phases.moments === undefined ? [phases.apply] : [phases.moments, phases.apply];
}

/**
 * Computes `normalization` of the operands' x into y (which may be x), with `moments` instead of the tensor's own where they are given.
 * Returns the sets' moments where they are `wanted`.
 */
export function* normalize(
  normalization: Normalization,
  operands: Operands,
  moments: SetMoments | undefined,
  wanted: boolean,
  workspace: Workspace,
  start: Start,
): Steps<SetMoments | undefined> {
  const { eps, given } = normalization;
  const affine = affineOf(normalization);
  const plan = planOf(normalization, affine !== null, moments !== undefined);
  const { geometry, phases } = plan;
  const run = start(phasesOf(plan));
  const widened = widenAffine(affine, plan.repeatAffine, workspace);

  if ("normalize" in phases) {
    const found = wanted ? workspace.float64(2 * setCount(geometry)) : undefined;
    yield run(phases.normalize, withAffine(operands, widened, found));
    return found && unpack(found.values, cellsPerSet(geometry));
  }

  let known = moments;
  if (phases.moments !== undefined) {
    const partials = workspace.float64(partialNumbers(phases.moments, geometry.n));
    yield run(phases.moments, { ...operands, partials: partials.address });
    known = mergePartials(phases.moments, geometry, partials.values);
  }
  const statistics = given !== null ? ofChannels(given, eps) : ofMoments(known as SetMoments, eps);
  const table = fillTable(phases.apply, geometry, statistics, widened, workspace);
  const affineOperands = phases.apply.layout === "cells" ? addressesOf(widened) : {};
  yield run(phases.apply, { ...operands, ...affineOperands, table });
  return known;
}

/**
 * `normalize` on the calling thread, of sets that one phase normalises with their own moments; null of all others. It is what small calls are
 * made of, and makes nothing but what it needs: generators and closures were most of their garbage.
 */
export function normalizeHere(
  normalization: Normalization,
  operands: Operands,
  wanted: boolean,
  workspace: Workspace,
  executor: { runHere(phase: Phase, operands: Operands, workspace: Workspace): void },
): { readonly moments: SetMoments | undefined } | null {
  const affine = affineOf(normalization);
  const { geometry, phases, repeatAffine } = planOf(normalization, affine !== null, false);
  if (!("normalize" in phases)) return null;
  const found = wanted ? workspace.float64(2 * setCount(geometry)) : undefined;
  const widened = widenAffine(affine, repeatAffine, workspace);
  executor.runHere(phases.normalize, withAffine(operands, widened, found), workspace);
  return found === undefined ? NO_MOMENTS : { moments: unpack(found.values, cellsPerSet(geometry)) };
}

const NO_MOMENTS = { moments: undefined };

function planOf({ geometry, eps, given, centred }: Normalization, affine: boolean, knownMoments: boolean): Plan {
  return makePlan(geometry, { eps, centred, affine, givenStatistics: given !== null || knownMoments });
}

function withAffine(operands: Operands, widened: WidenedAffine | null, found: Block | undefined): Operands {
  if (widened === null && found === undefined) return operands;
  return { ...operands, ...addressesOf(widened), moments: found?.address ?? NONE };
}

/** The apply phase's table: {mean, scale, shift} of each entry. Returns its address. */
function fillTable(
  apply: ApplyPhase,
  geometry: Geometry,
  statistics: Statistics,
  widened: WidenedAffine | null,
  workspace: Workspace,
): number {
  const { address, values } = workspace.float64(3 * geometry.n * entriesPerSample(apply));
  // In the layout `cells` the kernel reads weight and bias itself, and the scale is rstd.
  const affine = apply.layout === "cells" ? null : widened;
  eachEntry(apply, geometry, 3, (at, stride, set, index) => {
    const rstd = statistics.rstd(set);
    values[at] = statistics.mean(set);
    values[at + stride] = affine === null ? rstd : rstd * (affine.weight.values[index] as number);
    values[at + 2 * stride] = affine === null ? 0 : (affine.bias.values[index] as number);
  });
  return address;
}

function unpack(pairs: Float64Array, count: number): SetMoments {
  const sets = pairs.length / 2;
  const moments = { count, mean: new Float64Array(sets), m2: new Float64Array(sets) };
  for (let set = 0; set < sets; set++) {
    moments.mean[set] = pairs[2 * set] as number;
    moments.m2[set] = pairs[2 * set + 1] as number;
  }
  return moments;
}
