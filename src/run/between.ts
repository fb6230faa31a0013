// What happens between phases, step by step: which numbers each function of src/merge/ is given.
import {
  addCellGradients,
  addChannelGradients,
  addRowGradients,
  addRunGradients,
  type ParameterGradients,
} from "../merge/gradients.js";
import { mergeSegments } from "../merge/moments.js";
import { ofMoments, ofPairs, ofRunning, type Statistics } from "../merge/statistics.js";
import { addSegments, type GradientSums, packSums, sumSets, unpackSums } from "../merge/sums.js";
import { fillMeans, fillPropagation, fillStatistics, fillTable } from "../merge/tables.js";
import { samplesPerBlock } from "../plan/backward.js";
import { affineCount, cellsPerSet, setCount } from "../plan/geometry.js";
import { blocksOf, type Grid, partsOf } from "../plan/grid.js";
import { entriesPerSample } from "../plan/phase.js";
import type { BetweenStep, Step, TableRole } from "../plan/plan.js";
import type { Stripe } from "../plan/stripes.js";
import type { Found, Inputs } from "./call.js";
import type { StripeTables } from "./tables.js";

/** A step's sets, entries or sums: [0, count), of which `run` takes some. */
interface Pieces {
  readonly count: number;
  run(from: number, to: number): void;
}

const NOTHING: Pieces = { count: 0, run: () => {} };

export function between(step: BetweenStep, stripe: Stripe, tables: StripeTables, inputs: Inputs, found: Found): Pieces {
  const { geometry } = stripe.plan;
  const { n, g, k } = geometry;
  const affine = affineCount(geometry);
  const firstAffine = stripe.group * k;
  const values = (role: TableRole) => tables.values(role);
  switch (step.kind) {
    case "fillTable": {
      const { phase, folded } = step;
      const statistics = statisticsOf(step, stripe, tables, inputs);
      const weights = step.reads.includes("weight") ? { weight: values("weight"), bias: values("bias") } : null;
      const table = values("table");
      return {
        count: n * entriesPerSample(phase),
        run: (from, to) => fillTable(phase, geometry, { ...statistics, folded }, weights, table, from, to),
      };
    }
    case "fillStatistics": {
      const statistics = statisticsOf(step, stripe, tables, inputs);
      const pairs = values("statistics");
      return { count: setCount(geometry), run: (from, to) => fillStatistics(statistics, pairs, from, to) };
    }
    case "fillMeans": {
      const perSet = step.width / g;
      const [statistics, means] = [values("statistics"), values("means")];
      return { count: n * step.width, run: (from, to) => fillMeans(perSet, statistics, means, from, to) };
    }
    case "sumSets": {
      const { width, given } = step;
      const sums = given ? packSums(inputs.sums as GradientSums, stripe.group, width) : values("sums");
      const weight = step.reads.includes("weight") ? values("weight") : null;
      const totals = values("totals").fill(0);
      const lanes = { width, groups: g, perAffine: width / affine };
      return {
        count: n * width,
        run: (from, to) => {
          sumSets(lanes, sums, weight, totals, from, to);
          if (found.sums && to === n * width) unpackSums(found.sums, stripe.group, totals.subarray(0, 2 * n * g));
        },
      };
    }
    case "fillPropagation": {
      const { phase, measure, eps, folded } = step;
      const flows = step.reads.includes("totals");
      const propagation = {
        statistics: values("statistics"),
        totals: flows ? values("totals") : null,
        weight: step.reads.includes("weight") ? values("weight") : null,
        count: step.count ?? (inputs.sums as GradientSums).count,
        measure,
        eps,
        folded,
      };
      const table = values("table");
      return {
        count: n * entriesPerSample(phase),
        run: (from, to) => fillPropagation(phase, geometry, propagation, table, from, to),
      };
    }
    case "addCellGradients": {
      // Of a block that goes on in the next stripe there is nothing to add yet.
      if (!stripe.ends) return NOTHING;
      const { cells } = step;
      const sums = values("cellSums");
      const blocks = blocksOf(n, samplesPerBlock(stripe.plan));
      const perAffine = cells / affine;
      const gradients = found.gradients as ParameterGradients;
      return {
        count: blocks * cells,
        run: (from, to) => addCellGradients(gradients, firstAffine, sums, cells, perAffine, from, to),
      };
    }
    case "addRunGradients": {
      const partials = values("partials");
      const gradients = found.gradients as ParameterGradients;
      return {
        count: n * step.runs,
        run: (from, to) => addRunGradients(gradients, firstAffine, partials, step.runs, from, to),
      };
    }
    case "addRowGradients": {
      const { rows, width } = step;
      const parts = partsOf(width);
      const partials = values("partials");
      const gradients = found.gradients as ParameterGradients;
      const first = partsOf(stripe.group);
      return {
        count: n * rows * parts,
        run: (from, to) => addRowGradients(gradients, first, partials, rows, parts, from, to),
      };
    }
    case "addChannelGradients": {
      const { width } = step;
      const [sums, statistics] = [values("sums"), values("statistics")];
      const gradients = found.gradients as ParameterGradients;
      const lanes = { width, groups: g, perAffine: width / affine };
      return {
        count: n * width,
        run: (from, to) => addChannelGradients(gradients, firstAffine, sums, statistics, lanes, from, to),
      };
    }
    case "mergeMoments":
    case "addSums":
      throw new RangeError(`expected ${step.kind} to follow a phase`);
  }
}

/** Merges segments [from, to) of the phase before `step`; those from `from` on lie at number `at` of the partials. */
export function mergeSegmentsOf(
  step: Step,
  grid: Grid,
  tables: StripeTables,
): (from: number, to: number, at: number) => void {
  const partials = tables.values("partials");
  if (step.kind === "mergeMoments") {
    const moments = tables.values("moments");
    return (from, to, at) => mergeSegments(grid, partials.subarray(2 * at), moments, from, to);
  }
  if (step.kind !== "addSums") throw new RangeError(`expected partials to be merged but got ${step.kind}`);
  const sums = tables.values(step.writes.includes("sums") ? "sums" : "totals").fill(0);
  return (from, to, at) => addSegments(grid, partials.subarray(2 * at), sums, from, to);
}

function statisticsOf(
  { from, eps, measure }: Pick<Extract<BetweenStep, { kind: "fillStatistics" }>, "from" | "eps" | "measure">,
  { plan, sample, group, groups }: Stripe,
  tables: StripeTables,
  { moments }: Inputs,
): Statistics {
  if (from === "own") return ofPairs(tables.values("moments"), cellsPerSet(plan.geometry), eps, measure);
  if (from === "moments" && moments !== null) return ofMoments(moments, sample * groups + group, eps, measure);
  if (tables.running === undefined) throw new RangeError(`expected statistics but got none from ${from}`);
  return ofRunning(tables.running, 0, eps, measure);
}
