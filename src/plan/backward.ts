// The backward pass as a plan. The formulas are in workers/kernels/gradient.ts.
import type { Dtype } from "./cells.js";
import { affineCount, cellsPerSet, type Geometry } from "./geometry.js";
import { blocksOf, columnTilesOf, partsOf } from "./grid.js";
import { byCell, byChannel, hasEntryPerCell, reducePhase, seenGeometry, WHOLE_SET_CELLS } from "./layout.js";
import { findMoments, findSums, lanesOf } from "./moments.js";
import type {
  AccumulatePhase,
  ApplyPhase,
  DifferentiatePhase,
  Measure,
  PropagatePhase,
  SumRowsPhase,
} from "./phase.js";
import { PLAN_VERSION, type Plan, type Role, type StatisticsSource, type Step } from "./plan.js";

/** The widest sample whose parameters' gradients a worker sums while it computes the input's: 256 KiB of sums stay in its cache. */
const SINK_CELLS = 16_384;

/** Blocks of samples that gradients of parameters with an entry a cell are summed by: enough for many threads, each sum a block long. */
const SINK_BLOCKS = 128;

/**
 * Rows of float32 cells that a worker adds in float32, before it adds their sum to the others: SINK_ROWS of workers/kernels/constants.ts. And the fewest rows
 * for which it does: the roundings of more average out.
 */
export const SINK_ROWS = 4;
const FEWEST_SINGLE = 256;

export interface BackwardPlanOptions {
  readonly dtype: Dtype;
  readonly eps: number;
  readonly measure: Measure;
  /** Whether there are parameters, whose gradients are to be found. */
  readonly parameters: boolean;
  /** Whether parameters have an entry a row. */
  readonly rows: boolean;
  /** Whether there are weights that change anything. */
  readonly weighted: boolean;
  /** Running statistics are constants that no gradient flows through. */
  readonly statistics: StatisticsSource;
  /** Whether the sets' sums come with the call. */
  readonly givenSums: boolean;
}

/** How a backward call runs. @param part the part of the tensor, as the steps see it, that is planned; default all. */
export function planBackward(whole: Geometry, options: BackwardPlanOptions, part?: Geometry): Plan {
  const { dtype, parameters, statistics } = options;
  const seen = seenGeometry(whole, parameters, statistics);
  const geometry = part ?? seen;
  const perCell = hasEntryPerCell(geometry) && statistics !== "running";
  return {
    version: PLAN_VERSION,
    dtype,
    geometry,
    affineRows: options.rows,
    affineRepeat: perCell ? geometry.s : 1,
    steps: stepsOf(seen, options, geometry, perCell),
  };
}

/**
 * Samples whose gradients by cell are summed in one block, or 1 where they are not. A stripe has whole blocks, or lies in one.
 */
export function samplesPerBlock({ steps }: Plan): number {
  for (const step of steps) {
    if (step.kind !== "phase") continue;
    if (step.phase.kind === "accumulate") return step.phase.perBlock;
    if (step.phase.kind === "differentiate") return step.phase.sinks ? step.phase.setsPerUnit / step.phase.groups : 1;
  }
  return 1;
}

