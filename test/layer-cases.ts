// Every layer as a test meets it: a way to make it with parameters of its own, the shape that it is given, and what the oracle says.

import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  type Layer,
  LayerNorm,
  LocalResponseNorm,
  RMSNorm,
  SyncBatchNorm,
  UnitNorm,
} from "../src/index.js";
import type { Parameter } from "../src/tensor/parameter.js";
import { normalNumbers } from "./cells.js";
import {
  axisNorm,
  batchNorm,
  groupNorm,
  instanceNorm,
  layerNorm,
  localResponseNorm,
  type ReferenceOptions,
  rmsNorm,
  unitNorm,
} from "./reference.js";
import {
  axisNormBackward,
  batchNormBackward,
  groupNormBackward,
  instanceNormBackward,
  layerNormBackward,
  localResponseNormBackward,
  type ReferenceGradients,
  rmsNormBackward,
  unitNormBackward,
} from "./reference-backward.js";

/** Type of a layer's parameters. */
type ParameterDtype = "float32" | "float64";

type Shape = readonly number[];
type Cells = ArrayLike<number>;

/** Without weights LocalResponseNorm, without biases RMSNorm. */
export type OracleGradients = Pick<ReferenceGradients, "gradInput" | "scale"> & Partial<ReferenceGradients>;

interface OracleOutput {
  readonly y: Float64Array;
  /** Of each set, where the layer has any. */
  readonly variance?: Float64Array;
}

export interface LayerCase {
  readonly name: string;
  readonly shape: Shape;
  readonly channelAxis: number | undefined;
  /** The same layer with the same parameters each time. */
  make(dtype: ParameterDtype): Layer;
  /** Whether a mean of the cells' own is taken off, or a running one, or none. */
  readonly mean: "own" | "running" | "none";
  forward(layer: Layer, x: Cells): OracleOutput;
  backward(layer: Layer, x: Cells, g: Cells): OracleGradients;
}

export interface CaseOptions {
  readonly channelAxis?: number;
  /** Whether there are a weight and a bias, which are then no ones and zeros. Default true. */
  readonly affine?: boolean;
  /** Whether the layer is in evaluation and uses running statistics: means near this, variances near 1. Default: it is in training. */
  readonly runningMean?: number;
}

interface Parameters {
  readonly weight?: Parameter | null;
  readonly bias?: Parameter | null;
  readonly runningMean?: Parameter | null;
  readonly runningVar?: Parameter | null;
  readonly eps?: number | null;
}

/** Float64 numbers that float32 does not have, rounded to what the layer's parameters are. */
function withParameters<L extends Layer & Parameters>(layer: L, runningMean = 0): L {
  layer.weight?.set(normalNumbers(layer.weight.length, 5, 1, 0.5));
  layer.bias?.set(normalNumbers(layer.bias.length, 6));
  layer.runningMean?.set(normalNumbers(layer.runningMean.length, 7, runningMean, 0.3));
  layer.runningVar?.set(normalNumbers(layer.runningVar.length, 8, 1, 0.1));
  return layer;
}

/** The layer as the oracle is told of it. */
function optionsOf(layer: Layer, channelAxis: number | undefined): ReferenceOptions {
  const { weight = null, bias = null, runningMean, runningVar, eps } = layer as Layer & Parameters;
  const given = !layer.training && runningMean && runningVar ? { mean: runningMean, variance: runningVar } : null;
  return {
    weight,
    bias,
    given,
    ...(typeof eps === "number" && { eps }),
    ...(channelAxis !== undefined && { channelAxis }),
  };
}

type Forward = (x: Cells, options: ReferenceOptions) => OracleOutput;
type Backward = (x: Cells, g: Cells, options: ReferenceOptions) => OracleGradients;

interface Made {
  readonly affine: boolean;
  readonly dtype: ParameterDtype;
  readonly trackRunningStats: boolean;
}

function caseOf(
  what: string,
  shape: Shape,
  { channelAxis, affine = true, runningMean }: CaseOptions,
  make: (options: Made) => Layer & Parameters,
  forward: Forward,
  backward: Backward,
): LayerCase {
  const evaluation = runningMean !== undefined;
  const words = [
    `${what} of [${shape}]`,
    ...(channelAxis === undefined ? [] : [`channels at ${channelAxis}`]),
    ...(affine ? [] : ["no weights"]),
    ...(evaluation ? ["evaluation"] : []),
  ];
  return {
    name: words.join(", "),
    shape,
    channelAxis,
    mean: evaluation ? "running" : /^(RMS|Unit|Local)/.test(what) ? "none" : "own",
    make: (dtype) => {
      const layer = withParameters(make({ affine, dtype, trackRunningStats: evaluation }), runningMean);
      return Object.assign(layer, { training: !evaluation });
    },
    forward: (layer, x) => forward(x, optionsOf(layer, channelAxis)),
    backward: (layer, x, g) => backward(x, g, optionsOf(layer, channelAxis)),
  };
}

