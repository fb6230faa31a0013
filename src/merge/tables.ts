// What phases look up, filled from what others found out. Each fills the sets or entries [from, to), so that a large table can be filled a
// piece at a time.
import { affineCount, type Geometry } from "../plan/geometry.js";
import { type ApplyPhase, entriesPerSample, type Measure, type PropagatePhase, TABLE_FIELDS } from "../plan/phase.js";
import { rstdOf, type Statistics } from "./statistics.js";

/** {mean, rstd} of sets. */
export function fillStatistics(statistics: Statistics, values: Float64Array, from: number, to: number): void {
  const { means, spreads, first, stride } = statistics;
  for (let set = from, at = first + from * stride; set < to; set++, at += stride) {
    values[2 * set] = means[at] as number;
    values[2 * set + 1] = rstdOf(spreads[at] as number, statistics);
  }
}

/** The mean of each column's set, from {mean, rstd} of sets that have `perSet` columns. */
export function fillMeans(
  perSet: number,
  statistics: Float64Array,
  values: Float64Array,
  from: number,
  to: number,
): void {
  for (let entry = from; entry < to; entry++) values[entry] = statistics[2 * Math.floor(entry / perSet)] as number;
}

/** Up to so many deviations from 0 a mean is folded into the shift: CENTRED of workers/kernels/constants.ts. */
export const CENTRED = 0.125;

/**
 * The table of apply: {mean, scale, shift} of each entry. Without weight and bias the scale is rstd, and the shift 0. Where means are `folded`, one
 * near 0 becomes 0, and the shift less by it.
 */
export function fillTable(
  phase: ApplyPhase,
  geometry: Geometry,
  statistics: Statistics & { readonly folded: boolean },
  affine: { readonly weight: Float64Array; readonly bias: Float64Array } | null,
  values: Float64Array,
  from: number,
  to: number,
): void {
  const { means, spreads, first, stride, folded } = statistics;
  const { perSample, fields, step, apart, perSet, perAffine } = tableOf(phase, geometry);
  for (let index = from; index < to; ) {
    const sample = Math.floor(index / perSample);
    let entry = index - sample * perSample;
    const last = Math.min(perSample, entry + to - index);
    index += last - entry;
    let at = sample * fields * perSample + entry * step;
    for (let group = Math.floor(entry / perSet); entry < last; group++) {
      const set = first + (sample * geometry.g + group) * stride;
      const mean = means[set] as number;
      const rstd = rstdOf(spreads[set] as number, statistics);
      const near = folded && Math.abs(mean * rstd) <= CENTRED;
      for (const end = Math.min(last, (group + 1) * perSet); entry < end; entry++, at += step) {
        const scale = affine === null ? rstd : rstd * (affine.weight[Math.floor(entry / perAffine)] as number);
        const shift = affine === null ? 0 : (affine.bias[Math.floor(entry / perAffine)] as number);
        values[at] = near ? 0 : mean;
        values[at + apart] = scale;
        values[at + 2 * apart] = near ? shift - mean * scale : shift;
      }
    }
  }
}

export interface Propagation {
  /** {mean, rstd} of each set. */
  readonly statistics: Float64Array;
  /** {sum of g * w * (x - mean), sum of g * w} of each set; null where no gradient flows through the statistics. */
  readonly totals: Float64Array | null;
  readonly weight: Float64Array | null;
  /** Cells that the totals are of. */
  readonly count: number;
  readonly eps: number;
  readonly measure: Measure;
  /** Whether a mean may be folded into c. */
  readonly folded: boolean;
}

/** Up to so many deviations from 0 a mean is folded into c: NEAR of workers/kernels/constants.ts. */
export const NEAR = 65_536;

/** The table of propagate: {mean, a, b, c} of each entry, for y = g * a + (x - mean) * b + c, or with a mean of 0 for x * b + c. */
export function fillPropagation(
  phase: PropagatePhase,
  geometry: Geometry,
  { statistics, totals, weight, count, eps, measure, folded }: Propagation,
  values: Float64Array,
  from: number,
  to: number,
): void {
  const { perSample, fields, step, apart, perSet, perAffine } = tableOf(phase, geometry);
  for (let index = from; index < to; ) {
    const sample = Math.floor(index / perSample);
    let entry = index - sample * perSample;
    const last = Math.min(perSample, entry + to - index);
    index += last - entry;
    let at = sample * fields * perSample + entry * step;
    for (let group = Math.floor(entry / perSet); entry < last; group++) {
      const pair = 2 * (sample * geometry.g + group);
      const mean = statistics[pair] as number;
      const rstd = statistics[pair + 1] as number;
      const b = totals === null ? 0 : shareOf(rstd, totals[pair] as number, count, eps, measure);
      const c = totals === null || measure !== "deviation" ? 0 : -rstd * ((totals[pair + 1] as number) / count);
      const offset = c - mean * b;
      const near = folded && Math.abs(mean * rstd) < NEAR && Number.isFinite(offset);
      for (const end = Math.min(last, (group + 1) * perSet); entry < end; entry++, at += step) {
        values[at] = near ? 0 : mean;
        values[at + apart] = weight === null ? rstd : rstd * (weight[Math.floor(entry / perAffine)] as number);
        values[at + 2 * apart] = b;
        values[at + 3 * apart] = near ? offset : c;
      }
    }
  }
}

/** The factor of x - mean in a gradient, given the sum of g * w * (x - mean). */
function shareOf(rstd: number, products: number, count: number, eps: number, measure: Measure): number {
  if (measure !== "length") return -rstd * rstd * rstd * (products / count);
  // Where cells were divided by eps, a constant, none goes through their length.
  return rstd * eps >= 1 ? 0 : -rstd * rstd * products * rstd;
}

/** How a table lies: rows side by side, or for columns an array for each field, sample after sample. */
function tableOf(phase: ApplyPhase | PropagatePhase, geometry: Geometry) {
  const perSample = entriesPerSample(phase);
  const fields = TABLE_FIELDS[phase.kind];
  const byColumn = phase.layout === "columns";
  return {
    perSample,
    fields,
    /** From an entry to the next, and from one of its values to the next. */
    step: byColumn ? 1 : fields,
    apart: byColumn ? perSample : 1,
    perSet: perSample / geometry.g,
    /** Entries that share a weight. */
    perAffine: perSample / affineCount(geometry),
  };
}
