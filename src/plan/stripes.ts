// Stripes: the tables of a call (of sets, channels, columns) are made for so many sets at a time as fit in memory. A stripe is a range of samples,
// and where one sample's tables are too large (BatchNorm of many channels: its samples are rows) of groups. No set crosses one, and
// all segments lie as the whole tensor's do, so stripes change no bit.
import { SINK_ROWS, samplesPerBlock } from "./backward.js";
import { type Geometry, setCount } from "./geometry.js";
import { blocksOf, columnTilesOf, SEGMENT_CELLS, segmentsOf } from "./grid.js";
import { lanesOf } from "./moments.js";
import { entriesPerSample, type MomentsPhase, type Phase, type ReducePhase, TABLE_FIELDS } from "./phase.js";
import type { Plan, Role, Step, TableRole } from "./plan.js";

/** Bytes of a stripe's tables, at most, unless a single set has more. */
export const STRIPE_BYTES = 16 << 20;
const PAIR_BYTES = 16;

/** Where the cells of a part of a tensor are in it: cell i at start + floor(i / width) * pitch + i % width. */
export interface Window {
  readonly start: number;
  readonly width: number;
  readonly pitch: number;
}

export interface Stripe {
  readonly plan: Plan;
  /** Null where it is the whole tensor. */
  readonly window: Window | null;
  /** Its first sample and group, of all samples that have `groups` each. */
  readonly sample: number;
  readonly group: number;
  readonly groups: number;
  /** Whether it starts in a block of samples whose sums an earlier stripe began, and whether the block ends with it. */
  readonly continues: boolean;
  readonly ends: boolean;
}

/** Cuts `plan`, that of the whole tensor, into stripes; `planPart` plans a part of the geometry that its steps see. */
export function* stripesOf(plan: Plan, planPart: (part: Geometry) => Plan, bytes = STRIPE_BYTES): Generator<Stripe> {
  const { geometry } = plan;
  const { n, r, g, k, s } = geometry;
  if (tableBytes(plan, bytes) <= bytes) {
    yield { plan, window: null, sample: 0, group: 0, groups: g, continues: false, ends: true };
    return;
  }
  const one = planPart({ ...geometry, n: 1 });
  const perSample = tableBytes(one, bytes);
  const perGroup = tableBytes(planPart({ ...geometry, n: 1, g: 1 }), bytes);
  const wide =
    perSample <= bytes ? g : Math.min(g, wholeLanes(bytes / perGroup, plan.affineRows ? SEGMENT_CELLS : LANES));
  const high = perSample <= bytes ? Math.max(1, Math.floor(bytes / perSample)) : 1;
  const perBlock = samplesPerBlock(plan);
  const cells = k * s;
  // All but the last of a row or column of stripes have the same plan.
  let last: Plan | undefined;
  for (let group = 0; group < g; group += wide) {
    const groups = Math.min(wide, g - group);
    for (let sample = 0; sample < n; ) {
      const samples = Math.min(n - sample, samplesFrom(sample, high, perBlock));
      const part = { ...geometry, n: samples, g: groups };
      if (last === undefined || last.geometry.n !== samples || last.geometry.g !== groups) last = planPart(part);
      const window = { start: (sample * r * g + group) * cells, width: groups * cells, pitch: g * cells };
      const end = sample + samples;
      const ends = end === n || end % perBlock === 0;
      yield { plan: last, window, sample, group, groups: g, continues: sample % perBlock !== 0, ends };
      sample = end;
    }
  }
}

/** The kernels take four columns together: a stripe that cut them would sum their cells in another way. */
const LANES = 4;

/** In whole segments of a row, where a row's sums are gradients. */
function wholeLanes(groups: number, lanes: number): number {
  return Math.max(lanes, Math.floor(groups / lanes) * lanes);
}

/** Samples of a stripe from `sample` on: whole blocks, or a part of one, in whole groups of those whose gradients by cell are added together. */
function samplesFrom(sample: number, high: number, perBlock: number): number {
  if (high >= perBlock) return high - (high % perBlock);
  const rows = Math.max(SINK_ROWS, high - (high % SINK_ROWS));
  return Math.min(rows, perBlock - (sample % perBlock));
}

/** Bytes of all tables that grow with the sets of a plan. */
function tableBytes({ steps, geometry }: Plan, bytes: number): number {
  let total = 0;
  for (const step of steps) {
    for (const role of step.writes) {
      // Sums by cell are of blocks, a bounded number of them, and grow with the parameters.
      if (!isTensor(role) && role !== "cellSums") {
        total += 8 * numbersOf(step, role, geometry, bytes);
      }
    }
  }
  return total;
}

function isTensor(role: Role): role is Exclude<Role, TableRole> {
  return role === "x" || role === "g" || role === "y" || role === "gradients";
}

/** Whether a phase's partials are merged in order, so that it may be run a part of its units at a time. */
export function isMerged(phase: Phase): phase is MomentsPhase | ReducePhase {
  return phase.kind === "moments" || phase.kind === "reduce";
}

/** Units [from, to) of a phase whose partials are merged, as many as leave half of `bytes` of them. */
export function* roundsOf(phase: MomentsPhase | ReducePhase, bytes: number): Generator<{ from: number; to: number }> {
  const step = unitsPerRound(phase, bytes);
  for (let from = 0; from < phase.units; from += step) yield { from, to: Math.min(phase.units, from + step) };
}

/** In columns whole blocks. */
function unitsPerRound(phase: MomentsPhase | ReducePhase, bytes: number): number {
  const segments = Math.max(1, Math.floor(bytes / 2 / PAIR_BYTES));
  if (phase.layout !== "columns") return Math.min(phase.units, segments);
  return Math.min(phase.units, Math.max(1, Math.floor(segments / phase.width)) * columnTilesOf(phase.width));
}

/** Float64 numbers that a step writes for a role, where a stripe's tables have `bytes`. */
export function numbersOf(step: Step, role: TableRole, geometry: Geometry, bytes: number): number {
  const { n } = geometry;
  switch (role) {
    case "weight":
    case "bias":
      return 0;
    case "moments":
    case "statistics":
    case "totals":
      return 2 * setCount(geometry);
    case "means":
      return step.kind === "fillMeans" ? n * step.width : 0;
    case "sums":
      return step.kind === "addSums" ? 2 * n * lanesOf(step.phase) : 0;
    case "table":
      if (step.kind !== "fillTable" && step.kind !== "fillPropagation") return 0;
      return TABLE_FIELDS[step.phase.kind] * n * entriesPerSample(step.phase);
    case "partials":
    case "cellSums":
      return step.kind === "phase" ? partialNumbers(step.phase, bytes) : 0;
  }
}

/** Numbers that a phase writes to its partials at a time. */
function partialNumbers(phase: Phase, bytes: number): number {
  switch (phase.kind) {
    case "moments":
    case "reduce":
      return 2 * segmentsOf(phase, unitsPerRound(phase, bytes));
    case "sumRows":
      return 2 * phase.units;
    case "accumulate":
      return 2 * blocksOf(phase.samples, phase.perBlock) * phase.groups * phase.length;
    case "differentiate":
      if (phase.sinks) return 2 * phase.units * phase.groups * phase.length;
      return 2 * phase.sets * (phase.length / phase.run);
    default:
      return 0;
  }
}
