// What phases look up, filled from what others found out. Each fills the sets or entries [from, to), so that a large table can be filled a
// piece at a time.
import { affineCount, type Geometry } from "../plan/geometry.js";
import { type ApplyPhase, type ByTable, entriesPerSample, type PropagatePhase, TABLE_FIELDS } from "../plan/phase.js";
import type { Statistics } from "./statistics.js";

/** {mean, rstd} of sets. */
export function fillStatistics(statistics: Statistics, values: Float64Array, from: number, to: number): void {
  for (let set = from; set < to; set++) {
    values[2 * set] = statistics.mean(set);
    values[2 * set + 1] = statistics.rstd(set);
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

/** The table of apply: {mean, scale, shift} of each entry. Without weight and bias the scale is rstd, and the shift 0. */
export function fillTable(
  phase: ApplyPhase,
  geometry: Geometry,
  statistics: Statistics,
  affine: { readonly weight: Float64Array; readonly bias: Float64Array } | null,
  values: Float64Array,
  from: number,
  to: number,
): void {
  eachEntry(phase, geometry, TABLE_FIELDS.apply, from, to, (at, stride, set, index) => {
    const rstd = statistics.rstd(set);
    values[at] = statistics.mean(set);
    values[at + stride] = affine === null ? rstd : rstd * (affine.weight[index] as number);
    values[at + 2 * stride] = affine === null ? 0 : (affine.bias[index] as number);
  });
}

export interface Propagation {
  /** {mean, rstd} of each set. */
  readonly statistics: Float64Array;
  /** {sum of g * w * (x - mean), sum of g * w} of each set; null where no gradient flows through the statistics. */
  readonly totals: Float64Array | null;
  readonly weight: Float64Array | null;
  /** Cells that the totals are of. */
  readonly count: number;
  readonly centred: boolean;
  /** Whether a mean may be folded into c. */
  readonly folded: boolean;
}

/** Up to so many deviations from 0 a mean is folded into c: NEAR of workers/kernels/constants.ts. */
export const NEAR = 65_536;

/** The table of propagate: {mean, a, b, c} of each entry, for y = g * a + (x - mean) * b + c, or with a mean of 0 for x * b + c. */
export function fillPropagation(
  phase: PropagatePhase,
  geometry: Geometry,
  { statistics, totals, weight, count, centred, folded }: Propagation,
  values: Float64Array,
  from: number,
  to: number,
): void {
  eachEntry(phase, geometry, TABLE_FIELDS.propagate, from, to, (at, stride, set, affine) => {
    const mean = statistics[2 * set] as number;
    const rstd = statistics[2 * set + 1] as number;
    const b = totals === null ? 0 : -rstd * rstd * rstd * ((totals[2 * set] as number) / count);
    const c = totals === null || !centred ? 0 : -rstd * ((totals[2 * set + 1] as number) / count);
    const offset = c - mean * b;
    const near = folded && Math.abs(mean * rstd) < NEAR && Number.isFinite(offset);
    values[at] = near ? 0 : mean;
    values[at + stride] = weight === null ? rstd : rstd * (weight[affine] as number);
    values[at + 2 * stride] = b;
    values[at + 3 * stride] = near ? offset : c;
  });
}

/**
 * Calls `visit` for entries [from, to) of a table of `fields` values an entry: rows side by side, or for columns an array for each field.
 * Told where the entry's first value is, how far apart its values are, its set and its affine index.
 */
export function eachEntry(
  phase: ByTable,
  geometry: Geometry,
  fields: number,
  from: number,
  to: number,
  visit: (at: number, stride: number, set: number, affine: number) => void,
): void {
  const perSample = entriesPerSample(phase);
  const perSet = perSample / geometry.g;
  const perAffine = perSample / affineCount(geometry);
  const byColumn = phase.layout === "columns";
  let sample = Math.floor(from / perSample);
  let entry = from % perSample;
  for (let index = from; index < to; index++) {
    const at = byColumn ? sample * fields * perSample + entry : index * fields;
    const set = sample * geometry.g + Math.floor(entry / perSet);
    visit(at, byColumn ? perSample : 1, set, Math.floor(entry / perAffine));
    if (++entry < perSample) continue;
    entry = 0;
    sample++;
  }
}
