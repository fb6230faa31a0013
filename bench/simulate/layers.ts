// Layers of any size: what their plans say of phases and partials.
import { type ForwardPlanOptions, planForward } from "../../src/plan/forward.js";
import {
  batchNormGeometry,
  cellCount,
  type Geometry,
  groupNormGeometry,
  layerNormGeometry,
} from "../../src/plan/geometry.js";
import { segmentsOf } from "../../src/plan/grid.js";

/** Of float32 cells. */
export interface Work {
  readonly bytes: number;
  /** 0 where there is no moments phase. */
  readonly partialsBytes: number;
}

export interface SimulatedLayer {
  readonly name: string;
  /** For so many bytes. */
  geometryOf(bytes: number): Geometry;
}

const CELL_BYTES = 4;
const PAIR_BYTES = 16;
const WIDTH = 256;
const SIDE = 128;

export const PLANES: SimulatedLayer = {
  name: `BatchNorm of [N, ${WIDTH}, ${SIDE}, ${SIDE}]`,
  geometryOf: (bytes) =>
    batchNormGeometry({ n: samplesOf(bytes, WIDTH * SIDE ** 2), before: 1, c: WIDTH, after: SIDE ** 2 }),
};

export const LAYERS: readonly SimulatedLayer[] = [
  PLANES,
  {
    name: `BatchNorm of [N, ${WIDTH}], columns`,
    geometryOf: (bytes) => batchNormGeometry({ n: samplesOf(bytes, WIDTH), before: 1, c: WIDTH, after: 1 }),
  },
  {
    name: `GroupNorm(32) of [N, 32, 32, ${WIDTH}], channels last`,
    geometryOf: (bytes) =>
      groupNormGeometry({ n: samplesOf(bytes, 32 ** 2 * WIDTH), before: 32 ** 2, c: WIDTH, after: 1 }, 32),
  },
  {
    name: `LayerNorm of [N, 1024]`,
    geometryOf: (bytes) => layerNormGeometry(samplesOf(bytes, 1024), 1024),
  },
];

function samplesOf(bytes: number, cells: number): number {
  return Math.max(1, Math.floor(bytes / CELL_BYTES / cells));
}

const OPTIONS: ForwardPlanOptions = {
  dtype: "float32",
  eps: 1e-5,
  measure: "deviation",
  affine: "channel",
  statistics: "own",
  wanted: false,
};

export function workOf(layer: SimulatedLayer, bytes: number): Work {
  const geometry = layer.geometryOf(bytes);
  let partialsBytes = 0;
  for (const step of planForward(geometry, OPTIONS).steps) {
    if (step.kind === "phase" && step.phase.kind === "moments") partialsBytes += PAIR_BYTES * segmentsOf(step.phase);
  }
  return { bytes: CELL_BYTES * cellCount(geometry), partialsBytes };
}
