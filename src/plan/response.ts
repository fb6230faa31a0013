// LocalResponseNorm as a plan of one phase, forward or backward.
import type { Dtype } from "./cells.js";
import { PLAN_VERSION, type Plan } from "./plan.js";

/** Float64 numbers of a task's scratch: the squares of a tile's cells, of all its channels, stay in a core's cache. */
const SCRATCH_NUMBERS = 32_768;
/** Positions of a tile at most. */
const TILE = 512;

/** LocalResponseNorm of samples of `channels` rows of `space` cells; workers/kernels/response.ts has the formula. */
export interface ResponsePlanOptions {
  readonly samples: number;
  readonly channels: number;
  readonly space: number;
  readonly size: number;
  readonly alpha: number;
  readonly beta: number;
  readonly k: number;
}

export function planResponse(options: ResponsePlanOptions, dtype: Dtype, backward: boolean): Plan {
  const { samples, channels, space, size, alpha, beta, k } = options;
  const tile = Math.max(1, Math.min(space, TILE, Math.floor(SCRATCH_NUMBERS / channels)));
  const units = samples * Math.ceil(space / tile);
  const phase = {
    kind: "response",
    units,
    channels,
    space,
    tile,
    before: Math.min(channels, Math.floor(size / 2)),
    after: Math.min(channels, Math.floor((size - 1) / 2)),
    factor: alpha / size,
    beta,
    k,
    back: (2 * alpha * beta) / size,
  } as const;
  return {
    version: PLAN_VERSION,
    dtype,
    geometry: { n: samples, r: 1, g: 1, k: channels, s: space },
    affineRows: false,
    affineRepeat: 1,
    steps: [{ kind: "phase", phase, reads: backward ? ["x", "g"] : ["x"], writes: ["y"] }],
  };
}
