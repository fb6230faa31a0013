import { type Complete, checkBoolean, readOptions } from "../check.js";
import { InvalidShapeError } from "../errors.js";
import { NOTHING, type RunningStatistics } from "../merge/statistics.js";
import { instanceNormGeometry } from "../plan/geometry.js";
import { formatShape, type Shape } from "../tensor/shape.js";
import { checkLength } from "./arguments.js";
import { channelView, checkNotBatchAxis, resolveAxis } from "./channel-axis.js";
import { ChannelNorm, type ChannelNormOptions, LAZY, updateRunning } from "./channel-norm.js";
import type { LayerCall, Normalization, RunningUpdate } from "./layer.js";
import type { NoOptions } from "./presence.js";

const DEFAULTS: Complete<ChannelNormOptions> = {
  eps: 1e-5,
  momentum: 0.1,
  affine: false,
  trackRunningStats: false,
  bias: true,
  dtype: "float32",
};

/**
 * Instance normalisation (Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022), as torch.nn.InstanceNorm1d/2d/3d: mean and biased
 * variance of each sample's channel over space; weight and bias per channel. In evaluation the running statistics, if kept.
 */
abstract class InstanceNorm<O> extends ChannelNorm<O, false> {
  readonly #rank: number;
  #warned = false;

  /** @param rank of a batch; one less is a single sample without the batch dimension. */
  protected constructor(
    name: string,
    rank: number,
    numFeatures: number | typeof LAZY,
    options: ChannelNormOptions | undefined,
    defaults: Partial<Complete<ChannelNormOptions>> = {},
  ) {
    super(name, numFeatures, readOptions<Complete<ChannelNormOptions>>(name, options, { ...DEFAULTS, ...defaults }));
    this.#rank = rank;
  }

  protected override plan(shape: Shape, { dtype, channelAxis, momentsOnly = false }: LayerCall): Normalization {
    const rank = this.#rank;
    if (shape.length !== rank && shape.length !== rank - 1) {
      const message = `expected ${rank - 1}D or ${rank}D input but got ${shape.length}D input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const batched = shape.length === rank;
    const axis = resolveAxis(this.name, channelAxis ?? (batched ? 1 : 0), shape.length);
    if (batched) checkNotBatchAxis(this.name, axis);
    const view = channelView(shape, axis, batched);
    const { n, c } = view;
    const space = view.before * view.after;
    this.meetChannels(c, axis, shape);
    this.checkInputDtype(dtype);
    const running = this.running(c);
    checkBoolean(this.name, "training", this.training);
    const fromBatch = this.training || running === null || momentsOnly;
    if (fromBatch && space === 1 && !momentsOnly) {
      const message = `expected more than 1 spatial element when training but got input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const { momentum } = this;
    const updates = this.training && running !== null && momentum !== null && n > 0 && space > 0;
    return {
      kind: "normalization",
      geometry: instanceNormGeometry(view),
      // PyTorch's InstanceNorm, which is its batch_norm, gives cells that are all alike 0 even where there is no eps.
      eps: fromBatch && this.eps === 0 ? NOTHING : this.eps,
      measure: "deviation",
      ...this.affine(c),
      running: fromBatch ? null : running,
      merged: false,
      update: updates ? () => this.#update(running, c, n, momentum) : null,
    };
  }

  /** Without weights and running statistics the channels are each their own anyway: PyTorch only warns. Once a layer is enough. */
  protected override warnOfChannels(c: number, axis: number): void {
    if (this.#warned) return;
    this.#warned = true;
    const message = `${this.name}: input has ${c} channels at dimension ${axis} where numFeatures is ${this.numFeatures}; numFeatures is not used because affine is false`;
    process.emitWarning(message, { code: "NORMPOOL_NUM_FEATURES" });
  }

  /** Each instance's statistics, averaged over the samples. torch leaves num_batches_tracked at 0 here. */
  #update(running: RunningStatistics, channels: number, samples: number, momentum: number): RunningUpdate {
    const sums = { mean: new Float64Array(channels), m2: new Float64Array(channels) };
    let cells = 0;
    const commit = () => {
      checkLength(this.name, "runningMean", running.mean, channels);
      checkLength(this.name, "runningVar", running.variance, channels);
      const mean = (c: number) => (sums.mean[c] as number) / samples;
      const variance = (c: number) => (sums.m2[c] as number) / samples / (cells - 1);
      updateRunning(running.mean, 0, channels, momentum, mean);
      updateRunning(running.variance, 0, channels, momentum, variance);
      return [];
    };
    return {
      add(pairs, first, count) {
        cells = count;
        for (let at = 0, channel = first % channels; at < pairs.length; at += 2) {
          sums.mean[channel] = (sums.mean[channel] as number) + (pairs[at] as number);
          sums.m2[channel] = (sums.m2[channel] as number) + (pairs[at + 1] as number);
          channel = channel + 1 === channels ? 0 : channel + 1;
        }
      },
      commit,
    };
  }
}

/** InstanceNorm of `[N, C, L]` or `[C, L]`; output the same shape. See torch.nn.InstanceNorm1d. */
export class InstanceNorm1d<const O extends ChannelNormOptions = NoOptions> extends InstanceNorm<O> {
  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: O) {
    super("InstanceNorm1d", 3, numFeatures, options);
  }

