import { InvalidArgumentError } from "../errors.js";
import type { Layer, Normalization } from "../layers/layer.js";
import { type Moments, type SetMoments, unpackInto } from "../merge/moments.js";
import { cellsPerSet, type Geometry } from "../plan/geometry.js";
import { planMoments } from "../plan/moments.js";
import type { Measure } from "../plan/phase.js";
import { NO_INPUTS } from "../run/call.js";
import type { Executor } from "../run/executor.js";
import { runCall } from "../run/run-call.js";
import type { Steps } from "../run/steps.js";
import { checkTensor, type Tensor } from "../tensor/tensor.js";
import { emptyMoments } from "./forward.js";
import { type CallOptions, checkCallOptions, checkLayer, type LayerCallOptions } from "./options.js";
import { prepare } from "./prepare.js";

/** `pool.moments`. */
export function* moments(executor: Executor, x: Tensor, given: unknown): Steps<Moments> {
  const operation = "pool.moments";
  checkTensor(operation, "x", x);
  const options = checkCallOptions<CallOptions>(operation, given, []);
  if (x.size === 0) return { count: 0, mean: 0, m2: 0 };
  const all = { n: 1, r: 1, g: 1, k: 1, s: x.size };
  const { count, mean, m2 } = yield* find(executor, operation, x, all, "deviation", options);
  return { count, mean: mean[0] as number, m2: m2[0] as number };
}

/** `pool.momentsOf`. */
export function* momentsOf(executor: Executor, layer: Layer, x: Tensor, given: unknown): Steps<SetMoments> {
  checkLayer("pool.momentsOf", layer);
  const operation = layer.name;
  checkTensor(operation, "x", x);
  const options = checkCallOptions<LayerCallOptions>(operation, given, []);
  const { geometry, measure } = prepareMoments(operation, layer, x, options.channelAxis);
  return yield* find(executor, operation, x, geometry, measure, options);
}

/** The layer's sets. Throws InvalidArgumentError of a layer that has none, and as `prepare`. */
export function prepareMoments(
  operation: string,
  layer: Layer,
  x: Pick<Tensor, "dtype" | "shape" | "size">,
  channelAxis: number | undefined,
): Normalization {
  const computation = prepare(operation, layer, x, {
    dtype: x.dtype,
    channelAxis,
    partOfBatch: true,
    momentsOnly: true,
  });
  if (computation.kind === "normalization") return computation;
  const expected = "one whose cells share a mean (any but LocalResponseNorm)";
  throw new InvalidArgumentError(operation, "layer", expected, `${layer}`);
}

function find(
  executor: Executor,
  operation: string,
  x: Tensor,
  geometry: Geometry,
  measure: Measure,
  options: CallOptions,
): Steps<SetMoments> {
  const found = emptyMoments(geometry, x.size > 0 ? cellsPerSet(geometry) : 0);
  const planOptions = { dtype: x.dtype, measure };
  return runCall(executor, {
    operation,
    plan: planMoments(geometry, planOptions),
    planPart: (part) => planMoments(geometry, planOptions, part),
    x,
    g: null,
    y: null,
    owned: false,
    inPlaceSafe: false,
    inputs: NO_INPUTS,
    found: { moments: (pairs, first) => unpackInto(found, first, pairs) },
    watchers: options,
    finish: () => found,
  });
}
