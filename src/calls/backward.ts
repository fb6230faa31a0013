import { types } from "node:util";
import { InvalidArgumentError, UnsupportedDtypeError } from "../errors.js";
import type { Computation, Layer, Normalization } from "../layers/layer.js";
import { joinParts } from "../merge/gradients.js";
import { checkMoments, type SetMoments, settled } from "../merge/moments.js";
import { checkGradientSums, type GradientSums } from "../merge/sums.js";
import { planBackward } from "../plan/backward.js";
import { affineCount, cellsPerSet, setCount } from "../plan/geometry.js";
import { partsOf } from "../plan/grid.js";
import { planSums } from "../plan/moments.js";
import { planResponse } from "../plan/response.js";
import { NO_INPUTS } from "../run/call.js";
import type { Executor } from "../run/executor.js";
import { runCall } from "../run/run-call.js";
import type { Steps } from "../run/steps.js";
import type { Dtype } from "../tensor/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { checkApart, checkTensor, type Tensor } from "../tensor/tensor.js";
import { weighsNothing } from "./forward.js";
import { checkBatch } from "./given.js";
import {
  checkCallOptions,
  checkInPlaceSafe,
  checkLayer,
  checkLike,
  checkOut,
  type LayerCallOptions,
  type OutputOptions,
} from "./options.js";
import { prepare } from "./prepare.js";

/** What a gradient is taken of. */
export interface GradientOptions<D extends Dtype = Dtype> extends LayerCallOptions {
  /** The forward call's input. Not uint8, which has no gradient. */
  readonly input: Tensor<D>;
  /** Gradient of the loss by the forward call's output: dtype and shape of the input. */
  readonly gradOutput: Tensor<D>;
  /** What the forward call told `onMoments`; of SyncBatchNorm the whole batch's. Default: computed again from the input. */
  readonly moments?: SetMoments | undefined;
}

export interface BackwardOptions<D extends Dtype = Dtype> extends GradientOptions<D>, OutputOptions {
  /** Where the input's gradient goes: a tensor like the input, also `gradOutput` or `input` itself. Default: a new tensor of the pool. */
  readonly out?: Tensor<D> | undefined;
  /** SyncBatchNorm in training: the sums of the whole batch (`pool.gradientSums`, `addGradientSums`), together with its moments. */
  readonly sums?: GradientSums | undefined;
}

/** Gradients of the loss. */
export interface Gradients<D extends Dtype = Dtype> {
  /** By the input: its dtype and shape. */
  readonly gradInput: Tensor<D>;
  /** By the weight: a new array of its type and length. Null where the layer has none. */
  readonly gradWeight: Parameter | null;
  /** By the bias: a new array of its type and length. Null where the layer has none. */
  readonly gradBias: Parameter | null;
}

/** `pool.backward`. */
export function* backward<D extends Dtype>(executor: Executor, layer: Layer, given: unknown): Steps<Gradients<D>> {
  const call = checkGradientCall<BackwardOptions<D>>("pool.backward", layer, given, ["out", "inPlaceSafe", "sums"]);
  const { operation, options, computation } = call;
  const { input, gradOutput, out } = options;
  checkInPlaceSafe(operation, options);
  if (out !== undefined) {
    checkOut(operation, "out", out, input.dtype, input);
    for (const tensor of [input, gradOutput]) checkApart(operation, "out", out, tensor);
  }
  const moments = options.moments === undefined ? null : checkSaved(operation, computation, options);
  const sums = options.sums === undefined ? null : checkSums(operation, computation, options.sums, moments);

  const y = out ?? executor.allocate(operation, input.dtype, input.shape, false);
  const tensors = {
    operation,
    x: input,
    g: gradOutput,
    y,
    owned: out === undefined,
    inPlaceSafe: options.inPlaceSafe === true,
    watchers: options,
  } as const;
  if (computation.kind === "response") {
    const plan = planResponse(computation, input.dtype, true);
    const finish = () => ({ gradInput: y, gradWeight: null, gradBias: null });
    return yield* runCall(executor, { ...tensors, plan, planPart: () => plan, inputs: NO_INPUTS, found: {}, finish });
  }
  const { geometry, eps, measure, weight, bias, running, affineRows } = computation;
  const parameters = weight !== null || bias !== null;
  const planOptions = {
    dtype: input.dtype,
    eps,
    measure,
    parameters,
    rows: affineRows === true,
    weighted: !weighsNothing(geometry, weight),
    statistics: running !== null ? "running" : moments !== null ? "moments" : "own",
    givenSums: sums !== null,
  } as const;
  const rows = affineRows === true ? geometry.r * partsOf(geometry.g) : affineCount(geometry);
  const entries = parameters ? rows : 0;
  const gradients = { weight: new Float64Array(entries), bias: new Float64Array(entries) };
  return yield* runCall(executor, {
    ...tensors,
    plan: planBackward(geometry, planOptions),
    planPart: (part) => planBackward(geometry, planOptions, part),
    inputs: { weight, bias, running, moments, sums },
    found: { gradients },
    finish: () => {
      const joined = affineRows === true ? joinParts(gradients, geometry.r) : gradients;
      return {
        gradInput: y,
        gradWeight: weight && likeParameter(weight, joined.weight),
        gradBias: bias && likeParameter(bias, joined.bias),
      };
    },
  });
}

