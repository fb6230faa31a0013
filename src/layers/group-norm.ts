import { type Complete, checkBoolean, checkPositiveInteger, readOptions } from "../check.js";
import { InvalidArgumentError, InvalidShapeError } from "../errors.js";
import { groupNormGeometry } from "../plan/geometry.js";
import { formatShape, type Shape } from "../tensor/shape.js";
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
import { channelView, checkNotBatchAxis, lastFits, resolveAxis } from "./channel-axis.js";
import type { LayerCall, Normalization } from "./layer.js";
import type { NoOptions } from "./presence.js";
import type { StateEntry } from "./state.js";

export interface GroupNormOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number | undefined;
  /** Whether there are a weight and a bias per channel. Default true. */
  readonly affine?: boolean | undefined;
  /** With `affine: true`, whether there is a bias. Default true. */
  readonly bias?: boolean | undefined;
  /** Type of the parameters. Default "float32", for input of all dtypes but float64; "float64" for that. */
  readonly dtype?: ParameterDtype | undefined;
}

/**
 * Group normalisation (Wu, He 2018, arXiv:1803.08494), as torch.nn.GroupNorm: mean and biased variance of each sample's
 * numChannels / numGroups channels with their space; weight and bias per channel.
 *
 * Input `[N, C, *]` (or with `channelAxis` C elsewhere), output the same. The same in training and evaluation.
 */
export class GroupNorm<const O extends GroupNormOptions = NoOptions> extends AffineLayer<O, "affine"> {
  /** Groups that the channels are divided into. */
  readonly numGroups: number;
  /** Channels of an input, its dimension 1. */
  readonly numChannels: number;
  /** Type of the parameters. */
  readonly dtype: ParameterDtype;
  /** Added to the variance. */
  readonly eps: number;

  /** @throws InvalidArgumentError, also if numChannels is not divisible by numGroups. */
  constructor(numGroups: number, numChannels: number, options?: O) {
    super();
    const { eps, affine, bias, dtype } = readOptions<Complete<GroupNormOptions>>(this.name, options, {
      eps: 1e-5,
      affine: true,
      bias: true,
      dtype: "float32",
    });
    this.dtype = checkParameterDtype(this.name, dtype);
    this.numGroups = checkPositiveInteger(this.name, "numGroups", numGroups);
    this.numChannels = checkPositiveInteger(this.name, "numChannels", numChannels);
    if (numChannels % numGroups !== 0) {
      throw new InvalidArgumentError(
        this.name,
        "numChannels",
        `a number divisible by numGroups (${numGroups})`,
        String(numChannels),
      );
    }
    this.eps = checkEps(this.name, eps);
    const withWeight = checkBoolean(this.name, "affine", affine);
    this.weight = withWeight ? makeParameter(this.name, "numChannels", this.dtype, numChannels, 1) : null;
    this.bias =
      checkBoolean(this.name, "bias", bias) && withWeight
        ? makeParameter(this.name, "numChannels", this.dtype, numChannels, 0)
        : null;
    this.fix("numGroups", "numChannels", "dtype", "eps");
  }

  get name(): string {
    return "GroupNorm";
  }

  /** Sets the weight to 1 and the bias to 0, where there are any. */
  resetParameters(): void {
    resetAffine(this);
  }

  protected override stateEntries(): StateEntry[] {
    return affineEntries(this, [this.numChannels]);
  }

  protected override representation(): string {
    const affine = pythonBoolean(this.weight !== null);
    return `${this.numGroups}, ${this.numChannels}, eps=${pythonFloat(this.eps)}, affine=${affine}${withoutBias(this)}`;
  }

  /** What a pool is to compute for an input of this shape. @throws InvalidShapeError, InvalidArgumentError, UnsupportedDtypeError */
  prepare(shape: Shape, { dtype, channelAxis, momentsOnly = false }: LayerCall): Normalization {
    checkInputDtype(this.name, dtype, this.dtype, [this.weight, this.bias]);
    if (shape.length < 2) {
      const message = `expected input of at least 2 dimensions but got ${shape.length}D input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const axis = resolveAxis(this.name, channelAxis ?? 1, shape.length);
    checkNotBatchAxis(this.name, axis);
    const view = channelView(shape, axis, true);
    const { n, c } = view;
    if (c % this.numGroups !== 0) {
      throw new InvalidShapeError(
        this.name,
        `expected the number of channels to be divisible by numGroups but got input of shape ${formatShape(shape)} and numGroups=${this.numGroups}${lastFits(shape, axis, this.numChannels)}`,
        shape,
      );
    }
    // Without weights PyTorch takes any number of channels that the groups divide.
    if (c !== this.numChannels && (this.weight !== null || this.bias !== null)) {
      throw new InvalidShapeError(
        this.name,
        `expected weight to have an entry for each channel of the input but got weight of shape [${this.numChannels}] and input of shape ${formatShape(shape)}${lastFits(shape, axis, this.numChannels)}`,
        shape,
      );
    }
    if (((n * c) / this.numGroups) * view.before * view.after === 1 && !momentsOnly) {
      throw new InvalidShapeError(
        this.name,
        `expected more than 1 value per group but got input of shape ${formatShape(shape)}`,
        shape,
      );
    }
    return {
      kind: "normalization",
      geometry: groupNormGeometry(view, this.numGroups),
      eps: this.eps,
      measure: "deviation",
      weight: checkParameter(this.name, "weight", this.weight, this.dtype, c),
      bias: checkParameter(this.name, "bias", this.bias, this.dtype, c),
      running: null,
      merged: false,
      update: null,
    };
  }
}
