import type { Geometry } from "../geometry.js";
import type { SetMoments } from "../moments.js";
import type { Shape } from "../tensor/shape.js";

/** What one call of a layer asks a pool to compute: y = (x - mean) / sqrt(variance + eps) * weight + bias. */
export interface Normalization {
  readonly geometry: Geometry;
  readonly eps: number;
  /** Whether the mean is taken off. If not it counts as 0, and the variance is the mean square (RMSNorm). */
  readonly centred: boolean;
  /** One entry per affine index, or null where there is none. */
  readonly weight: Float32Array | null;
  readonly bias: Float32Array | null;
  /** Mean and variance by channel to use instead of the tensor's own. */
  readonly given: { readonly mean: Float32Array; readonly variance: Float32Array } | null;
  /** Takes the sets' moments into the layer's running statistics, once the output is complete. */
  readonly update: ((moments: SetMoments) => void) | null;
}

/** A normalisation layer: parameters and state, nothing of threads. Run it with `pool.forward(layer, x)`. */
export interface Layer {
  /** The class' name, as messages say it. */
  readonly name: string;
  /** Whether the layer is in training mode. Layers start in it, as in PyTorch. */
  readonly training: boolean;
  /**
   * For pools: checks the input's shape and says what to compute.
   * @throws InvalidShapeError, InvalidArgumentError
   */
  prepare(shape: Shape): Normalization;
}
