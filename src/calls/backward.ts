import type { Parameter } from "../affine.js";
import { differentiate, fillStatistics, type ParameterGradients, reduce } from "../backward.js";
import { reducePhase } from "../backward-plan.js";
import { InvalidArgumentError, UnsupportedDtypeError } from "../errors.js";
import type { Executor } from "../executor.js";
import { affineCount, cellsPerSet, setCount } from "../geometry.js";
import { checkGradientSums, type GradientSums, sumsOfSets } from "../gradient-sums.js";
import type { Computation, Layer, Normalization } from "../layers/layer.js";
import { checkMoments, type SetMoments } from "../moments.js";
import { CELLS, NONE, operandsOf } from "../protocol.js";
import { respond } from "../respond.js";
import { ofMoments } from "../statistics.js";
import type { Steps } from "../steps.js";
import type { Dtype } from "../tensor/dtype.js";
import { checkApart, checkTensor, pin, type Tensor, unpin } from "../tensor/tensor.js";
import { checkBatch } from "./forward.js";
import { checkCallOptions, checkLayer, checkOut, type LayerCallOptions } from "./options.js";

/** What a gradient is taken of. */
export interface GradientOptions<D extends Dtype = Dtype> extends LayerCallOptions {
  /** The forward call's input. Not uint8, which has no gradient. */
  readonly input: Tensor<D>;
  /** Gradient of the loss by the forward call's output: dtype and shape of the input. */
  readonly gradOutput: Tensor<D>;
  /** What the forward call told `onMoments`; of SyncBatchNorm the whole batch's. Default: computed again from the input. */
  readonly moments?: SetMoments | undefined;
}

export interface BackwardOptions<D extends Dtype = Dtype> extends GradientOptions<D> {
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
  const call = checkGradientCall<BackwardOptions<D>>("pool.backward", layer, given, ["out", "sums"]);
  const { operation, options, computation } = call;
  const { input, gradOutput, out } = options;
  if (out !== undefined) {
    checkOut(operation, "out", out, input.dtype, input);
    for (const tensor of [input, gradOutput]) checkApart(operation, "out", out, tensor);
  }
  const moments = options.moments === undefined ? undefined : checkSaved(operation, computation, options);
  const sums = options.sums === undefined ? undefined : checkSums(operation, computation, options.sums, moments);

  const y = out ?? executor.allocate(operation, input.dtype, input.shape, false);
  const cells = CELLS[input.dtype];
  const { arena } = executor;
  const operands = { ...operandsOf(cells, pin(input, arena), pin(y, arena)), g: pin(gradOutput, arena) };
  const workspace = executor.workspace(operation, operands);
  try {
    const start = executor.starter(operation, input.size, cells, workspace, options);
    if (computation.kind === "response") {
      if (input.size > 0) yield* respond(computation, operands, start);
      yield executor.turn(input.size);
      return { gradInput: y, gradWeight: null, gradBias: null };
    }
    const parameters =
      input.size > 0
        ? yield* differentiate(computation, operands, { moments, sums }, workspace, start)
        : noGradients(computation);
    yield executor.turn(input.size);
    const { weight, bias } = computation;
    return {
      gradInput: y,
      gradWeight: weight && parameters && likeParameter(weight, parameters.weight),
      gradBias: bias && parameters && likeParameter(bias, parameters.bias),
    };
  } catch (error) {
    if (out === undefined) y.dispose();
    throw error;
  } finally {
    workspace.giveBack();
    for (const tensor of [input, gradOutput, y]) unpin(tensor);
  }
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
  if (input.size === 0) {
    return { count: 0, sumDy: new Float64Array(geometry.g), sumDyXmu: new Float64Array(geometry.g) };
  }
  const cells = CELLS[input.dtype];
  const { arena } = executor;
  const tensors = { ...operandsOf(cells, pin(input, arena), NONE), g: pin(gradOutput, arena) };
  const workspace = executor.workspace(operation, tensors);
  try {
    const phase = reducePhase(geometry, false);
    const run = executor.starter(operation, input.size, cells, workspace, options)([phase]);
    const statistics = ofMoments(moments, eps);
    const operands = { ...tensors, statistics: fillStatistics(statistics, geometry, workspace) };
    const channels = yield* reduce(phase, operands, NONE, geometry, statistics, workspace, run);
    const { products, gradients } = sumsOfSets(channels, geometry, null);
    return { count: cellsPerSet(geometry), sumDy: gradients, sumDyXmu: products };
  } finally {
    workspace.giveBack();
    unpin(input);
    unpin(gradOutput);
  }
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
  checkOut(operation, "gradOutput", options.gradOutput, input.dtype, input);
  const partOfBatch = options.moments !== undefined;
  const computation = layer.prepare(input.shape, { dtype: input.dtype, channelAxis, partOfBatch });
  return { operation, options, computation };
}

/** Moments that belong to the input; of a larger batch than it, for SyncBatchNorm, only if there are sums to go with them. */
function checkSaved(
  operation: string,
  computation: Computation,
  { moments: value, sums, input }: BackwardOptions,
): SetMoments {
  if (computation.kind !== "normalization" || computation.given !== null) {
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
  moments: SetMoments | undefined,
): GradientSums {
  const { geometry } = mergedOnly(operation, computation, "sums", "none except for SyncBatchNorm in training", "some");
  if (moments === undefined) throw new InvalidArgumentError(operation, "moments", "moments beside the sums", "none");
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

/** Of a tensor without cells: sums of nothing. */
function noGradients({ geometry }: Normalization): ParameterGradients {
  return { weight: new Float64Array(affineCount(geometry)), bias: new Float64Array(affineCount(geometry)) };
}

function likeParameter(parameter: Parameter, gradient: Float64Array): Parameter {
  return parameter instanceof Float64Array ? gradient : Float32Array.from(gradient);
}
