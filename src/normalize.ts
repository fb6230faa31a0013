// One call: a layer's normalisation of x into y. Plans it, lays out what the kernels read, runs the phases.
import { affineCount, cellsPerSet, type Geometry, setCount } from "./geometry.js";
import type { Normalization } from "./layers/layer.js";
import { mergePartials, partialBytes, type SetMoments } from "./moments.js";
import { makePlan, type Plan, type TwoPhases } from "./plan.js";
import { NONE, type Operands, operandsOf, type Phase } from "./protocol.js";
import type { Workspace } from "./workspace.js";

/** Computes one phase, here or on the workers. */
export type Run = (phase: Phase, operands: Operands) => void | Promise<void>;

/**
 * Computes `normalization` of the cells at address x into those at y (which may be x).
 * Returns the sets' moments where the layer wants to update from them.
 */
export async function normalize(
  normalization: Normalization,
  x: number,
  y: number,
  workspace: Workspace,
  start: (plan: Plan) => Run,
): Promise<SetMoments | undefined> {
  const { geometry, eps, given, centred } = normalization;
  const affine = affineOf(normalization);
  const plan = makePlan(geometry, { eps, centred, affine: affine !== null, givenStatistics: given !== null });
  const run = start(plan);
  const operands = operandsOf(x, y);
  const widened = widenAffine(affine, plan.repeatAffine, workspace);

  if ("normalize" in plan.phases) {
    const wanted = normalization.update === null ? undefined : workspace.float64(2 * setCount(geometry));
    const moments = wanted?.address ?? NONE;
    await run(plan.phases.normalize, { ...operands, ...addressesOf(widened), moments });
    return wanted && unpack(wanted.values, cellsPerSet(geometry));
  }

  const { moments: momentsPhase, apply } = plan.phases;
  let moments: SetMoments | undefined;
  if (momentsPhase !== undefined) {
    const partials = workspace.float64(partialBytes(momentsPhase) / 8);
    await run(momentsPhase, { ...operands, partials: partials.address });
    moments = mergePartials(momentsPhase, setCount(geometry), partials.values);
  }
  const statistics = moments ? ofBatch(moments) : ofChannels(normalization);
  const table = fillTable(plan.phases, geometry, eps, statistics, widened, workspace);
  await run(apply, { ...operands, ...(apply.layout === "cells" ? addressesOf(widened) : {}), table });
  return moments;
}

interface Affine {
  readonly weight: Float32Array | null;
  readonly bias: Float32Array | null;
}

/** Weight and bias, or null where they would change no bit: ones and zeros, as a new layer has them. */
function affineOf({ weight, bias }: Affine): Affine | null {
  return isFilledWith(weight, 1) && isFilledWith(bias, 0) ? null : { weight, bias };
}

/** A plain loop: `every` with a closure took most of a small call's time. */
function isFilledWith(values: Float32Array | null, value: number): boolean {
  if (values !== null) for (let i = 0; i < values.length; i++) if (values[i] !== value) return false;
  return true;
}

interface WidenedAffine {
  readonly weight: { readonly address: number; readonly values: Float64Array };
  readonly bias: { readonly address: number; readonly values: Float64Array };
}

/** Weight and bias as float64 in the arena, each entry `repeat` times. The copy also fixes their values for this call. */
function widenAffine(affine: Affine | null, repeat: number, workspace: Workspace): WidenedAffine | null {
  const length = (affine?.weight ?? affine?.bias)?.length;
  if (affine === null || length === undefined) return null;
  const widen = (source: Float32Array | null, absent: number) => {
    const target = workspace.float64(length * repeat);
    if (source === null) target.values.fill(absent);
    else if (repeat === 1) target.values.set(source);
    else for (let i = 0; i < length; i++) target.values.fill(source[i] as number, i * repeat, (i + 1) * repeat);
    return target;
  };
  return { weight: widen(affine.weight, 1), bias: widen(affine.bias, 0) };
}

function addressesOf(widened: WidenedAffine | null): { weight: number; bias: number } {
  return { weight: widened?.weight.address ?? NONE, bias: widened?.bias.address ?? NONE };
}

/** Mean and biased variance of a set. */
interface Statistics {
  mean(set: number): number;
  variance(set: number): number;
}

function ofBatch({ count, mean, m2 }: SetMoments): Statistics {
  return { mean: (set) => mean[set] as number, variance: (set) => (m2[set] as number) / count };
}

function ofChannels({ given }: Normalization): Statistics {
  return { mean: (set) => given?.mean[set] as number, variance: (set) => given?.variance[set] as number };
}

/** The apply phase's table: {mean, scale, shift} of each entry. Returns its address. */
function fillTable(
  { apply, table }: TwoPhases,
  geometry: Geometry,
  eps: number,
  statistics: Statistics,
  widened: WidenedAffine | null,
  workspace: Workspace,
): number {
  const { entries, entriesPerSet, entriesPerAffine } = table;
  const { address, values } = workspace.float64(3 * entries);
  // Rows side by side; for columns three arrays.
  const row = apply.layout === "columns" ? 1 : 3;
  const field = apply.layout === "columns" ? entries : 1;
  // In the layout `cells` the kernel reads weight and bias itself, and the scale is rstd.
  const affine = apply.layout === "cells" ? null : widened;
  const affines = affineCount(geometry);
  for (let entry = 0; entry < entries; entry++) {
    const set = Math.floor(entry / entriesPerSet);
    const index = Math.floor(entry / entriesPerAffine) % affines;
    const rstd = 1 / Math.sqrt(statistics.variance(set) + eps);
    const at = entry * row;
    values[at] = statistics.mean(set);
    values[at + field] = affine === null ? rstd : rstd * (affine.weight.values[index] as number);
    values[at + 2 * field] = affine === null ? 0 : (affine.bias.values[index] as number);
  }
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
