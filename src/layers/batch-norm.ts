import { type Complete, checkBoolean, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, InvalidShapeError } from "../errors.js";
import type { RunningStatistics } from "../merge/statistics.js";
import { batchNormGeometry } from "../plan/geometry.js";
import { formatShape, type Shape } from "../tensor/shape.js";
import { checkCount, checkLength } from "./arguments.js";
import { channelView, resolveAxis } from "./channel-axis.js";
import { ChannelNorm, type ChannelNormOptions, LAZY, updateRunning } from "./channel-norm.js";
import type { LayerCall, Normalization, Numbers, RunningUpdate } from "./layer.js";
import type { NoOptions } from "./presence.js";

const DEFAULTS: Complete<ChannelNormOptions> = {
  eps: 1e-5,
  momentum: 0.1,
  affine: true,
  trackRunningStats: true,
  bias: true,
  dtype: "float32",
};

/**
 * Batch normalisation (Ioffe, Szegedy 2015, arXiv:1502.03167), as torch.nn.BatchNorm1d/2d/3d: mean and biased variance of
 * each channel over all samples and space; weight and bias per channel. In evaluation the running statistics, if kept.
 */
abstract class BatchNorm<O> extends ChannelNorm<O, true> {
  readonly #ranks: readonly number[] | null;

  /** @param ranks of input that the class takes; none said is 2 and more. */
  protected constructor(
    name: string,
    ranks: readonly number[] | null,
    numFeatures: number | typeof LAZY,
    options: ChannelNormOptions | undefined,
  ) {
    super(name, numFeatures, readOptions<Complete<ChannelNormOptions>>(name, options, DEFAULTS));
    this.#ranks = ranks;
  }

