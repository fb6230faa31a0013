// What the rounding errors of a conformance case's results are relative to, cell by cell, by the float64 oracle.
import type { BaseLayer } from "../src/layers/base-layer.js";
import { LocalResponseNorm } from "../src/layers/local-response-norm.js";
import type { Case } from "./conformance-cases.js";
import {
  batchNorm,
  groupNorm,
  instanceNorm,
  layerNorm,
  localResponseNorm,
  type ReferenceOptions,
  rmsNorm,
} from "./reference.js";
import {
  batchNormBackward,
  groupNormBackward,
  instanceNormBackward,
  layerNormBackward,
  localResponseNormBackward,
  type ReferenceGradients,
  rmsNormBackward,
} from "./reference-backward.js";
import { largest } from "./rounding.js";

/** The oracle's results for a case; without weights LocalResponseNorm, without biases RMSNorm. */
export type OracleResults = { readonly y: Float64Array } & Pick<ReferenceGradients, "gradInput" | "scale"> &
  Partial<ReferenceGradients>;

/** The oracle's results for the case, whose layer says its eps and the like. */
export function askOracle(c: Case, layer: BaseLayer): OracleResults {
  const { op, args, channelAxis, input, gradOutput } = c;
  const [x, g, options] = [input.data, gradOutput.data, optionsOf(c, layer)];
  const { shape } = input;
  if (layer instanceof LocalResponseNorm) {
    return { ...localResponseNorm(x, shape, layer), ...localResponseNormBackward(x, g, shape, layer) };
  }
  const last = [args[0]].flat() as number[];
  if (op === "LayerNorm") return { ...layerNorm(x, last, options), ...layerNormBackward(x, g, last, options) };
  if (op === "RMSNorm") return { ...rmsNorm(x, last, options), ...rmsNormBackward(x, g, last, options) };
  if (op === "GroupNorm") {
    const groups = args[0] as number;
    return { ...groupNorm(x, shape, groups, options), ...groupNormBackward(x, g, shape, groups, options) };
  }
  if (op.startsWith("BatchNorm")) {
    return { ...batchNorm(x, shape, options), ...batchNormBackward(x, g, shape, options) };
  }
  // The oracle knows only batches: one sample is a batch of one.
  const unbatched = shape.length === Number(op.at(-2)) + 1;
  const batch = unbatched ? [1, ...shape] : shape;
  const moved = unbatched && channelAxis !== undefined && channelAxis >= 0 ? { channelAxis: channelAxis + 1 } : {};
  const asBatch = { ...options, ...moved };
  return { ...instanceNorm(x, batch, asBatch), ...instanceNormBackward(x, g, batch, asBatch) };
}

function optionsOf({ state, training, channelAxis }: Case, layer: BaseLayer): ReferenceOptions {
  const { weight, bias, running_mean: mean, running_var: variance } = state;
  const eps: unknown = Reflect.get(layer, "eps");
  return {
    ...(typeof eps === "number" && { eps }),
    ...(channelAxis !== undefined && { channelAxis }),
    weight: weight?.data ?? null,
    bias: bias?.data ?? null,
    given: !training && mean && variance ? { mean: mean.data, variance: variance.data } : null,
  };
}

/**
 * What the errors of each result are relative to, by its name in the case. A mean that is off by a share of the deviation moves
 * every cell by that much, so for centred layers an output's scale is 1 at least, and dweight's has |g| beside |g * xhat|.
 */
export function scalesOf(c: Case, oracle: OracleResults): Record<string, ArrayLike<number>> {
  const { scale, weightScale, biasScale } = oracle;
  const centred = c.op !== "RMSNorm" && c.op !== "LocalResponseNorm";
  const { running_mean: mean, running_var: variance } = c.reference?.state ?? {};
  return {
    output: oracle.y.map((y) => Math.max(centred ? 1 : 0, Math.abs(y))),
    grad_input: scale,
    ...(weightScale && { grad_weight: weightScale.map((value, i) => value + (biasScale?.[i] ?? 0)) }),
    ...(biasScale && { grad_bias: biasScale }),
    // A channel's mean may be near 0 by chance, and is no more exact for it.
    ...(mean && { running_mean: Float64Array.from(mean.data, () => largest(mean.data)) }),
    ...(variance && { running_var: variance.data }),
  };
}
