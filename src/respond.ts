// One call of LocalResponseNorm, forward or (with gradients among the operands) backward.
import type { Response } from "./layers/layer.js";
import type { Start } from "./normalize.js";
import { slices } from "./plan.js";
import { NONE, type Operands, type ResponsePhase } from "./protocol.js";
import type { Steps } from "./steps.js";

/** Float64 numbers of a task's scratch: the squares of a tile's cells, of all its channels, stay in a core's cache. */
const SCRATCH_NUMBERS = 32_768;
/** Positions of a tile at most. */
const TILE = 512;

export function* respond(response: Response, operands: Operands, start: Start): Steps<void> {
  const { samples, channels, space, size, alpha, beta, k } = response;
  const tile = Math.max(1, Math.min(space, TILE, Math.floor(SCRATCH_NUMBERS / channels)));
  const arrays = operands.g === NONE ? 1 : 3;
  const phase: ResponsePhase = {
    kind: "response",
    channels,
    space,
    tile,
    size,
    alpha,
    beta,
    k,
    scratchBytes: arrays * channels * (tile + (tile % 2)) * 8,
    ...slices(samples * Math.ceil(space / tile), channels * tile),
  };
  yield start([phase])(phase, operands);
}