export function layerNormCase(outer: Shape, normalized: Shape, options: CaseOptions = {}): LayerCase {
  return caseOf(
    `LayerNorm over [${normalized}]`,
    [...outer, ...normalized],
    options,
    ({ affine, dtype }) => new LayerNorm([...normalized], { elementwiseAffine: affine, dtype }),
    (x, given) => layerNorm(x, normalized, given),
    (x, g, given) => layerNormBackward(x, g, normalized, given),
  );
}

/** LayerNorm along one axis. */
export function axisNormCase(shape: Shape, channelAxis: number, options: CaseOptions = {}): LayerCase {
  const channels = shape.at(channelAxis) as number;
  return caseOf(
    "LayerNorm",
    shape,
    { ...options, channelAxis },
    ({ affine, dtype }) => new LayerNorm(channels, { elementwiseAffine: affine, dtype }),
    (x, given) => axisNorm(x, shape, given),
    (x, g, given) => axisNormBackward(x, g, shape, given),
  );
}

export function rmsNormCase(outer: Shape, normalized: Shape, options: CaseOptions = {}): LayerCase {
  return caseOf(
    `RMSNorm over [${normalized}]`,
    [...outer, ...normalized],
    options,
    // By default eps hangs on the dtype.
    ({ affine, dtype }) => new RMSNorm([...normalized], { elementwiseAffine: affine, dtype, eps: 1e-5 }),
    (x, given) => rmsNorm(x, normalized, given),
    (x, g, given) => rmsNormBackward(x, g, normalized, given),
  );
}

export function unitNormCase(outer: Shape, normalized: Shape): LayerCase {
  return caseOf(
    `UnitNorm over [${normalized}]`,
    [...outer, ...normalized],
    {},
    () => new UnitNorm([...normalized]),
    (x, given) => unitNorm(x, normalized, given),
    (x, g, given) => unitNormBackward(x, g, normalized, given),
  );
}

export function groupNormCase(groups: number, shape: Shape, options: CaseOptions = {}): LayerCase {
  const channels = shape.at(options.channelAxis ?? 1) as number;
  return caseOf(
    `GroupNorm(${groups})`,
    shape,
    options,
    ({ affine, dtype }) => new GroupNorm(groups, channels, { affine, dtype }),
    (x, given) => groupNorm(x, shape, groups, given),
    (x, g, given) => groupNormBackward(x, g, shape, groups, given),
  );
}

export function instanceNormCase(shape: Shape, options: CaseOptions = {}): LayerCase {
  const Class = [InstanceNorm1d, InstanceNorm2d, InstanceNorm3d][shape.length - 3] as typeof InstanceNorm1d;
  const channels = shape.at(options.channelAxis ?? 1) as number;
  return caseOf(
    Class.name,
    shape,
    options,
    (made) => new Class(channels, made),
    (x, given) => instanceNorm(x, shape, given),
    (x, g, given) => instanceNormBackward(x, g, shape, given),
  );
}

export function batchNormCase(shape: Shape, options: CaseOptions & { sync?: boolean } = {}): LayerCase {
  const byRank = [BatchNorm1d, BatchNorm2d, BatchNorm3d][Math.max(0, shape.length - 3)] as typeof BatchNorm1d;
  const Class = options.sync ? SyncBatchNorm : byRank;
  const channels = shape.at(options.channelAxis ?? 1) as number;
  return caseOf(
    Class.name,
    shape,
    options,
    (made) => new Class(channels, made),
    (x, given) => batchNorm(x, shape, given),
    (x, g, given) => batchNormBackward(x, g, shape, given),
  );
}

export function localResponseNormCase(size: number, shape: Shape, beta = 0.75, alpha = 0.1): LayerCase {
  const options = { size, alpha, beta, k: 2 };
  return caseOf(
    `LocalResponseNorm(${size}) to the ${beta}`,
    shape,
    {},
    () => new LocalResponseNorm(size, { alpha, beta, k: 2 }),
    (x) => localResponseNorm(x, shape, options),
    (x, g) => localResponseNormBackward(x, g, shape, options),
  );
}
