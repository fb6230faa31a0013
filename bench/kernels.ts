// The kernels of the roofline, at any size. The tests walk the same list.
import {
  BatchNorm1d,
  type Dtype,
  GroupNorm,
  InstanceNorm1d,
  type Layer,
  LayerNorm,
  RMSNorm,
  type Shape,
} from "../src/index.js";
import type { Case } from "./cases.js";

export type Family = "forward" | "backward" | "dtypes";

export interface Kernel {
  readonly name: string;
  readonly family: Family;
  readonly dtype: Dtype;
  /** Times that a tensor's bytes are moved: each read, each write, and the reads for ownership of what is written. */
  readonly moved: number;
  readonly backward?: boolean;
  readonly over: "rows" | "planes";
  make(channels: number): Layer;
}

const CELL_BYTES = { float32: 4, float64: 8, float16: 2, bfloat16: 2, uint8: 1 } as const;

const FORWARD = { family: "forward", dtype: "float32", moved: 3 } as const;
const BACKWARD = { family: "backward", dtype: "float32", moved: 4, backward: true } as const;
const rows = { over: "rows", make: (width: number) => new LayerNorm(width) } as const;

export const KERNELS: readonly Kernel[] = [
  { name: "LayerNorm", ...FORWARD, ...rows },
  { name: "RMSNorm", ...FORWARD, over: "rows", make: (width) => new RMSNorm(width) },
  { name: "GroupNorm", ...FORWARD, over: "planes", make: (channels) => new GroupNorm(32, channels) },
  { name: "InstanceNorm", ...FORWARD, over: "planes", make: (channels) => new InstanceNorm1d(channels) },
  { name: "BatchNorm training", ...FORWARD, moved: 4, over: "planes", make: (channels) => new BatchNorm1d(channels) },
  { name: "BatchNorm evaluation", ...FORWARD, over: "planes", make: (channels) => new BatchNorm1d(channels).eval() },
  { name: "LayerNorm backward", ...BACKWARD, ...rows },
  { name: "GroupNorm backward", ...BACKWARD, over: "planes", make: (channels) => new GroupNorm(32, channels) },
  {
    name: "BatchNorm training backward",
    ...BACKWARD,
    moved: 6,
    over: "planes",
    make: (channels) => new BatchNorm1d(channels),
  },
  { name: "LayerNorm float64", family: "dtypes", dtype: "float64", moved: 3, over: "rows", make: float64LayerNorm },
  { name: "LayerNorm float16", family: "dtypes", dtype: "float16", moved: 3, ...rows },
  { name: "LayerNorm bfloat16", family: "dtypes", dtype: "bfloat16", moved: 3, ...rows },
];

function float64LayerNorm(width: number): Layer {
  return new LayerNorm(width, { dtype: "float64" });
}

const WIDTH = 1024;
const CHANNELS = 64;
const SMALLEST_PLANE = 16;
const LARGEST_PLANE = 128 * 128;
const SAMPLES = 16;

/** The kernel's case whose tensor has `bytes` bytes: a power of 2, 4 KiB or more. */
export function caseOf({ name, dtype, over, moved, backward = false, make }: Kernel, bytes: number): Case {
  const cells = bytes / CELL_BYTES[dtype];
  const width = Math.min(cells, WIDTH);
  const shape = over === "rows" ? [cells / width, width] : planes(cells);
  return { name, layer: make(over === "rows" ? width : CHANNELS), shape, dtype, moved, backward };
}

/** [N, 64, S]: S grows first, up to the size of a picture, then N. */
function planes(cells: number): Shape {
  const space = Math.min(LARGEST_PLANE, Math.max(SMALLEST_PLANE, cells / CHANNELS / SAMPLES));
  return [cells / CHANNELS / space, CHANNELS, space];
}
