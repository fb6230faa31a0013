import type { RunningStatistics } from "../merge/statistics.js";
import type { Geometry } from "../plan/geometry.js";
import type { Measure } from "../plan/phase.js";
import type { ResponsePlanOptions } from "../plan/response.js";
import type { Dtype } from "../tensor/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import type { Shape } from "../tensor/shape.js";

/** What one call of a layer asks a pool to compute: y = (x - mean) / sqrt(variance + eps) * weight + bias, or as `measure` says. */
export interface Normalization {
  readonly kind: "normalization";
  readonly geometry: Geometry;
  readonly eps: number;
  /** What the cells are divided by. */
  readonly measure: Measure;
  /** Whether weight and bias have an entry a row of the geometry, and not one an affine index. */
  readonly affineRows?: boolean;
  /** One entry per affine index, or null where there is none. */
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  /** Running statistics, by channel, to use instead of the tensor's own. */
  readonly running: RunningStatistics | null;
  /** Whether the moments of a whole batch may be used, of which the tensor is a part (SyncBatchNorm in training). */
  readonly merged: boolean;
  /** Begins a call's share in the layer's running statistics, if it has any. */
  readonly update: ((kept: Numbers) => RunningUpdate) | null;
}

/** Numbers that are kept until a call has succeeded, in the order in which they were put. */
export interface Numbers {
  /** Keeps a copy. */
  put(numbers: Float64Array): void;
  /** What was put; an array is good until the next one is asked for. */
  all(): Iterable<Float64Array>;
}

/** A call's share in running statistics: it adds moments as it finds them, and commits when its output is complete. */
export interface RunningUpdate {
  /** Takes {mean, M2} of sets, of `count` cells each, from set `first` on. In order. */
  add(pairs: Float64Array, first: number, count: number): void;
  /** Takes what was added into the running statistics. Where that is much, a piece at a time, and yields between two pieces. */
  commit(): Iterable<void>;
}

/** LocalResponseNorm. */
export interface Response extends ResponsePlanOptions {
  readonly kind: "response";
}

export type Computation = Normalization | Response;

/** What a layer is told of a call beside the input's shape. */
export interface LayerCall {
  /** The input's. */
  readonly dtype: Dtype;
  /** As the caller gave it. */
  readonly channelAxis: number | undefined;
  /** Whether the input is a part of a batch whose moments are merged: then one cell a channel is enough. */
  readonly partOfBatch: boolean;
  /** Whether only the input's own moments are asked for: then mode and eps do not matter, and one cell a set is enough. */
  readonly momentsOnly?: boolean;
}

/** A normalisation layer: parameters and state, nothing of threads. Run it with `pool.forward(layer, x)`. */
export interface Layer {
  /** The class' name, as messages say it. */
  readonly name: string;
  /** Whether the layer is in training mode. Layers start in it, as in PyTorch. */
  readonly training: boolean;
  /**
   * For pools: checks the input's shape and dtype and says what to compute.
   * @throws InvalidShapeError, InvalidArgumentError, UnsupportedDtypeError
   */
  prepare(shape: Shape, call: LayerCall): Computation;
}
