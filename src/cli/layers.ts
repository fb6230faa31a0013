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
  RMSNorm,
  type Shape,
} from "../index.js";

export interface LayerArguments {
  readonly eps: number;
  readonly normalizedShape?: number[];
  readonly groups?: number;
  readonly channelAxis?: number;
}

interface LayerOption {
  readonly flags: string;
  readonly description: string;
  readonly kind: "sizes" | "size" | "axis";
  readonly required: boolean;
}

export interface LayerCommand {
  readonly name: string;
  readonly summary: string;
  /** The layer's default of --eps. */
  readonly eps: number;
  /** The layer's options beside --eps, as commander takes them. */
  readonly options: readonly LayerOption[];
  /** A command line, for the help. */
  readonly example: string;
  make(shape: Shape, args: LayerArguments): Layer;
}

// A file holds data, not a trained layer: no weights, and statistics from the data itself.
const PLAIN = { affine: false, trackRunningStats: false };

const NORMALIZED_SHAPE = {
  flags: "--normalized-shape <sizes>",
  description: "the last dimensions, such as 1024 or 28,28 (default: the last one)",
  kind: "sizes",
  required: false,
} as const;

const CHANNEL_AXIS = {
  flags: "--channel-axis <axis>",
  description: "the dimension of the channels, -1 for channels last (default: 1)",
  kind: "axis",
  required: false,
} as const;

export const LAYER_COMMANDS: readonly LayerCommand[] = [
  {
    name: "layer-norm",
    summary: "each sample over its last dimensions",
    eps: 1e-5,
    options: [
      NORMALIZED_SHAPE,
      {
        ...CHANNEL_AXIS,
        description: "the one dimension to normalise along, 1 for the channels of an image [N, C, H, W]",
      },
    ],
    example: "normpool layer-norm embeddings.npy -o normalised.npy",
    make: (shape, { eps, channelAxis = -1, normalizedShape = sizeAt("layer-norm", shape, channelAxis) }) =>
      new LayerNorm(normalizedShape, { eps, elementwiseAffine: false }),
  },
  {
    name: "rms-norm",
    summary: "each sample over its last dimensions, by its root mean square",
    eps: 2 ** -23,
    options: [NORMALIZED_SHAPE],
    example: "normpool rms-norm embeddings.npy -o normalised.npy --normalized-shape 1024",
    make: (shape, { eps, normalizedShape = sizeAt("rms-norm", shape, -1) }) =>
      new RMSNorm(normalizedShape, { eps, elementwiseAffine: false }),
  },
  {
    name: "group-norm",
    summary: "each sample's groups of channels with their space, of [N, C, *]",
    eps: 1e-5,
    options: [
      {
        flags: "--groups <number>",
        description: "groups that the channels are divided into (required)",
        kind: "size",
        required: true,
      },
      CHANNEL_AXIS,
    ],
    example: "normpool group-norm activations.npy -o normalised.npy --groups 32",
    make: (shape, { eps, groups = 0, channelAxis = 1 }) =>
      new GroupNorm(groups, channels("group-norm", shape, channelAxis), { eps, affine: false }),
  },
  {
    name: "instance-norm",
    summary: "each sample's channel over its space, of [N, C, L], [N, C, H, W] or [N, C, D, H, W]",
    eps: 1e-5,
    options: [CHANNEL_AXIS],
    example: "normpool instance-norm images.npy -o normalised.npy",
    make: (shape, { eps, channelAxis = 1 }) => {
      const Class = byRank("instance-norm", shape, { 3: InstanceNorm1d, 4: InstanceNorm2d, 5: InstanceNorm3d });
      return new Class(channels("instance-norm", shape, channelAxis), { ...PLAIN, eps });
    },
  },
  {
    name: "batch-norm",
    summary: "each channel over all samples and space, of [N, C], [N, C, L], [N, C, H, W] or [N, C, D, H, W]",
    eps: 1e-5,
    options: [CHANNEL_AXIS],
    example: "normpool batch-norm images.npy -o normalised.npy --eps 1e-3 --threads 4 --json",
    make: (shape, { eps, channelAxis = 1 }) => {
      const Class = byRank("batch-norm", shape, { 2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d, 5: BatchNorm3d });
      return new Class(channels("batch-norm", shape, channelAxis), { ...PLAIN, eps });
    },
  },
];

function sizeAt(command: string, shape: Shape, axis: number): number {
  const size = shape.at(axis);
  if (size !== undefined) return size;
  const wanted = axis === -1 ? "an array of one dimension or more" : `an array with a dimension ${axis}`;
  const received = shape.length === 0 ? "a scalar" : `shape [${shape.join(", ")}]`;
  throw new InvalidShapeError(command, `expected ${wanted} but got ${received}`, shape);
}

function channels(command: string, shape: Shape, dimension: number): number {
  const size = shape.at(dimension);
  if (size !== undefined && size > 0) return size;
  throw new InvalidShapeError(
    command,
    `expected channels at dimension ${dimension} but got an array of shape [${shape.join(", ")}]`,
    shape,
  );
}

function byRank<T>(command: string, shape: Shape, classes: Readonly<Record<number, T>>): T {
  const Class = classes[shape.length];
  if (Class !== undefined) return Class;
  const ranks = Object.keys(classes).map((rank) => `${rank}D`);
  const message = `expected a ${ranks.slice(0, -1).join(", ")} or ${ranks.at(-1)} array but got ${shape.length}D of shape [${shape.join(", ")}]`;
  throw new InvalidShapeError(command, message, shape);
}
