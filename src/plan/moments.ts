// Plans that end with what they found out: moments of sets, and sums of gradients.
import type { Dtype } from "./cells.js";
import type { Geometry } from "./geometry.js";
import { momentsPhase, reducePhase } from "./layout.js";
import type { Measure, ReducePhase } from "./phase.js";
import { PLAN_VERSION, type Plan, type Step } from "./plan.js";

export interface MomentsPlanOptions {
  readonly dtype: Dtype;
  readonly measure: Measure;
}

/** The moments of each set. @param part the part of the tensor that is planned; default all. */
export function planMoments(whole: Geometry, { dtype, measure }: MomentsPlanOptions, part = whole): Plan {
  return {
    version: PLAN_VERSION,
    dtype,
    geometry: part,
    affineRows: false,
    affineRepeat: 1,
    steps: findMoments(part, whole, measure),
  };
}

/** Steps from x to the moments of each set. */
export function findMoments(geometry: Geometry, whole: Geometry, measure: Measure): Step[] {
  const phase = momentsPhase(geometry, whole.n * whole.r, measure === "deviation");
  return [
    { kind: "phase", phase, reads: ["x"], writes: ["partials"] },
    { kind: "mergeMoments", phase, reads: ["partials"], writes: ["moments"] },
  ];
}

export interface SumsPlanOptions {
  readonly dtype: Dtype;
  readonly eps: number;
}

/** SyncBatchNorm's sums of each channel, from the means of moments that come with the call. */
export function planSums(whole: Geometry, { dtype, eps }: SumsPlanOptions, part = whole): Plan {
  const phase = reducePhase(part, whole.n * whole.r, false);
  return {
    version: PLAN_VERSION,
    dtype,
    geometry: part,
    affineRows: false,
    affineRepeat: 1,
    steps: [
      { kind: "fillStatistics", from: "moments", eps, measure: "deviation", reads: [], writes: ["statistics"] },
      ...findSums(phase, false),
      { kind: "sumSets", width: lanesOf(phase), given: false, reads: ["sums"], writes: ["totals"] },
    ],
  };
}

/** Steps from x, g and statistics to sums by channel; where cells or rows have a weight each (`bySet`), to those by set. */
export function findSums(phase: ReducePhase, bySet: boolean, weighted = false): Step[] {
  const sums = bySet ? "totals" : "sums";
  const merge: Step = { kind: "addSums", phase, reads: ["partials"], writes: [sums] };
  if (phase.layout === "columns") {
    return [
      { kind: "fillMeans", width: phase.width, reads: ["statistics"], writes: ["means"] },
      {
        kind: "phase",
        phase,
        reads: bySet && weighted ? ["x", "g", "means", "weight"] : ["x", "g", "means"],
        writes: ["partials"],
      },
      merge,
    ];
  }
  const reads = bySet && weighted ? (["x", "g", "statistics", "weight"] as const) : (["x", "g", "statistics"] as const);
  return [{ kind: "phase", phase, reads, writes: ["partials"] }, merge];
}

/** What is summed on its own in a row: a sample's channels, columns or, with a weight a cell, sets. */
export function lanesOf(phase: ReducePhase): number {
  return phase.layout === "columns" ? phase.width : phase.period;
}
