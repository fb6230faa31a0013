// What the throughput bench measures, by group: a layer, what its tensors are, and how much memory a call has to move.
import {
  BatchNorm2d,
  type Dtype,
  GroupNorm,
  InstanceNorm2d,
  type Layer,
  LayerNorm,
  LocalResponseNorm,
  RMSNorm,
} from "../src/index.js";

export interface Case {
  readonly name: string;
  readonly layer: Layer;
  readonly shape: readonly number[];
  /** Default float32. */
  readonly dtype?: Dtype;
  readonly inPlace?: boolean;
  /** Whether the input's cells, float32, have a mean near 0. Those of the others are 3 deviations from it. */
  readonly about0?: boolean;
  readonly backward?: boolean;
  /** Backward: whether the statistics are computed again, and not those that the forward call saved. */
  readonly recompute?: boolean;
  readonly channelAxis?: number;
  /**
   * Times that a tensor's bytes are moved at least: each read, each write, and out of place the read for ownership of each line
   * written. y = 2x moves 3. Default 3.
   */
  readonly moved?: number;
  /** Whether its tensors are on shared memory of the caller's (pool.wrap), not in the arena. */
  readonly wrapped?: boolean;
  /** The case of the group that its time is compared with. Default: the limit. */
  readonly to?: string;
  /** Times that it is read besides. */
  readonly reads?: number;
  /** What it is held to, as a ratio to the limit of the bytes moved, or to another case. */
  readonly atMost?: number;
}

export interface Group {
  readonly name: string;
  readonly cases: readonly Case[];
}

// 256 MiB of float32; the groups after the first take half of it.
const ROWS = [65_536, 1024];
const PLANES = [32, 64, 181, 181];
const HALF_ROWS = [32_768, 1024];
const HALF_PLANES = [16, 64, 181, 181];
const CHANNELS_LAST = [16, 181, 181, 64];
const PHOTOGRAPHS = [222, 224, 224, 3];

function trained(): LayerNorm {
  const layer = new LayerNorm(1024);
  layer.weight = Float32Array.from({ length: 1024 }, (_, i) => 0.5 + (i % 97) / 97);
  layer.bias = Float32Array.from({ length: 1024 }, (_, i) => (i % 89) / 89 - 0.5);
  return layer;
}

/** The same case on memory of the caller's, held against it. */
function wrapped(of: Case): Case {
  return { ...of, name: `${of.name}, wrapped`, wrapped: true, to: of.name, atMost: 1.9 };
}

const LAST = { shape: CHANNELS_LAST, channelAxis: -1 };
const BACKWARD = { backward: true, moved: 4 };

