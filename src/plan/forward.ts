// The forward pass as a plan: one phase where a set fits in a core's cache, else moments, what is merged of them, and apply.
import type { Dtype } from "./cells.js";
import { cellsPerSet, type Geometry, sameGeometry } from "./geometry.js";
import { byCell, byChannel, hasEntryPerCell, seenGeometry, WHOLE_SET_CELLS } from "./layout.js";
import { findMoments } from "./moments.js";
import type { ApplyPhase, Measure } from "./phase.js";
import { PLAN_VERSION, type Plan, type Role, type StatisticsSource, type Step } from "./plan.js";

export interface ForwardPlanOptions {
  readonly dtype: Dtype;
  readonly eps: number;
  readonly measure: Measure;
  /** Whether there are weights that change anything, and what has one each: an affine index, or a row. */
  readonly affine: "none" | "channel" | "row";
  readonly statistics: StatisticsSource;
  /** Whether the sets' moments are asked for. */
  readonly wanted: boolean;
}

interface Made {
  readonly whole: Geometry;
  readonly options: ForwardPlanOptions;
  readonly plan: Plan;
}
let last: Made | undefined;

/**
 * How a forward call runs. A call like the one before it has the same plan: plans are data that nothing changes.
 * @param part the part of the tensor, as the steps see it, that is planned; default all.
 */
export function planForward(geometry: Geometry, options: ForwardPlanOptions, part?: Geometry): Plan {
  if (part !== undefined) return planPart(seenWhole(geometry, options), options, part);
  if (last === undefined || !sameGeometry(last.whole, geometry) || !sameOptions(last.options, options)) {
    const whole = seenWhole(geometry, options);
    last = { whole: geometry, options, plan: planPart(whole, options, whole) };
  }
  return last.plan;
}

function seenWhole(geometry: Geometry, { affine, statistics }: ForwardPlanOptions): Geometry {
  return seenGeometry(geometry, affine !== "none", statistics);
}

function sameOptions(a: ForwardPlanOptions, b: ForwardPlanOptions): boolean {
  return (
    a.dtype === b.dtype &&
    a.eps === b.eps &&
    a.measure === b.measure &&
    a.affine === b.affine &&
    a.statistics === b.statistics &&
    a.wanted === b.wanted
  );
}

function planPart(whole: Geometry, options: ForwardPlanOptions, geometry: Geometry): Plan {
  const { dtype } = options;
  const perCell = hasEntryPerCell(geometry) && options.statistics !== "running";
  const affineRepeat = perCell ? geometry.s : 1;
  return {
    version: PLAN_VERSION,
    dtype,
    geometry,
    affineRows: options.affine === "row",
    affineRepeat,
    steps: stepsOf(whole, options, geometry, perCell),
  };
}

function stepsOf(whole: Geometry, options: ForwardPlanOptions, geometry: Geometry, perCell: boolean): Step[] {
  const { eps, measure, affine, statistics: from, wanted } = options;
  const { n, r, g, s } = geometry;
  const length = cellsPerSet(geometry);
  const parameters: readonly Role[] = affine === "none" ? [] : ["weight", "bias"];
  if (from === "own" && r === 1 && length <= WHOLE_SET_CELLS) {
    const run = perCell ? 1 : s;
    const phase = { kind: "normalize", units: n * g, length, groups: g, run, eps, measure } as const;
    return [{ kind: "phase", phase, reads: ["x", ...parameters], writes: wanted ? ["y", "moments"] : ["y"] }];
  }
  const apply: ApplyPhase = { kind: "apply", ...(perCell ? byCell(geometry) : byChannel(geometry)) };
  // Where cells or rows have weights of their own the kernel reads them itself, and the scale is rstd.
  const apart = apply.layout === "cells" || affine === "row";
  const [inTable, inPhase] = apart ? [[], parameters] : [parameters, []];
  const statistics: readonly Role[] = from === "own" ? ["moments"] : [];
  const folded = options.dtype !== "float64" && apply.layout === "stretches";
  return [
    ...(from === "own" ? findMoments(geometry, whole, measure) : []),
    {
      kind: "fillTable",
      phase: apply,
      from,
      eps,
      measure,
      folded,
      reads: [...statistics, ...inTable],
      writes: ["table"],
    },
    { kind: "phase", phase: apply, reads: ["x", "table", ...inPhase], writes: ["y"] },
  ];
}
