import { type Complete, readOptions } from "../check.js";
import { layerNormGeometry } from "../plan/geometry.js";
import { cellsOf, product, type Shape } from "../tensor/shape.js";
import { checkEps } from "./arguments.js";
import { BaseLayer, pythonFloat } from "./base-layer.js";
import { refuseChannelAxis } from "./channel-axis.js";
import type { LayerCall, Normalization } from "./layer.js";
import { checkNormalizedShape, formatNormalizedShape, outerRank } from "./normalized-shape.js";
import type { StateEntry } from "./state.js";

export interface UnitNormOptions {
  /** What a length counts as at least. Default 1e-12. */
  readonly eps?: number | undefined;
}

/**
 * Cells to unit length over the last dimensions, as torch.nn.functional.normalize(x, p=2) does: y = x / max(||x||, eps), the Euclidean
 * length over `normalizedShape`. So embeddings are compared by cosine with a plain product.
 *
 * Input `[*, ...normalizedShape]` of any dtype, output the same (of uint8: float32). No parameters, no state; the same in training and evaluation.
 */
export class UnitNorm extends BaseLayer {
  /** The last dimensions of an input, outermost first. */
  readonly normalizedShape: Shape;
  /** What a length counts as at least. */
  readonly eps: number;

  /**
   * @param normalizedShape the last dimensions' sizes: a safe integer, 0 or more, or an array of them.
   * @throws InvalidArgumentError
   */
  constructor(normalizedShape: number | Shape, options?: UnitNormOptions) {
    super();
    const { eps } = readOptions<Complete<UnitNormOptions>>(this.name, options, { eps: 1e-12 });
    this.normalizedShape = checkNormalizedShape(this.name, normalizedShape);
    this.eps = checkEps(this.name, eps);
    this.fix("normalizedShape", "eps");
  }

  get name(): string {
    return "UnitNorm";
  }

  /** What a pool is to compute for an input of this shape. @throws InvalidShapeError, InvalidArgumentError */
  prepare(shape: Shape, { channelAxis }: LayerCall): Normalization {
    refuseChannelAxis(this.name, channelAxis);
    const outer = outerRank(this.name, this.normalizedShape, shape);
    return {
      kind: "normalization",
      geometry: layerNormGeometry(product(shape, 0, outer), cellsOf(this.normalizedShape)),
      eps: this.eps,
      measure: "length",
      weight: null,
      bias: null,
      running: null,
      merged: false,
      update: null,
    };
  }

  protected override stateEntries(): StateEntry[] {
    return [];
  }

  protected override representation(): string {
    return `${formatNormalizedShape(this.normalizedShape)}, eps=${pythonFloat(this.eps)}`;
  }
}
