// How each series looks: the same in every chart, so that a colour never means two things.
import { KERNELS } from "../kernels.js";
import { SERIES } from "../latency.js";
import { PEERS } from "../peers.js";
import { LIMIT } from "../roofline.js";

/** Names that Vega knows, as paths about (0, 0). */
export const SHAPES = {
  circle: "M-3.4,0a3.4,3.4 0 1 0 6.8,0a3.4,3.4 0 1 0-6.8,0Z",
  square: "M-3-3h6v6h-6Z",
  "triangle-up": "M0-4L4,3.2H-4Z",
  "triangle-down": "M0,4L-4-3.2H4Z",
  diamond: "M0-4.4L3.6,0L0,4.4L-3.6,0Z",
  cross: "M-1.4-4h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6Z",
} as const;

export type ShapeName = keyof typeof SHAPES;

/** Colours on a light and on a dark ground. */
interface Look {
  readonly light: string;
  readonly dark: string;
  readonly shape: ShapeName;
}

const [POOL, CALLING_THREAD, WORKERS, LIMIT_ON_WORKERS] = SERIES;
const [TORCH, TORCH_REUSED, ONNX, TFJS] = PEERS;

const SERIES_OF: Readonly<Record<string, string>> = {
  [POOL]: "LayerNorm",
  [CALLING_THREAD]: "on the calling thread only",
  [WORKERS]: "on the workers only",
  [LIMIT_ON_WORKERS]: LIMIT,
};

/** The series of a section's own name: a layer's calls are one series, forward, backward and by a pool. */
export function seriesOf(name: string): string {
  return SERIES_OF[name] ?? name.replace(/ backward$/, "");
}

// All pairs are 13 apart in OKLab (of 100), those of one chart 9 to eyes without red or green too, and 3.1 in contrast to the ground.
const LOOKS: Readonly<Record<string, Look>> = {
  LayerNorm: { light: "#2a78d6", dark: "#4f9bee", shape: "circle" },
  RMSNorm: { light: "#ee671c", dark: "#9d9000", shape: "triangle-up" },
  GroupNorm: { light: "#22a559", dark: "#0ab07b", shape: "square" },
  InstanceNorm: { light: "#a75a00", dark: "#efa319", shape: "diamond" },
  "BatchNorm training": { light: "#d367a4", dark: "#ff7cab", shape: "triangle-down" },
  "BatchNorm evaluation": { light: "#4c3aac", dark: "#8068ef", shape: "cross" },
  "LayerNorm float64": { light: "#0f3d6e", dark: "#b0dbff", shape: "square" },
  "LayerNorm float16": { light: "#159caf", dark: "#49c8d0", shape: "triangle-up" },
  "LayerNorm bfloat16": { light: "#667700", dark: "#b6d150", shape: "diamond" },
  "on the calling thread only": { light: "#7c4954", dark: "#ca866e", shape: "square" },
  "on the workers only": { light: "#a739a2", dark: "#c068b4", shape: "diamond" },
  [TORCH]: { light: "#b40320", dark: "#fa494b", shape: "circle" },
  [TORCH_REUSED]: { light: "#641a1b", dark: "#f7bdb6", shape: "square" },
  [ONNX]: { light: "#2c5d50", dark: "#718f95", shape: "triangle-up" },
  [TFJS]: { light: "#87709d", dark: "#b6a0d4", shape: "diamond" },
  [LIMIT]: { light: "#6f6e69", dark: "#a3a29b", shape: "circle" },
};

export function colourOf(series: string): string {
  return `var(${variable(series)})`;
}

export function shapeOf(series: string): ShapeName {
  return LOOKS[series]?.shape ?? "circle";
}

/** CSS that says what `colourOf` means. */
export function coloursOf(ground: "light" | "dark"): string {
  return Object.entries(LOOKS)
    .map(([series, look]) => `${variable(series)}: ${look[ground]};`)
    .join(" ");
}

/** The series of the roofline's charts. */
export const ROOFLINES = {
  forward: family("forward"),
  backward: family("backward"),
  dtypes: ["LayerNorm", ...family("dtypes")],
} as const;

function family(of: string): string[] {
  return KERNELS.filter((kernel) => kernel.family === of).map(({ name }) => seriesOf(name));
}

function variable(series: string): string {
  return `--${(series.toLowerCase().match(/[a-z0-9]+/g) ?? []).join("-")}`;
}