export const GROUPS: readonly Group[] = [
  {
    name: "float32",
    cases: [
      { name: "LayerNorm", layer: new LayerNorm(1024), shape: ROWS, atMost: 1.1 },
      { name: "LayerNorm, cells about 0", layer: new LayerNorm(1024), shape: ROWS, about0: true, atMost: 1.1 },
      { name: "LayerNorm in place", layer: new LayerNorm(1024), shape: ROWS, inPlace: true, atMost: 1.35 },
      { name: "LayerNorm, trained weights", layer: trained(), shape: ROWS },
      { name: "RMSNorm", layer: new RMSNorm(1024), shape: ROWS, atMost: 1.1 },
      { name: "GroupNorm(32)", layer: new GroupNorm(32, 64), shape: PLANES, atMost: 1.1 },
      { name: "GroupNorm(32), cells about 0", layer: new GroupNorm(32, 64), shape: PLANES, about0: true, atMost: 1.1 },
      { name: "InstanceNorm2d", layer: new InstanceNorm2d(64), shape: PLANES, atMost: 1.1 },
      { name: "BatchNorm2d training", layer: new BatchNorm2d(64), shape: PLANES, reads: 1, atMost: 1.15 },
      { name: "BatchNorm2d eval", layer: new BatchNorm2d(64).eval(), shape: PLANES, atMost: 1.1 },
    ],
  },
  {
    name: "dtypes",
    cases: [
      { name: "LayerNorm float16", layer: new LayerNorm(1024), shape: ROWS, dtype: "float16", atMost: 1.8 },
      { name: "LayerNorm bfloat16", layer: new LayerNorm(1024), shape: ROWS, dtype: "bfloat16", atMost: 1.8 },
      { name: "LayerNorm bfloat16, trained", layer: trained(), shape: ROWS, dtype: "bfloat16", atMost: 1.8 },
      {
        name: "LayerNorm float64",
        layer: new LayerNorm(1024, { dtype: "float64" }),
        shape: [16_384, 1024],
        dtype: "float64",
        atMost: 1.6,
      },
      { name: "BatchNorm2d train float16", layer: new BatchNorm2d(64), shape: PLANES, dtype: "float16", moved: 4 },
      // A byte is read for four that are written.
      { name: "LayerNorm uint8", layer: new LayerNorm(1024), shape: HALF_ROWS, dtype: "uint8", moved: 9 },
    ],
  },
  {
    name: "channels last",
    cases: [
      { name: "BatchNorm2d training", layer: new BatchNorm2d(64), ...LAST, moved: 4, atMost: 1.8 },
      { name: "BatchNorm2d eval", layer: new BatchNorm2d(64).eval(), ...LAST, atMost: 1.8 },
      { name: "GroupNorm(32)", layer: new GroupNorm(32, 64), ...LAST, moved: 4, atMost: 1.8 },
      { name: "InstanceNorm2d", layer: new InstanceNorm2d(64), ...LAST, moved: 4, atMost: 1.8 },
      { name: "BatchNorm2d backward", layer: new BatchNorm2d(64), ...LAST, backward: true, moved: 6, atMost: 1.8 },
      {
        name: "3 channels, BatchNorm2d training",
        layer: new BatchNorm2d(3),
        shape: PHOTOGRAPHS,
        channelAxis: -1,
        moved: 4,
      },
      {
        name: "3 channels of uint8, BatchNorm2d training",
        layer: new BatchNorm2d(3),
        shape: PHOTOGRAPHS,
        channelAxis: -1,
        dtype: "uint8",
        // A byte is read twice for four that are written.
        moved: 10,
      },
    ],
  },
  {
    name: "backward",
    cases: [
      { name: "LayerNorm", layer: new LayerNorm(1024), shape: HALF_ROWS, ...BACKWARD, atMost: 1.25 },
      { name: "LayerNorm, recomputed", layer: new LayerNorm(1024), shape: HALF_ROWS, ...BACKWARD, recompute: true },
      { name: "LayerNorm, trained weights", layer: trained(), shape: HALF_ROWS, ...BACKWARD, atMost: 1.25 },
      { name: "RMSNorm", layer: new RMSNorm(1024), shape: HALF_ROWS, ...BACKWARD, atMost: 1.25 },
      { name: "GroupNorm(32)", layer: new GroupNorm(32, 64), shape: HALF_PLANES, ...BACKWARD, atMost: 1.25 },
      {
        name: "InstanceNorm2d",
        layer: new InstanceNorm2d(64, { affine: true }),
        shape: HALF_PLANES,
        ...BACKWARD,
        atMost: 1.25,
      },
      {
        name: "BatchNorm2d training",
        layer: new BatchNorm2d(64),
        shape: HALF_PLANES,
        backward: true,
        moved: 6,
        atMost: 1.25,
      },
    ],
  },
  {
    name: "outside the arena",
    cases: [
      { name: "LayerNorm", layer: new LayerNorm(1024), shape: ROWS },
      wrapped({ name: "LayerNorm", layer: new LayerNorm(1024), shape: ROWS }),
      { name: "LayerNorm in place", layer: new LayerNorm(1024), shape: ROWS, inPlace: true },
      wrapped({ name: "LayerNorm in place", layer: new LayerNorm(1024), shape: ROWS, inPlace: true }),
      { name: "GroupNorm(32)", layer: new GroupNorm(32, 64), shape: PLANES },
      wrapped({ name: "GroupNorm(32)", layer: new GroupNorm(32, 64), shape: PLANES }),
      { name: "BatchNorm2d training", layer: new BatchNorm2d(64), shape: PLANES, reads: 1 },
      wrapped({ name: "BatchNorm2d training", layer: new BatchNorm2d(64), shape: PLANES, reads: 1 }),
    ],
  },
  {
    name: "LocalResponseNorm",
    cases: [
      { name: "LocalResponseNorm(5)", layer: new LocalResponseNorm(5), shape: HALF_PLANES },
      { name: "LocalResponseNorm(5) backward", layer: new LocalResponseNorm(5), shape: HALF_PLANES, ...BACKWARD },
    ],
  },
];