  get name(): string {
    return "InstanceNorm1d";
  }
}

/** InstanceNorm of `[N, C, H, W]` or `[C, H, W]`; output the same shape. See torch.nn.InstanceNorm2d. */
export class InstanceNorm2d<const O extends ChannelNormOptions = NoOptions> extends InstanceNorm<O> {
  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: O) {
    super("InstanceNorm2d", 4, numFeatures, options);
  }

  get name(): string {
    return "InstanceNorm2d";
  }
}

/** InstanceNorm of `[N, C, D, H, W]` or `[C, D, H, W]`; output the same shape. See torch.nn.InstanceNorm3d. */
export class InstanceNorm3d<const O extends ChannelNormOptions = NoOptions> extends InstanceNorm<O> {
  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: O) {
    super("InstanceNorm3d", 5, numFeatures, options);
  }

  get name(): string {
    return "InstanceNorm3d";
  }
}

/** InstanceNorm1d that learns its number of channels from its first input, or from the state it loads. See torch.nn.LazyInstanceNorm1d. */
export class LazyInstanceNorm1d extends InstanceNorm<ChannelNormOptions> {
  /** `affine` and `trackRunningStats` are true by default, as in PyTorch. @throws InvalidArgumentError */
  constructor(options?: ChannelNormOptions) {
    super("LazyInstanceNorm1d", 3, LAZY, options, { affine: true, trackRunningStats: true });
  }

  /** "InstanceNorm1d" from then on, as in PyTorch. */
  get name(): string {
    return this.numFeatures === 0 ? "LazyInstanceNorm1d" : "InstanceNorm1d";
  }
}

/** InstanceNorm2d that learns its number of channels from its first input, or from the state it loads. See torch.nn.LazyInstanceNorm2d. */
export class LazyInstanceNorm2d extends InstanceNorm<ChannelNormOptions> {
  /** `affine` and `trackRunningStats` are true by default, as in PyTorch. @throws InvalidArgumentError */
  constructor(options?: ChannelNormOptions) {
    super("LazyInstanceNorm2d", 4, LAZY, options, { affine: true, trackRunningStats: true });
  }

  /** "InstanceNorm2d" from then on, as in PyTorch. */
  get name(): string {
    return this.numFeatures === 0 ? "LazyInstanceNorm2d" : "InstanceNorm2d";
  }
}

/** InstanceNorm3d that learns its number of channels from its first input, or from the state it loads. See torch.nn.LazyInstanceNorm3d. */
export class LazyInstanceNorm3d extends InstanceNorm<ChannelNormOptions> {
  /** `affine` and `trackRunningStats` are true by default, as in PyTorch. @throws InvalidArgumentError */
  constructor(options?: ChannelNormOptions) {
    super("LazyInstanceNorm3d", 5, LAZY, options, { affine: true, trackRunningStats: true });
  }

  /** "InstanceNorm3d" from then on, as in PyTorch. */
  get name(): string {
    return this.numFeatures === 0 ? "LazyInstanceNorm3d" : "InstanceNorm3d";
  }
}
