import { type Complete, checkBoolean, readOptions } from "../check.js";
import { InvalidArgumentError, InvalidShapeError } from "../errors.js";
import { axisNormGeometry, type Geometry, layerNormGeometry } from "../plan/geometry.js";
import { cellsOf, formatShape, product, type Shape } from "../tensor/shape.js";
import { AffineLayer } from "./affine-layer.js";
import {
  checkEps,
  checkInputDtype,
  checkParameter,
  checkParameterDtype,
  makeParameter,
  type ParameterDtype,
} from "./arguments.js";
import { affineEntries, pythonBoolean, pythonFloat, resetAffine, withoutBias } from "./base-layer.js";
import { channelView, resolveAxis } from "./channel-axis.js";
import type { LayerCall, Normalization } from "./layer.js";
import { checkNormalizedShape, formatNormalizedShape, outerRank } from "./normalized-shape.js";
import type { NoOptions } from "./presence.js";
import type { StateEntry } from "./state.js";

export interface LayerNormOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number | undefined;
  /** Whether there are a weight and a bias per normalised cell. Default true. */
  readonly elementwiseAffine?: boolean | undefined;
  /** With `elementwiseAffine: true`, whether there is a bias. Default true. */
  readonly bias?: boolean | undefined;
  /** Type of the parameters. Default "float32", for input of all dtypes but float64; "float64" for that. */
  readonly dtype?: ParameterDtype | undefined;
}

/**
 * Layer normalisation (Ba, Kiros, Hinton 2016, arXiv:1607.06450) over the last dimensions, as torch.nn.LayerNorm:
 * y = (x - mean) / sqrt(variance + eps) * weight + bias, mean and biased variance over `normalizedShape`.
 *
 * Input `[*, ...normalizedShape]`, output the same. The same in training and evaluation. Of one dimension it may be any of the input's, which
 * `channelAxis` of the call names: the channels of an image `[N, C, H, W]` with 1, as ConvNeXt (Liu et al. 2022, arXiv:2201.03545) has it.
 */
export class LayerNorm<const O extends LayerNormOptions = NoOptions> extends AffineLayer<O, "elementwiseAffine"> {
  /** The last dimensions of an input, outermost first. */
  readonly normalizedShape: Shape;
  /** Type of the parameters. */
  readonly dtype: ParameterDtype;
  /** Added to the variance. */
  readonly eps: number;

  /**
   * @param normalizedShape the last dimensions' sizes: a safe integer, 0 or more, or an array of them.
   * @throws InvalidArgumentError
   */
  constructor(normalizedShape: number | Shape, options?: O) {
    super();
    const { eps, elementwiseAffine, bias, dtype } = readOptions<Complete<LayerNormOptions>>(this.name, options, {
      eps: 1e-5,
      elementwiseAffine: true,
      bias: true,
      dtype: "float32",
    });
    this.dtype = checkParameterDtype(this.name, dtype);
    this.normalizedShape = checkNormalizedShape(this.name, normalizedShape);
    this.eps = checkEps(this.name, eps);
    const cells = cellsOf(this.normalizedShape);
    const affine = checkBoolean(this.name, "elementwiseAffine", elementwiseAffine);
    this.weight = affine ? makeParameter(this.name, "normalizedShape", this.dtype, cells, 1) : null;
    this.bias =
      checkBoolean(this.name, "bias", bias) && affine
        ? makeParameter(this.name, "normalizedShape", this.dtype, cells, 0)
        : null;
    this.fix("normalizedShape", "dtype", "eps");
  }

  get name(): string {
    return "LayerNorm";
  }

  /** Sets the weight to 1 and the bias to 0, where there are any. */
  resetParameters(): void {
    resetAffine(this);
  }

  protected override stateEntries(): StateEntry[] {
    return affineEntries(this, this.normalizedShape);
  }

  protected override representation(): string {
    const shape = formatNormalizedShape(this.normalizedShape);
    return `${shape}, eps=${pythonFloat(this.eps)}, elementwise_affine=${pythonBoolean(this.weight !== null)}${withoutBias(this)}`;
  }

  /** What a pool is to compute for an input of this shape. @throws InvalidShapeError, InvalidArgumentError, UnsupportedDtypeError */
  prepare(shape: Shape, { dtype, channelAxis }: LayerCall): Normalization {
    checkInputDtype(this.name, dtype, this.dtype, [this.weight, this.bias]);
    const cells = cellsOf(this.normalizedShape);
    const geometry =
      channelAxis === undefined ? this.#lastDimensions(shape, cells) : this.#alongAxis(shape, channelAxis);
    return {
      kind: "normalization",
      geometry,
      // Of rows that are a cell each: those of an axis that is not the last.
      affineRows: geometry.r !== 1,
      eps: this.eps,
      measure: "deviation",
      weight: checkParameter(this.name, "weight", this.weight, this.dtype, cells),
      bias: checkParameter(this.name, "bias", this.bias, this.dtype, cells),
      running: null,
      merged: false,
      update: null,
    };
  }

  #lastDimensions(shape: Shape, cells: number): Geometry {
    const outer = outerRank(this.name, this.normalizedShape, shape, true);
    return layerNormGeometry(product(shape, 0, outer), cells);
  }

  #alongAxis(shape: Shape, channelAxis: number): Geometry {
    const [size = 0, ...others] = this.normalizedShape;
    if (others.length > 0) {
      const expected = "none with a normalizedShape of more than one dimension";
      throw new InvalidArgumentError(this.name, "channelAxis", expected, String(channelAxis));
    }
    const axis = resolveAxis(this.name, channelAxis, shape.length);
    if (shape[axis] !== size) {
      const message = `given normalizedShape [${size}], expected ${size} at dimension ${axis} of the input but got ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const view = channelView(shape, axis, false);
    // Cells that follow each other are rows as those of the last dimension are.
    if (view.after === 1 || size === 1) return layerNormGeometry(view.before * view.after, size);
    return axisNormGeometry(view);
  }
}
