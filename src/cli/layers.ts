// The layers as the command names them: each makes its layer for a file's shape. Arguments only, no arithmetic.
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  InvalidShapeError,
  type Layer,
  LayerNorm,
  LocalResponseNorm,
  RMSNorm,
  type Shape,
  type StateDict,
  UnitNorm,
} from "../index.js";
import { parseNumber, parseSize, parseSizes } from "./arguments.js";
import type { StatefulLayer } from "./state.js";

export interface LayerArguments {
  readonly eps?: number;
  readonly channelAxis?: number;
  readonly normalizedShape?: number[];
  readonly groups?: number;
  readonly size?: number;
  readonly alpha?: number;
  readonly beta?: number;
  readonly k?: number;
  readonly momentum?: number | "none";
  /** The layer's tensors, by PyTorch's names; none where the file holds data only. */
  readonly state: StateDict;
  /** Whether running statistics are kept. */
  readonly tracks: boolean;
  /** Of parameters: float64 for input of that. */
  readonly dtype: "float32" | "float64";
}

interface LayerOption {
  readonly flags: string;
  readonly description: string;
  readonly parse: (text: string) => number | number[];
  readonly required?: true;
}

export interface LayerCommand {
  readonly name: string;
  readonly summary: string;
  /** What is said of --eps; none where the layer has no such thing. */
  readonly eps?: string;
  /** Whether --channel-axis is of use, and whether a shape may look as if it were missing. */
  readonly channelAxis: "none" | "optional" | "guessed";
  /** Whether there are weights to load, and running statistics. */
  readonly state: "none" | "weights" | "statistics";
  /** Options of the layer's own. */
  readonly options: readonly LayerOption[];
  /** Command lines, for the help. */
  readonly examples: readonly string[];
  make(shape: Shape, args: LayerArguments): Layer & StatefulLayer;
}

const VARIANCE = "added to the variance (default: 1e-5)";

const NORMALIZED_SHAPE: LayerOption = {
  flags: "--normalized-shape <sizes>",
  description: "the last dimensions, such as 1024 or 28,28 (default: that of the weight, or the last one)",
  parse: parseSizes,
};

export const LAYER_COMMANDS: readonly LayerCommand[] = [
  {
    name: "layer-norm",
    summary: "each sample over its last dimensions",
    eps: VARIANCE,
    channelAxis: "optional",
    state: "weights",
    options: [NORMALIZED_SHAPE],
    examples: [
      "normpool layer-norm embeddings.npy -o normalised.npy",
      "normpool layer-norm hidden.npy -o y.npy --state model.safetensors --prefix encoder.norm1.",
    ],
    make: (shape, args) =>
      new LayerNorm(args.normalizedShape ?? sizesOf("layer-norm", shape, args), {
        ...affineOf(args, "elementwiseAffine"),
        ...epsOf(args),
      }),
  },
  {
    name: "rms-norm",
    summary: "each sample over its last dimensions, by its root mean square",
    eps: "added to the mean square (default: 2^-23; of float64 2^-52)",
    channelAxis: "none",
    state: "weights",
    options: [NORMALIZED_SHAPE],
    examples: ["normpool rms-norm embeddings.npy -o normalised.npy --normalized-shape 1024"],
    make: (shape, args) =>
      new RMSNorm(args.normalizedShape ?? sizesOf("rms-norm", shape, args), {
        elementwiseAffine: "weight" in args.state,
        dtype: args.dtype,
        ...epsOf(args),
      }),
  },
  {
    name: "unit-norm",
    summary: "each sample to length 1 over its last dimensions",
    eps: "what a length counts as at least (default: 1e-12)",
    channelAxis: "none",
    state: "none",
    options: [NORMALIZED_SHAPE],
    examples: ["normpool unit-norm embeddings.npy -o unit.npy"],
    make: (shape, args) => new UnitNorm(args.normalizedShape ?? sizesOf("unit-norm", shape, args), epsOf(args)),
  },
  {
    name: "group-norm",
    summary: "each sample's groups of channels with their space, of [N, C, *]",
    eps: VARIANCE,
    channelAxis: "guessed",
    state: "weights",
    options: [
      {
        flags: "--groups <number>",
        description: "groups that the channels are divided into (required)",
        parse: parseSize,
        required: true,
      },
    ],
    examples: ["normpool group-norm activations.npy -o normalised.npy --groups 32"],
    make: (shape, args) =>
      new GroupNorm(args.groups ?? 0, channelsOf("group-norm", shape, args), {
        ...affineOf(args, "affine"),
        ...epsOf(args),
      }),
  },
  {
    name: "instance-norm",
    summary: "each sample's channel over its space, of [N, C, L], [N, C, H, W] or [N, C, D, H, W]",
    eps: VARIANCE,
    channelAxis: "guessed",
    state: "statistics",
    options: [],
    examples: ["normpool instance-norm images.npy -o normalised.npy --channel-axis -1"],
    make: (shape, args) => {
      const Class = byRank("instance-norm", shape, { 3: InstanceNorm1d, 4: InstanceNorm2d, 5: InstanceNorm3d });
      return new Class(channelsOf("instance-norm", shape, args), runningOf(args));
    },
  },
  {
    name: "batch-norm",
    summary: "each channel over all samples and space, of [N, C], [N, C, L], [N, C, H, W] or [N, C, D, H, W]",
    eps: VARIANCE,
    channelAxis: "guessed",
    state: "statistics",
    options: [],
    examples: [
      "normpool batch-norm images.npy -o normalised.npy --eps 1e-3 --threads 4 --json",
      "normpool batch-norm day1.npy day2.npy --out-dir normalised --train --momentum none --save-state bn.safetensors",
    ],
    make: (shape, args) => {
      const Class = byRank("batch-norm", shape, { 2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d, 5: BatchNorm3d });
      return new Class(channelsOf("batch-norm", shape, args), runningOf(args));
    },
  },
  {
    name: "local-response-norm",
    summary: "each cell by its neighbouring channels, of [N, C, *]",
    channelAxis: "none",
    state: "none",
    options: [
      {
        flags: "--size <number>",
        description: "channels that are summed (required)",
        parse: parseSize,
        required: true,
      },
      { flags: "--alpha <number>", description: "factor of the sum (default: 1e-4)", parse: parseNumber },
      { flags: "--beta <number>", description: "exponent (default: 0.75)", parse: parseNumber },
      { flags: "--k <number>", description: "added to the sum (default: 1)", parse: parseNumber },
    ],
    examples: ["normpool local-response-norm activations.npy -o normalised.npy --size 5"],
    make: (_, { size = 0, alpha, beta, k }) =>
      new LocalResponseNorm(size, {
        ...(alpha !== undefined && { alpha }),
        ...(beta !== undefined && { beta }),
        ...(k !== undefined && { k }),
      }),
  },
];

