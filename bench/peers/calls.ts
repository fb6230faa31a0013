// What is compared: calls that normpool and its peers all have, of the same numbers.
import { BatchNorm2d, GroupNorm, InstanceNorm2d, type Layer, LayerNorm, RMSNorm, type Shape } from "../../src/index.js";
import type { PeerRow } from "../peers.js";

export interface Call {
  readonly name: string;
  /** Its shape, of a tensor of 256 MiB times `share`: 1, 1/2, 1/4 ... */
  shape(share: number): Shape;
  make(): Layer;
  readonly backward?: boolean;
  /** -1: the channels come last. */
  readonly channelAxis?: number;
  /** The ratio that normpool is held to, by peer. */
  readonly atLeast: Readonly<Partial<Record<PeerRow["peer"], number>>>;
}

export const WIDTH = 1024;
export const CHANNELS = 64;
export const GROUPS = 32;
export const EPS = 1e-5;

const rows = (share: number) => [65_536 * share, WIDTH];
const planes = (share: number) => [32 * share, CHANNELS, 181, 181];

/** A peer of 7 or 12 times as long has room; PyTorch's ratios are by layer. */
function atLeast(reused?: number): Call["atLeast"] {
  const torch = { "PyTorch as installed": 2.5, ...(reused !== undefined && { "PyTorch, memory reused": reused }) };
  return { ...torch, "onnxruntime-node": 7, "tfjs (wasm)": 12 };
}

export const CALLS: readonly Call[] = [
  { name: "LayerNorm", shape: rows, make: () => new LayerNorm(WIDTH), atLeast: atLeast(1) },
  { name: "RMSNorm", shape: rows, make: () => new RMSNorm(WIDTH, { eps: EPS }), atLeast: atLeast(2.5) },
  { name: "GroupNorm", shape: planes, make: () => new GroupNorm(GROUPS, CHANNELS), atLeast: atLeast(1.2) },
  { name: "InstanceNorm", shape: planes, make: () => new InstanceNorm2d(CHANNELS), atLeast: atLeast(2.5) },
  { name: "BatchNorm training", shape: planes, make: () => new BatchNorm2d(CHANNELS), atLeast: atLeast(2.5) },
  { name: "BatchNorm evaluation", shape: planes, make: () => new BatchNorm2d(CHANNELS).eval(), atLeast: atLeast(0.95) },
  {
    name: "BatchNorm evaluation, channels last",
    shape: (share) => [32 * share, 181, 181, CHANNELS],
    make: () => new BatchNorm2d(CHANNELS).eval(),
    channelAxis: -1,
    atLeast: { "tfjs (wasm)": 12 },
  },
  { name: "LayerNorm backward", shape: rows, make: () => new LayerNorm(WIDTH), backward: true, atLeast: atLeast(1.2) },
  {
    name: "GroupNorm backward",
    shape: planes,
    make: () => new GroupNorm(GROUPS, CHANNELS),
    backward: true,
    atLeast: atLeast(1.2),
  },
  {
    name: "BatchNorm backward",
    shape: planes,
    make: () => new BatchNorm2d(CHANNELS),
    backward: true,
    atLeast: atLeast(),
  },
];
