import { describe, InvalidArgumentError, InvalidShapeError } from "../errors.js";
import { batchNormGeometry } from "../geometry.js";
import type { SetMoments } from "../moments.js";
import { formatShape, product, type Shape } from "../tensor/shape.js";
import { readOptions } from "./arguments.js";
import { ChannelNorm, type ChannelNormOptions, updateRunning } from "./channel-norm.js";
import type { Normalization } from "./layer.js";

const DEFAULTS = { eps: 1e-5, momentum: 0.1, affine: true, trackRunningStats: true, bias: true };

/**
 * Batch normalisation (Ioffe, Szegedy 2015, arXiv:1502.03167), as torch.nn.BatchNorm1d/2d/3d: mean and biased variance of
 * each channel over all samples and space; weight and bias per channel. In evaluation the running statistics, if kept.
 */
abstract class BatchNorm extends ChannelNorm {
  /** Ranks of input that the class takes. */
  protected abstract readonly ranks: readonly number[];

  protected constructor(name: string, numFeatures: number, options: ChannelNormOptions | undefined) {
    super(name, numFeatures, readOptions<Required<ChannelNormOptions>>(name, options, DEFAULTS));
  }

  /** What a pool is to compute for an input of this shape. @throws InvalidShapeError, InvalidArgumentError */
  prepare(shape: Shape): Normalization {
    if (!this.ranks.includes(shape.length)) {
      const wanted = this.ranks.map((rank) => `${rank}D`).join(" or ");
      const message = `expected ${wanted} input but got ${shape.length}D input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const [n, c] = shape as [number, number];
    if (c !== this.numFeatures && (this.runningMean ?? this.weight ?? this.bias) !== null) {
      const message = `expected ${this.numFeatures} channels (numFeatures) at dimension 1 but got ${c} in input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const space = product(shape, 2, shape.length);
    const running = this.running(c);
    const fromBatch = this.training || running === null;
    if (fromBatch && n * space === 1) {
      const message = `expected more than 1 value per channel when training but got input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    if (this.training && this.eps === 0) {
      throw new InvalidArgumentError(this.name, "eps", "a positive number in training", describe(this.eps));
    }
    return {
      geometry: batchNormGeometry(n, c, space),
      eps: this.eps,
      centred: true,
      ...this.affine(c),
      given: fromBatch ? null : running,
      update: this.training && running !== null ? (moments) => this.#update(moments) : null,
    };
  }

  #update({ count, mean, m2 }: SetMoments): void {
    this.numBatchesTracked = (this.numBatchesTracked ?? 0) + 1;
    if (count === 0 || this.runningMean === null || this.runningVar === null) return;
    const factor = this.momentum ?? 1 / this.numBatchesTracked;
    updateRunning(this.runningMean, (c) => mean[c] as number, factor);
    updateRunning(this.runningVar, (c) => (m2[c] as number) / (count - 1), factor);
  }
}

/** BatchNorm of `[N, C]` or `[N, C, L]`; output the same shape. See torch.nn.BatchNorm1d. */
export class BatchNorm1d extends BatchNorm {
  readonly name = "BatchNorm1d";
  protected readonly ranks = [2, 3];

  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: ChannelNormOptions) {
    super("BatchNorm1d", numFeatures, options);
  }
}

/** BatchNorm of `[N, C, H, W]`; output the same shape. See torch.nn.BatchNorm2d. */
export class BatchNorm2d extends BatchNorm {
  readonly name = "BatchNorm2d";
  protected readonly ranks = [4];

  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: ChannelNormOptions) {
    super("BatchNorm2d", numFeatures, options);
  }
}

/** BatchNorm of `[N, C, D, H, W]`; output the same shape. See torch.nn.BatchNorm3d. */
export class BatchNorm3d extends BatchNorm {
  readonly name = "BatchNorm3d";
  protected readonly ranks = [5];

  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: ChannelNormOptions) {
    super("BatchNorm3d", numFeatures, options);
  }
}