const epsOf = ({ eps }: LayerArguments) => (eps === undefined ? {} : { eps });

/** Weight and bias as the state has them. @param name the layer's option for both. */
function affineOf<const N extends string>({ state, dtype }: LayerArguments, name: N) {
  const affine = "weight" in state || "bias" in state;
  return { [name]: affine, bias: "bias" in state, dtype } as Readonly<Record<N | "bias", boolean>> & {
    dtype: typeof dtype;
  };
}

function runningOf(args: LayerArguments) {
  const { momentum, tracks } = args;
  const own = { ...affineOf(args, "affine"), ...epsOf(args), trackRunningStats: tracks };
  return momentum === undefined ? own : { ...own, momentum: momentum === "none" ? null : momentum };
}

/** What a layer of the last dimensions, or of one of them, normalises where nobody says. */
function sizesOf(command: string, shape: Shape, { state, channelAxis }: LayerArguments): Shape {
  const { weight } = state;
  if (weight !== undefined) return weight.shape;
  const size = shape.at(channelAxis ?? -1);
  if (size !== undefined) return [size];
  const wanted =
    channelAxis === undefined ? "an array of one dimension or more" : `an array with a dimension ${channelAxis}`;
  const received = shape.length === 0 ? "a scalar" : `shape [${shape.join(", ")}]`;
  throw new InvalidShapeError(command, `expected ${wanted} but got ${received}`, shape);
}

function channelsOf(command: string, shape: Shape, { channelAxis = 1 }: LayerArguments): number {
  const size = shape.at(channelAxis);
  if (size !== undefined && size > 0) return size;
  const message = `expected channels at dimension ${channelAxis} but got an array of shape [${shape.join(", ")}]`;
  throw new InvalidShapeError(command, message, shape);
}

function byRank<T>(command: string, shape: Shape, classes: Readonly<Record<number, T>>): T {
  const Class = classes[shape.length];
  if (Class !== undefined) return Class;
  const ranks = Object.keys(classes).map((rank) => `${rank}D`);
  const message = `expected a ${ranks.slice(0, -1).join(", ")} or ${ranks.at(-1)} array but got ${shape.length}D of shape [${shape.join(", ")}]`;
  throw new InvalidShapeError(command, message, shape);
}
