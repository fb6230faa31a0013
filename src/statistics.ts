// Mean and deviation of sets, however they came, as the phases look them up.
import { affineCount, type Geometry } from "./geometry.js";
import type { Normalization } from "./layers/layer.js";
import type { SetMoments } from "./moments.js";
import type { ApplyPhase, PropagatePhase } from "./protocol.js";

/** Mean and 1 / sqrt(variance + eps) of a set. */
export interface Statistics {
  mean(set: number): number;
  rstd(set: number): number;
}

export function ofMoments({ count, mean, m2 }: SetMoments, eps: number): Statistics {
  return {
    mean: (set) => mean[set] as number,
    rstd: (set) => 1 / Math.sqrt((m2[set] as number) / count + eps),
  };
}

/** Running statistics: a set is a channel. */
export function ofChannels({ mean, variance }: NonNullable<Normalization["given"]>, eps: number): Statistics {
  return {
    mean: (set) => mean[set] as number,
    rstd: (set) => 1 / Math.sqrt((variance[set] as number) + eps),
  };
}

/** Entries of a sample's table; of the layout `cells`, of its sets. */
export function entriesPerSample(phase: ApplyPhase | PropagatePhase): number {
  return phase.layout === "runs" ? phase.period : phase.layout === "cells" ? phase.groups : phase.width;
}

/** Calls `visit` for each entry of a table of `fields` values an entry: rows side by side, or for columns an array for each field. */
export function eachEntry(
  phase: ApplyPhase | PropagatePhase,
  geometry: Geometry,
  fields: number,
  visit: (at: number, stride: number, set: number, affine: number) => void,
): void {
  const perSample = entriesPerSample(phase);
  const perSet = perSample / geometry.g;
  const perAffine = perSample / affineCount(geometry);
  const byColumn = phase.layout === "columns";
  for (let sample = 0; sample < geometry.n; sample++) {
    for (let entry = 0; entry < perSample; entry++) {
      const at = byColumn ? sample * fields * perSample + entry : (sample * perSample + entry) * fields;
      const set = sample * geometry.g + Math.floor(entry / perSet);
      visit(at, byColumn ? perSample : 1, set, Math.floor(entry / perAffine));
    }
  }
}