/** `pool.gradientSums`. */
export function* gradientSums(executor: Executor, layer: Layer, given: unknown): Steps<GradientSums> {
  const call = checkGradientCall<GradientOptions>("pool.gradientSums", layer, given, []);
  const { operation, options, computation } = call;
  const { input, gradOutput } = options;
  const received = layer.training ? operation : `${operation} in evaluation`;
  const { geometry, eps } = mergedOnly(operation, computation, "layer", "SyncBatchNorm in training", received);
  if (options.moments === undefined) {
    throw new InvalidArgumentError(operation, "moments", "the whole batch's moments", "none");
  }
  const moments = checkBatch(operation, computation, options.moments, input.shape);
  const count = input.size > 0 ? cellsPerSet(geometry) : 0;
  const sums = { count, sumDy: new Float64Array(geometry.g), sumDyXmu: new Float64Array(geometry.g) };
  const planOptions = { dtype: input.dtype, eps };
  return yield* runCall(executor, {
    operation,
    plan: planSums(geometry, planOptions),
    planPart: (part) => planSums(geometry, planOptions, part),
    x: input,
    g: gradOutput,
    y: null,
    owned: false,
    inPlaceSafe: false,
    inputs: { ...NO_INPUTS, moments },
    found: { sums },
    watchers: options,
    finish: () => sums,
  });
}

/** What is the same in both calls: layer and tensors, checked. */
function checkGradientCall<T extends GradientOptions>(
  call: string,
  layer: Layer,
  given: unknown,
  keys: readonly Exclude<keyof T & string, keyof GradientOptions>[],
) {
  checkLayer(call, layer);
  const operation = layer.name;
  type Key = Exclude<keyof T & string, keyof LayerCallOptions>;
  const all = ["input", "gradOutput", "moments", ...keys] as unknown as readonly Key[];
  const options = checkCallOptions<T>(operation, given ?? {}, all, "gradients");
  const { channelAxis } = options;
  const input = checkTensor(operation, "input", options.input);
  if (input.dtype === "uint8") {
    throw new UnsupportedDtypeError(operation, "of floating point for input", input.dtype);
  }
  checkLike(operation, "gradOutput", options.gradOutput, input.dtype, input);
  const partOfBatch = options.moments !== undefined;
  const computation = prepare(operation, layer, input, { dtype: input.dtype, channelAxis, partOfBatch });
  return { operation, options, computation };
}

/** Moments that belong to the input; of a larger batch than it, for SyncBatchNorm, only if there are sums to go with them. */
function checkSaved(
  operation: string,
  computation: Computation,
  { moments: value, sums, input }: BackwardOptions,
): SetMoments {
  if (computation.kind !== "normalization" || computation.running !== null) {
    throw new InvalidArgumentError(operation, "moments", "none where the tensor's own are not used", "some");
  }
  const { geometry, merged } = computation;
  const moments = merged
    ? checkBatch(operation, computation, value, input.shape)
    : checkMoments(operation, "moments", value, setCount(geometry));
  const cells = cellsPerSet(geometry);
  if (moments.count === cells || input.size === 0 || sums !== undefined) return moments;
  if (merged) {
    const expected = `the whole batch's sums beside moments of ${moments.count} cells a channel, of which the input has ${cells},`;
    throw new InvalidArgumentError(operation, "sums", expected, "none");
  }
  throw new InvalidArgumentError(
    operation,
    "moments",
    `those of the input's ${cells} cells a set`,
    `those of ${moments.count}`,
  );
}

function checkSums(
  operation: string,
  computation: Computation,
  value: unknown,
  moments: SetMoments | null,
): GradientSums {
  const { geometry } = mergedOnly(operation, computation, "sums", "none except for SyncBatchNorm in training", "some");
  if (moments === null) throw new InvalidArgumentError(operation, "moments", "moments beside the sums", "none");
  const sums = checkGradientSums(operation, "sums", value, geometry.g);
  if (sums.count === moments.count) return sums;
  throw new InvalidArgumentError(
    operation,
    "sums",
    `those of the moments' ${moments.count} cells a channel`,
    `those of ${sums.count}`,
  );
}

function mergedOnly(operation: string, computation: Computation, ...fault: [string, string, string]): Normalization {
  if (computation.kind === "normalization" && computation.merged) return computation;
  throw new InvalidArgumentError(operation, ...fault);
}

function likeParameter(parameter: Parameter, gradient: Float64Array): Parameter {
  const { length } = gradient;
  const like = types.isFloat64Array(parameter) ? new Float64Array(length) : new Float32Array(length);
  // Not Float32Array.from: by its iterator an entry takes a hundred times as long.
  for (let i = 0; i < length; i++) like[i] = settled(gradient[i] as number);
  return like;
}