function stepsOf(whole: Geometry, options: BackwardPlanOptions, geometry: Geometry, perCell: boolean): Step[] {
  const { eps, measure, parameters, rows, weighted, statistics: from, givenSums } = options;
  const { n, r, g, s } = geometry;
  const length = cellsPerSet(geometry);
  const weight: readonly Role[] = weighted ? ["weight"] : [];
  const atOnce = r === 1 && length <= WHOLE_SET_CELLS && from !== "running" && !givenSums;
  // What is wide is not summed beside the input's gradient.
  const sinks = perCell && parameters && atOnce && whole.g * length <= SINK_CELLS;
  const accumulates = perCell && parameters && !sinks;
  const differentiates = atOnce;
  const knows = from !== "own" || !differentiates || accumulates;
  const statistics: readonly Role[] = knows ? ["statistics"] : [];
  const steps: Step[] = [];
  if (knows && from === "own") steps.push(...findMoments(geometry, whole, measure));
  if (knows) {
    const reads: readonly Role[] = from === "own" ? ["moments"] : [];
    steps.push({ kind: "fillStatistics", from, eps, measure, reads, writes: ["statistics"] });
  }
  if (accumulates) {
    const phase = accumulatePhase(whole, geometry, length);
    steps.push(
      { kind: "phase", phase, reads: ["x", "g", "statistics"], writes: ["cellSums"] },
      { kind: "addCellGradients", cells: g * length, reads: ["cellSums"], writes: ["gradients"] },
    );
  }
  if (differentiates) {
    const perBlock = sinks ? blockOf(whole, length) : 1;
    const phase: DifferentiatePhase = {
      kind: "differentiate",
      units: sinks ? Math.ceil(n / perBlock) : n * g,
      setsPerUnit: sinks ? perBlock * g : 1,
      sets: n * g,
      length,
      groups: g,
      run: perCell ? 1 : s,
      eps,
      measure,
      byCell: perCell,
      sinks,
      together: sinks && options.dtype === "float32" && whole.g === 1 && whole.n >= FEWEST_SINGLE ? SINK_ROWS : 1,
    };
    const sums = sinks || (parameters && !perCell);
    const writes: readonly Role[] = sums ? ["y", sinks ? "cellSums" : "partials"] : ["y"];
    steps.push({ kind: "phase", phase, reads: ["x", "g", ...statistics, ...weight], writes });
    if (sinks) {
      steps.push({ kind: "addCellGradients", cells: g * length, reads: ["cellSums"], writes: ["gradients"] });
    } else if (sums) {
      steps.push({ kind: "addRunGradients", runs: affineCount(geometry), reads: ["partials"], writes: ["gradients"] });
    }
    return steps;
  }
  const flows = from !== "running";
  if (rows && parameters) {
    const table: ApplyPhase = { kind: "apply", ...byChannel(geometry) };
    const phase: SumRowsPhase = { kind: "sumRows", units: n * r * partsOf(g), rows: r, width: g };
    steps.push(
      {
        kind: "fillTable",
        phase: table,
        from,
        eps,
        measure,
        folded: false,
        reads: from === "own" ? ["moments"] : [],
        writes: ["table"],
      },
      { kind: "phase", phase, reads: ["x", "g", "table"], writes: ["partials"] },
      { kind: "addRowGradients", rows: r, width: g, reads: ["partials"], writes: ["gradients"] },
    );
  }
  const ofChannels = parameters && !perCell && !rows;
  if (ofChannels || (flows && !givenSums)) {
    const phase = reducePhase(geometry, whole.n * whole.r, perCell);
    // With a weight a cell or row, what is summed on its own is a set.
    steps.push(...findSums(phase, perCell || rows, weighted));
    const width = lanesOf(phase);
    if (ofChannels) {
      steps.push({ kind: "addChannelGradients", width, reads: ["sums", "statistics"], writes: ["gradients"] });
    }
    if (flows && !givenSums && !perCell && !rows) {
      steps.push({ kind: "sumSets", width, given: false, reads: ["sums", ...weight], writes: ["totals"] });
    }
  }
  if (flows && givenSums) {
    steps.push({ kind: "sumSets", width: affineCount(geometry), given: true, reads: weight, writes: ["totals"] });
  }
  const propagate: PropagatePhase = { kind: "propagate", ...(perCell ? byCell(geometry) : byChannel(geometry)) };
  const [inTable, inPhase] = perCell || rows ? [[], weight] : [weight, []];
  steps.push(
    {
      kind: "fillPropagation",
      phase: propagate,
      measure,
      eps,
      count: givenSums ? null : length,
      folded: options.dtype !== "float64",
      reads: flows ? ["statistics", "totals", ...inTable] : ["statistics", ...inTable],
      writes: ["table"],
    },
    { kind: "phase", phase: propagate, reads: ["x", "g", "table", ...inPhase], writes: ["y"] },
  );
  return steps;
}

function blockOf({ n, g }: Geometry, length: number): number {
  return Math.max(Math.ceil(n / SINK_BLOCKS), Math.ceil(SINK_CELLS / (g * length)));
}

function accumulatePhase(whole: Geometry, { n, g }: Geometry, length: number): AccumulatePhase {
  // Where there are many tiles there is work for all threads without cutting the samples.
  const blocks = Math.max(1, Math.ceil(SINK_BLOCKS / columnTilesOf(whole.g * length)));
  const perBlock = Math.ceil(whole.n / blocks);
  const units = blocksOf(n, perBlock) * columnTilesOf(g * length);
  return { kind: "accumulate", units, samples: n, perBlock, length, groups: g };
}
