import { type Complete, checkBoolean, readOptions } from "../check.js";
import { layerNormGeometry } from "../plan/geometry.js";
import { cellsOf, product, type Shape } from "../tensor/shape.js";
import { WeightedLayer } from "./affine-layer.js";
import {
  checkEps,
  checkInputDtype,
  checkParameter,
  checkParameterDtype,
  makeParameter,
  type ParameterDtype,
} from "./arguments.js";
import { floatEntry, pythonBoolean, pythonFloat, resetTo } from "./base-layer.js";
import { refuseChannelAxis } from "./channel-axis.js";
import type { LayerCall, Normalization } from "./layer.js";
import { checkNormalizedShape, formatNormalizedShape, outerRank } from "./normalized-shape.js";
import type { NoOptions } from "./presence.js";
import type { StateEntry } from "./state.js";

/** The distance of 1 to the next number of the type that is computed in, which PyTorch takes where eps is None. */
const FLOAT32_EPSILON = 2 ** -23;
const FLOAT64_EPSILON = 2 ** -52;

export interface RMSNormOptions {
  /** Added to the mean square. Default null: the machine epsilon of float32, 2^-23; of float64 input 2^-52. */
  readonly eps?: number | null | undefined;
  /** Whether there is a weight per normalised cell. Default true. */
  readonly elementwiseAffine?: boolean | undefined;
  /** Type of the parameters. Default "float32", for input of all dtypes but float64; "float64" for that. */
  readonly dtype?: ParameterDtype | undefined;
}

/**
 * Root mean square normalisation (Zhang, Sennrich 2019, arXiv:1910.07467) over the last dimensions, as torch.nn.RMSNorm:
 * y = x / sqrt(mean(x^2) + eps) * weight, the mean square over `normalizedShape`.
 *
 * Input `[*, ...normalizedShape]`, output the same. The same in training and evaluation.
 */
export class RMSNorm<const O extends RMSNormOptions = NoOptions> extends WeightedLayer<O> {
  /** The last dimensions of an input, outermost first. */
  readonly normalizedShape: Shape;
  /** Type of the parameters. */
  readonly dtype: ParameterDtype;
  /** Added to the mean square; null is 2^-23, or of float64 input 2^-52. */
  readonly eps: number | null;

  /**
   * @param normalizedShape the last dimensions' sizes: a safe integer, 0 or more, or an array of them.
   * @throws InvalidArgumentError
   */
  constructor(normalizedShape: number | Shape, options?: O) {
    super();
    const { eps, elementwiseAffine, dtype } = readOptions<Complete<RMSNormOptions>>(this.name, options, {
      eps: null,
      elementwiseAffine: true,
      dtype: "float32",
    });
    this.dtype = checkParameterDtype(this.name, dtype);
    this.normalizedShape = checkNormalizedShape(this.name, normalizedShape);
    this.eps = eps === null ? null : checkEps(this.name, eps);
    const affine = checkBoolean(this.name, "elementwiseAffine", elementwiseAffine);
    this.weight = affine
      ? makeParameter(this.name, "normalizedShape", this.dtype, cellsOf(this.normalizedShape), 1)
      : null;
    this.fix("normalizedShape", "dtype", "eps");
  }

  get name(): string {
    return "RMSNorm";
  }

  /** Sets the weight to 1, where there is one. */
  resetParameters(): void {
    resetTo(this.name, "weight", this.weight, 1);
  }

  /** What a pool is to compute for an input of this shape. @throws InvalidShapeError, InvalidArgumentError, UnsupportedDtypeError */
  prepare(shape: Shape, { dtype, channelAxis }: LayerCall): Normalization {
    checkInputDtype(this.name, dtype, this.dtype, [this.weight]);
    refuseChannelAxis(this.name, channelAxis);
    const outer = outerRank(this.name, this.normalizedShape, shape);
    const cells = cellsOf(this.normalizedShape);
    return {
      kind: "normalization",
      geometry: layerNormGeometry(product(shape, 0, outer), cells),
      eps: this.eps ?? (dtype === "float64" ? FLOAT64_EPSILON : FLOAT32_EPSILON),
      measure: "rootMeanSquare",
      weight: checkParameter(this.name, "weight", this.weight, this.dtype, cells),
      bias: null,
      running: null,
      merged: false,
      update: null,
    };
  }

  protected override stateEntries(): StateEntry[] {
    return floatEntry("weight", this.normalizedShape, this.weight);
  }

  protected override representation(): string {
    const eps = this.eps === null ? "None" : pythonFloat(this.eps);
    const affine = pythonBoolean(this.weight !== null);
    return `${formatNormalizedShape(this.normalizedShape)}, eps=${eps}, elementwise_affine=${affine}`;
  }
}
