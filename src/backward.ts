// One backward call: gradients of a layer's input and parameters. Plans it, lays out what the kernels read, runs the phases, and
// merges what they found, in order. The formulas are in workers/kernels/gradient.ts.
import { isFilledWith, widen } from "./affine.js";
import { backwardPhasesOf, makeBackwardPlan } from "./backward-plan.js";
import { affineCount, cellsPerSet, type Geometry, setCount } from "./geometry.js";
import { addPartials, type ChannelSums, type GradientSums, sumsOfSets } from "./gradient-sums.js";
import type { Normalization } from "./layers/layer.js";
import { mergePartials, partialNumbers, type SetMoments } from "./moments.js";
import type { Start } from "./normalize.js";
import {
  type AccumulatePhase,
  CELLS,
  type DifferentiatePhase,
  NONE,
  type Operands,
  type PropagatePhase,
  type ReducePhase,
} from "./protocol.js";
import { eachEntry, entriesPerSample, ofChannels, ofMoments, type Statistics } from "./statistics.js";
import type { Steps } from "./steps.js";
import type { Workspace } from "./workspace.js";

/** Gradients by affine index, in float64. */
export interface ParameterGradients {
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

/** What of the forward pass and of other parts of the batch is known. */
export interface Known {
  readonly moments: SetMoments | undefined;
  readonly sums: GradientSums | undefined;
}

/** Gradient of the operands' x, given g, to y (which may be x or g). Returns the parameters', where there are any. */
export function* differentiate(
  normalization: Normalization,
  operands: Operands,
  known: Known,
  workspace: Workspace,
  start: Start,
): Steps<ParameterGradients | null> {
  const { eps, given, centred, weight, bias } = normalization;
  const parameters = weight !== null || bias !== null;
  const plan = makeBackwardPlan(normalization.geometry, {
    eps,
    centred,
    affine: parameters,
    parameters,
    givenStatistics: given !== null,
    givenMoments: known.moments !== undefined,
    givenSums: known.sums !== undefined,
  });
  const { geometry, accumulate, gradients: last } = plan;
  const run = start(backwardPhasesOf(plan));
  const weights =
    weight === null || isFilledWith(weight, 1) ? null : widen(weight, weight.length, 1, plan.repeatAffine, workspace);

  let { moments } = known;
  if (plan.moments !== undefined) {
    const partials = workspace.float64(partialNumbers(plan.moments, geometry.n));
    yield run(plan.moments, { ...operands, partials: partials.address });
    moments = mergePartials(plan.moments, geometry, partials.values);
  }
  const statistics = given !== null ? ofChannels(given, eps) : moments && ofMoments(moments, eps);
  const found = new Gradients(geometry);
  const table = statistics === undefined ? NONE : fillStatistics(statistics, geometry, workspace);
  const looked = { ...operands, statistics: table };

  if (accumulate !== undefined) {
    const partials = workspace.float64(
      Math.ceil(accumulate.samples / accumulate.perBlock) * 2 * sampleCells(accumulate),
    );
    yield run(accumulate, { ...looked, partials: partials.address });
    found.addCells(partials.values, sampleCells(accumulate));
  }
  if ("differentiate" in last) {
    const phase = last.differentiate;
    const wanted = parameters && accumulate === undefined;
    const partials = wanted ? workspace.float64(differentiatePartials(phase)) : undefined;
    yield run(phase, { ...looked, weight: weights?.address ?? NONE, partials: partials?.address ?? NONE });
    if (partials !== undefined) {
      if (phase.byCell) found.addCells(partials.values, sampleCells(phase));
      else found.addRuns(partials.values);
    }
    return parameters ? found : null;
  }

  let sums = known.sums && ofParts(known.sums);
  let count = known.sums?.count ?? cellsPerSet(geometry);
  const byCell = last.propagate.layout === "cells";
  if (last.reduce !== undefined && statistics !== undefined) {
    const cellWeights = byCell ? (weights?.address ?? NONE) : NONE;
    const channels = yield* reduce(last.reduce, looked, cellWeights, geometry, statistics, workspace, run);
    if (parameters && !byCell) found.addChannels(channels, statistics);
    sums ??= channels;
  }
  if (given !== null) {
    // Running statistics are constants: a cell's gradient depends on its own alone.
    sums = undefined;
    count = 1;
  }
  const total = sums && (byCell ? sums : sumsOfSets(sums, geometry, weights?.values ?? null));
  const propagateTable = workspace.float64(4 * geometry.n * entriesPerSample(last.propagate));
  fillTable(last.propagate, propagateTable.values, geometry, statistics as Statistics, {
    weight: byCell ? null : (weights?.values ?? null),
    total,
    count,
    centred,
    folded: operands.cells !== CELLS.float64,
  });
  const cellWeights = byCell ? (weights?.address ?? NONE) : NONE;
  yield run(last.propagate, { ...operands, weight: cellWeights, table: propagateTable.address });
  return parameters ? found : null;
}

/** The sums of a reduce phase, by channel. */
export function* reduce(
  phase: ReducePhase,
  operands: Operands,
  weight: number,
  geometry: Geometry,
  statistics: Statistics,
  workspace: Workspace,
  run: ReturnType<Start>,
): Steps<ChannelSums> {
  const partials = workspace.float64(partialNumbers(phase, geometry.n));
  const table = phase.layout === "columns" ? fillMeans(statistics, phase.width, geometry, workspace) : NONE;
  yield run(phase, { ...operands, weight, table, partials: partials.address });
  return addPartials(phase, geometry, partials.values);
}

/** {mean, rstd} of each set. Returns their address. */
export function fillStatistics(statistics: Statistics, geometry: Geometry, workspace: Workspace): number {
  const sets = setCount(geometry);
  const { address, values } = workspace.float64(2 * sets);
  for (let set = 0; set < sets; set++) {
    values[2 * set] = statistics.mean(set);
    values[2 * set + 1] = statistics.rstd(set);
  }
  return address;
}

/** The mean of each column's set, sample by sample. */
function fillMeans(statistics: Statistics, width: number, { n, g }: Geometry, workspace: Workspace): number {
  const { address, values } = workspace.float64(n * width);
  const perSet = width / g;
  for (let entry = 0; entry < n * width; entry++) values[entry] = statistics.mean(Math.floor(entry / perSet));
  return address;
}

interface Factors {
  readonly weight: Float64Array | null;
  /** Sums by set; undefined where no gradient flows through the statistics. */
  readonly total: ChannelSums | undefined;
  /** Cells that the sums are of. */
  readonly count: number;
  readonly centred: boolean;
  /** Whether float64 arithmetic has digits to spare: not for cells of its own type. */
  readonly folded: boolean;
}

/** Up to so many deviations from 0 a mean is folded into c: isNear in workers/kernels/propagate.ts. */
const NEAR = 65_536;

/** The propagate phase's table: {mean, a, b, c} of each entry, for y = g * a + (x - mean) * b + c, or with a mean of 0 for x * b + c. */
function fillTable(
  phase: PropagatePhase,
  values: Float64Array,
  geometry: Geometry,
  statistics: Statistics,
  { weight, total, count, centred, folded }: Factors,
): void {
  eachEntry(phase, geometry, 4, (at, stride, set, affine) => {
    const rstd = statistics.rstd(set);
    const mean = statistics.mean(set);
    const b = total === undefined ? 0 : -rstd * rstd * rstd * ((total.products[set] as number) / count);
    const c = total === undefined || !centred ? 0 : -rstd * ((total.gradients[set] as number) / count);
    const offset = c - mean * b;
    const near = folded && Math.abs(mean * rstd) < NEAR && Number.isFinite(offset);
    values[at] = near ? 0 : mean;
    values[at + stride] = weight === null ? rstd : rstd * (weight[affine] as number);
    values[at + 2 * stride] = b;
    values[at + 3 * stride] = near ? offset : c;
  });
}

function ofParts({ sumDy, sumDyXmu }: GradientSums): ChannelSums {
  return { width: sumDy.length, products: sumDyXmu, gradients: sumDy };
}

function sampleCells({ length, groups }: AccumulatePhase | DifferentiatePhase): number {
  return length * groups;
}

function differentiatePartials(phase: DifferentiatePhase): number {
  if (phase.byCell) return phase.units * 2 * sampleCells(phase);
  return 2 * phase.sets * (phase.length / phase.run);
}

/** Sums up gradients of parameters, in the order of the samples. */
class Gradients implements ParameterGradients {
  readonly weight: Float64Array;
  readonly bias: Float64Array;
  readonly #geometry: Geometry;

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
    this.weight = new Float64Array(affineCount(geometry));
    this.bias = new Float64Array(affineCount(geometry));
  }

