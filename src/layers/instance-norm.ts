import { InvalidShapeError } from "../errors.js";
import { instanceNormGeometry } from "../geometry.js";
import type { SetMoments } from "../moments.js";
import { formatShape, product, type Shape } from "../tensor/shape.js";
import { readOptions } from "./arguments.js";
import { ChannelNorm, type ChannelNormOptions, updateRunning } from "./channel-norm.js";
import type { Normalization } from "./layer.js";

const DEFAULTS = { eps: 1e-5, momentum: 0.1, affine: false, trackRunningStats: false, bias: true };

/**
 * Instance normalisation (Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022), as torch.nn.InstanceNorm1d/2d/3d: mean and biased
 * variance of each sample's channel over space; weight and bias per channel. In evaluation the running statistics, if kept.
 */
abstract class InstanceNorm extends ChannelNorm {
  /** Rank of a batch; one less is a single sample without the batch dimension. */
  protected abstract readonly rank: number;

  protected constructor(name: string, numFeatures: number, options: ChannelNormOptions | undefined) {
    super(name, numFeatures, readOptions<Required<ChannelNormOptions>>(name, options, DEFAULTS));
  }

  /** What a pool is to compute for an input of this shape. @throws InvalidShapeError, InvalidArgumentError */
  prepare(shape: Shape): Normalization {
    const { rank } = this;
    if (shape.length !== rank && shape.length !== rank - 1) {
      const message = `expected ${rank - 1}D or ${rank}D input but got ${shape.length}D input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const [n, c] = (shape.length === rank ? shape : [1, ...shape]) as [number, number];
    const dimension = shape.length - rank + 1;
    // Without weights and running statistics PyTorch only warns: the channels are each their own anyway.
    if (c !== this.numFeatures && (this.runningMean ?? this.weight ?? this.bias) !== null) {
      const message = `expected ${this.numFeatures} channels (numFeatures) at dimension ${dimension} but got ${c} in input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const space = product(shape, dimension + 1, shape.length);
    const running = this.running(c);
    const fromBatch = this.training || running === null;
    if (fromBatch && space === 1) {
      const message = `expected more than 1 spatial element when training but got input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const { momentum } = this;
    const updates = this.training && running !== null && momentum !== null && n > 0 && space > 0;
    return {
      geometry: instanceNormGeometry(n, c, space),
      eps: this.eps,
      centred: true,
      ...this.affine(c),
      given: fromBatch ? null : running,
      update: updates ? (moments) => this.#update(moments, n, momentum) : null,
    };
  }

  /** Each instance's statistics, averaged over the samples. torch leaves num_batches_tracked at 0 here. */
  #update({ count, mean, m2 }: SetMoments, samples: number, momentum: number): void {
    if (this.runningMean === null || this.runningVar === null) return;
    const channels = mean.length / samples;
    const average = (values: Float64Array) => (channel: number) => {
      let sum = 0;
      for (let n = 0; n < samples; n++) sum += values[n * channels + channel] as number;
      return sum / samples;
    };
    const averageM2 = average(m2);
    updateRunning(this.runningMean, average(mean), momentum);
    updateRunning(this.runningVar, (c) => averageM2(c) / (count - 1), momentum);
  }
}

/** InstanceNorm of `[N, C, L]` or `[C, L]`; output the same shape. See torch.nn.InstanceNorm1d. */
export class InstanceNorm1d extends InstanceNorm {
  readonly name = "InstanceNorm1d";
  protected readonly rank = 3;

  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: ChannelNormOptions) {
    super("InstanceNorm1d", numFeatures, options);
  }
}

/** InstanceNorm of `[N, C, H, W]` or `[C, H, W]`; output the same shape. See torch.nn.InstanceNorm2d. */
export class InstanceNorm2d extends InstanceNorm {
  readonly name = "InstanceNorm2d";
  protected readonly rank = 4;

  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: ChannelNormOptions) {
    super("InstanceNorm2d", numFeatures, options);
  }
}

/** InstanceNorm of `[N, C, D, H, W]` or `[C, D, H, W]`; output the same shape. See torch.nn.InstanceNorm3d. */
export class InstanceNorm3d extends InstanceNorm {
  readonly name = "InstanceNorm3d";
  protected readonly rank = 5;

  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: ChannelNormOptions) {
    super("InstanceNorm3d", numFeatures, options);
  }
}
