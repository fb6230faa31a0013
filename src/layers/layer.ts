import type { SetMoments } from "../merge/moments.js";
import type { RunningStatistics } from "../merge/statistics.js";
import type { Geometry } from "../plan/geometry.js";
import type { ResponsePlanOptions } from "../plan/response.js";
import type { Dtype } from "../tensor/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import type { Shape } from "../tensor/shape.js";

/** What one call of a layer asks a pool to compute: y = (x - mean) / sqrt(variance + eps) * weight + bias. */
export interface Normalization {
  readonly kind: "normalization";
  readonly geometry: Geometry;
  readonly eps: number;
  /** Whether the mean is taken off. If not it counts as 0, and the variance is the mean square (RMSNorm). */
  readonly centred: boolean;
  /** One entry per affine index, or null where there is none. */
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  /** Running statistics, by channel, to use instead of the tensor's own. */
  readonly running: RunningStatistics | null;
  /** Whether the moments of a whole batch may be used, of which the tensor is a part (SyncBatchNorm in training). */
  readonly merged: boolean;
  /** Takes the sets' moments into the layer's running statistics, once the output is complete. */
  readonly update: ((moments: SetMoments) => void) | null;
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