  /** Blocks of two arrays with an entry for each of a sample's `cells` cells. */
  addCells(partials: Float64Array, cells: number): void {
    const { s } = this.#geometry;
    for (let block = 0; block < partials.length; block += 2 * cells) {
      for (let cell = 0; cell < cells; cell++) {
        this.#add(Math.floor(cell / s), partials[block + cell] as number, partials[block + cells + cell] as number);
      }
    }
  }

  /** Pairs for each run of each set. */
  addRuns(partials: Float64Array): void {
    const entries = this.weight.length;
    for (let at = 0, entry = 0; at < partials.length; at += 2, entry = entry + 1 === entries ? 0 : entry + 1) {
      this.#add(entry, partials[at] as number, partials[at + 1] as number);
    }
  }

  /** Sums by channel, from the mean; here they are divided by the deviation. */
  addChannels({ width, products, gradients }: ChannelSums, { rstd }: Statistics): void {
    const { g } = this.#geometry;
    const perSet = width / g;
    const perAffine = width / this.weight.length;
    for (let entry = 0; entry < products.length; entry++) {
      const xhat = (products[entry] as number) * rstd(Math.floor(entry / perSet));
      this.#add(Math.floor((entry % width) / perAffine), xhat, gradients[entry] as number);
    }
  }

  #add(index: number, weight: number, bias: number): void {
    this.weight[index] = (this.weight[index] as number) + weight;
    this.bias[index] = (this.bias[index] as number) + bias;
  }
}