  protected override plan(
    shape: Shape,
    { dtype, channelAxis, partOfBatch, momentsOnly = false }: LayerCall,
  ): Normalization {
    this.#checkRank(shape);
    const axis = resolveAxis(this.name, channelAxis ?? 1, shape.length);
    const view = channelView(shape, axis, true);
    const { c } = view;
    this.meetChannels(c, axis, shape);
    this.checkInputDtype(dtype);
    const running = this.running(c);
    checkBoolean(this.name, "training", this.training);
    checkCount(this.name, this.numBatchesTracked);
    const merged = this.mergesMoments && this.training;
    const fromBatch = this.training || running === null || momentsOnly;
    const alone = view.n * view.before * view.after === 1 && !(merged && partOfBatch);
    if (fromBatch && alone && !momentsOnly) {
      const message = `expected more than 1 value per channel when training but got input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    if (fromBatch && this.eps === 0 && !momentsOnly) {
      const expected = "a positive number in training, and without running statistics,";
      throw new InvalidArgumentError(this.name, "eps", expected, describe(this.eps));
    }
    return {
      kind: "normalization",
      geometry: batchNormGeometry(view),
      eps: this.eps,
      measure: "deviation",
      ...this.affine(c),
      running: fromBatch ? null : running,
      merged,
      update: this.training && running !== null ? (kept) => this.#update(kept, running, c) : null,
    };
  }

  /** Whether the moments may be those of a batch that the input is a part of. */
  protected get mergesMoments(): boolean {
    return false;
  }

  #checkRank(shape: Shape): void {
    if (this.#ranks === null ? shape.length >= 2 : this.#ranks.includes(shape.length)) return;
    const wanted = this.#ranks?.map((rank) => `${rank}D`).join(" or ") ?? "at least 2D";
    const message = `expected ${wanted} input but got ${shape.length}D input of shape ${formatShape(shape)}`;
    throw new InvalidShapeError(this.name, message, shape);
  }

  #update(kept: Numbers, running: RunningStatistics, channels: number): RunningUpdate {
    let cells = 0;
    const commit = () => this.#commit(kept, running, channels, cells);
    return {
      add(pairs, _, count) {
        cells = count;
        kept.put(pairs);
      },
      commit,
    };
  }

  /** Into the arrays that were the layer's when the call began, as in PyTorch. */
  *#commit(kept: Numbers, { mean, variance }: RunningStatistics, channels: number, count: number): Generator<void> {
    const batches = checkCount(this.name, this.numBatchesTracked);
    checkLength(this.name, "runningMean", mean, channels);
    checkLength(this.name, "runningVar", variance, channels);
    this.numBatchesTracked = batches + 1;
    if (count === 0) return;
    const factor = this.momentum ?? 1 / this.numBatchesTracked;
    let channel = 0;
    for (const pairs of kept.all()) {
      if (channel > 0) yield;
      updateRunning(mean, channel, pairs.length / 2, factor, (i) => pairs[2 * i] as number);
      updateRunning(variance, channel, pairs.length / 2, factor, (i) => (pairs[2 * i + 1] as number) / (count - 1));
      channel += pairs.length / 2;
    }
  }
}

/** BatchNorm of `[N, C]` or `[N, C, L]`; output the same shape. See torch.nn.BatchNorm1d. */
export class BatchNorm1d<const O extends ChannelNormOptions = NoOptions> extends BatchNorm<O> {
  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: O) {
    super("BatchNorm1d", [2, 3], numFeatures, options);
  }

  get name(): string {
    return "BatchNorm1d";
  }
}

/** BatchNorm of `[N, C, H, W]`; output the same shape. See torch.nn.BatchNorm2d. */
export class BatchNorm2d<const O extends ChannelNormOptions = NoOptions> extends BatchNorm<O> {
  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: O) {
    super("BatchNorm2d", [4], numFeatures, options);
  }

  get name(): string {
    return "BatchNorm2d";
  }
}

/** BatchNorm of `[N, C, D, H, W]`; output the same shape. See torch.nn.BatchNorm3d. */
export class BatchNorm3d<const O extends ChannelNormOptions = NoOptions> extends BatchNorm<O> {
  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: O) {
    super("BatchNorm3d", [5], numFeatures, options);
  }

  get name(): string {
    return "BatchNorm3d";
  }
}

/** BatchNorm1d that learns its number of channels from its first input, or from the state it loads. See torch.nn.LazyBatchNorm1d. */
export class LazyBatchNorm1d extends BatchNorm<ChannelNormOptions> {
  /** @throws InvalidArgumentError */
  constructor(options?: ChannelNormOptions) {
    super("LazyBatchNorm1d", [2, 3], LAZY, options);
  }

  /** "BatchNorm1d" from then on, as in PyTorch. */
  get name(): string {
    return this.numFeatures === 0 ? "LazyBatchNorm1d" : "BatchNorm1d";
  }
}

/** BatchNorm2d that learns its number of channels from its first input, or from the state it loads. See torch.nn.LazyBatchNorm2d. */
export class LazyBatchNorm2d extends BatchNorm<ChannelNormOptions> {
  /** @throws InvalidArgumentError */
  constructor(options?: ChannelNormOptions) {
    super("LazyBatchNorm2d", [4], LAZY, options);
  }

  /** "BatchNorm2d" from then on, as in PyTorch. */
  get name(): string {
    return this.numFeatures === 0 ? "LazyBatchNorm2d" : "BatchNorm2d";
  }
}

/** BatchNorm3d that learns its number of channels from its first input, or from the state it loads. See torch.nn.LazyBatchNorm3d. */
export class LazyBatchNorm3d extends BatchNorm<ChannelNormOptions> {
  /** @throws InvalidArgumentError */
  constructor(options?: ChannelNormOptions) {
    super("LazyBatchNorm3d", [5], LAZY, options);
  }

  /** "BatchNorm3d" from then on, as in PyTorch. */
  get name(): string {
    return this.numFeatures === 0 ? "LazyBatchNorm3d" : "BatchNorm3d";
  }
}

/**
 * BatchNorm of `[N, C, *]` whose batch may be cut into parts, in several tensors, pools or machines. See torch.nn.SyncBatchNorm; in the
 * place of a process group are two small merges, in an order that all parts agree on:
 *
 * ```ts
 * const parts = await Promise.all(xs.map((x) => pool.momentsOf(layer, x)));
 * const moments = mergeMoments(parts);
 * for (const x of xs) ys.push(await pool.forward(layers.get(x), x, { moments })); // each part's own copy of the layer
 * ```
 *
 * Each part's layer takes the whole batch's statistics into its running ones. For the gradient of the input the parts' sums are
 * added alike (`pool.gradientSums`, `addGradientSums`); gradients of weight and bias stay each part's own. Without `moments` the
 * input is the whole batch, and in evaluation it is BatchNorm.
 */
export class SyncBatchNorm<const O extends ChannelNormOptions = NoOptions> extends BatchNorm<O> {
  /** @throws InvalidArgumentError */
  constructor(numFeatures: number, options?: O) {
    super("SyncBatchNorm", null, numFeatures, options);
  }

  get name(): string {
    return "SyncBatchNorm";
  }

  protected override get mergesMoments(): boolean {
    return true;
  }
}
