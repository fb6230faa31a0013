import { type Complete, checkBoolean, checkPositiveInteger } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, InvalidShapeError, reading } from "../errors.js";
import { settled } from "../merge/moments.js";
import type { Dtype } from "../tensor/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { formatShape, type Shape } from "../tensor/shape.js";
import { TrackingLayer } from "./affine-layer.js";
import {
  checkCount,
  checkEps,
  checkInputDtype,
  checkMomentum,
  checkParameter,
  checkParameterDtype,
  makeParameter,
  type ParameterDtype,
} from "./arguments.js";
import {
  affineEntries,
  floatEntry,
  pythonBoolean,
  pythonFloat,
  readLoadOptions,
  resetAffine,
  resetTo,
} from "./base-layer.js";
import { lastFits } from "./channel-axis.js";
import type { LayerCall, Normalization } from "./layer.js";
import type { LoadStateOptions, SaveStateOptions, StateDict, StateEntry } from "./state.js";

export interface ChannelNormOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number | undefined;
  /**
   * Share of the new statistics in the running ones: running = momentum * new + (1 - momentum) * running. Default 0.1.
   * Null: BatchNorm averages all batches alike, InstanceNorm does not update.
   */
  readonly momentum?: number | null | undefined;
  /** Whether there are a weight and a bias per channel. Default true for BatchNorm, false for InstanceNorm. */
  readonly affine?: boolean | undefined;
  /** Whether running statistics are kept, and used in evaluation. Default true for BatchNorm, false for InstanceNorm. */
  readonly trackRunningStats?: boolean | undefined;
  /** With `affine: true`, whether there is a bias. Default true. */
  readonly bias?: boolean | undefined;
  /** Type of the parameters. Default "float32", for input of all dtypes but float64; "float64" for that. */
  readonly dtype?: ParameterDtype | undefined;
}

/** In the place of a lazy layer's number of channels, which it learns from its first input. Nothing that a caller can pass. */
export const LAZY = Symbol("lazy");

/** Parameters and running statistics by channel: what BatchNorm and InstanceNorm have in common (torch's _NormBase). */
export abstract class ChannelNorm<O, Default extends boolean> extends TrackingLayer<O, Default> {
  /** Added to the variance. */
  readonly eps: number;
  /** Share of the new statistics in the running ones; null as ChannelNormOptions says. */
  readonly momentum: number | null;
  /** Whether running statistics are kept. */
  readonly trackRunningStats: boolean;
  /** Type of parameters and running statistics. */
  readonly dtype: ParameterDtype;
  #numFeatures = 0;
  readonly #affine: boolean;
  readonly #bias: boolean;

  protected constructor(name: string, numFeatures: number | typeof LAZY, options: Complete<ChannelNormOptions>) {
    super();
    this.eps = checkEps(name, options.eps);
    this.momentum = checkMomentum(name, options.momentum);
    this.trackRunningStats = checkBoolean(name, "trackRunningStats", options.trackRunningStats);
    this.dtype = checkParameterDtype(name, options.dtype);
    this.#affine = checkBoolean(name, "affine", options.affine);
    this.#bias = checkBoolean(name, "bias", options.bias);
    this.numBatchesTracked = this.trackRunningStats ? 0 : null;
    this.fix("eps", "momentum", "trackRunningStats", "dtype");
    this.#initialize(numFeatures === LAZY ? 0 : checkPositiveInteger(name, "numFeatures", numFeatures), name);
  }

  /** Channels of an input. 0 in a lazy layer that has seen none. */
  get numFeatures(): number {
    if (!(#numFeatures in this)) throw new InvalidArgumentError("layer.numFeatures", "this", "a layer", describe(this));
    return this.#numFeatures;
  }

  /** What a pool is to compute for an input of this shape. @throws InvalidShapeError, InvalidArgumentError, UnsupportedDtypeError */
  prepare(shape: Shape, call: LayerCall): Normalization {
    const lazy = this.#numFeatures === 0;
    try {
      return this.plan(shape, call);
    } catch (error) {
      // An input that is refused has not been seen.
      if (lazy) this.#initialize(0);
      throw error;
    }
  }

  protected abstract plan(shape: Shape, call: LayerCall): Normalization;

  override stateDict(options?: SaveStateOptions): StateDict {
    if (this.numFeatures > 0) return super.stateDict(options);
    throw new InvalidArgumentError(`${this.name}.stateDict`, "layer", "one that has seen an input", "one that has not");
  }

  /** A lazy layer that has seen no input takes its number of channels from the dict. */
  override loadStateDict(dict: StateDict, options?: LoadStateOptions): void {
    if (this.numFeatures > 0) {
      super.loadStateDict(dict, options);
      return;
    }
    const operation = `${this.name}.loadStateDict`;
    const keys = ["weight", "bias", "running_mean", "running_var"];
    const { prefix } = readLoadOptions(operation, options);
    const channels = reading(operation, "dict", "an object of tensors", () =>
      keys.map((key) => dict?.[`${prefix}${key}`]?.shape?.[0]).find((size) => size !== undefined),
    );
    // Of a dict that does not say how many, any number tells which keys are missing.
    this.#initialize(checkPositiveInteger(operation, "dict's number of channels", channels ?? 1));
    try {
      super.loadStateDict(dict, options);
    } catch (error) {
      this.#initialize(0);
      throw error;
    }
    if (channels === undefined) this.#initialize(0);
  }

  /** Takes an input's number of channels, at dimension `axis`: a lazy layer's first one decides. Throws InvalidShapeError. */
  protected meetChannels(c: number, axis: number, shape: Shape): void {
    if (this.#numFeatures === 0 && c > 0) this.#initialize(c);
    if (c > 0 && c === this.#numFeatures) return;
    const message = `expected ${this.#numFeatures || "some"} channels (numFeatures) at dimension ${axis} but got ${c} in input of shape ${formatShape(shape)}${lastFits(shape, axis, this.#numFeatures)}`;
    if (this.#numFeatures === 0 || this.hasState) throw new InvalidShapeError(this.name, message, shape);
    this.warnOfChannels(c, axis);
  }

  /** Without weights and running statistics an input may have any number of channels. */
  protected warnOfChannels(_c: number, _axis: number): void {}

  /** Makes parameters and buffers for so many channels, as a new layer has them. 0: takes them away again. */
  #initialize(numFeatures: number, name = this.name): void {
    const make = (wanted: boolean, value: number) =>
      wanted && numFeatures > 0 ? makeParameter(name, "numFeatures", this.dtype, numFeatures, value) : null;
    const weight = make(this.#affine, 1);
    const bias = make(this.#affine && this.#bias, 0);
    const runningMean = make(this.trackRunningStats, 0);
    const runningVar = make(this.trackRunningStats, 1);
    this.#numFeatures = numFeatures;
    Object.assign(this, { weight, bias, runningMean, runningVar });
  }

  /** Sets the running mean to 0, the running variance to 1 and the count of batches to 0, where they are kept. */
  resetRunningStats(): void {
    resetTo(this.name, "runningMean", this.runningMean, 0);
    resetTo(this.name, "runningVar", this.runningVar, 1);
    if (this.numBatchesTracked !== null) this.numBatchesTracked = 0;
  }

  /** Sets the weight to 1 and the bias to 0, where there are any, and resets the running statistics. */
  resetParameters(): void {
    this.resetRunningStats();
    resetAffine(this);
  }

  protected override stateEntries(): StateEntry[] {
    const shape = [this.numFeatures];
    const tracked = this.numBatchesTracked;
    const count = BigInt(checkCount(this.name, tracked));
    const counter: StateEntry[] =
      tracked === null
        ? []
        : [
            {
              key: "num_batches_tracked",
              shape: [],
              get: () => BigInt64Array.of(count),
              set: (values) => {
                this.numBatchesTracked = values[0] ?? 0;
              },
              allows: ([batches]) => Number.isSafeInteger(batches) && (batches as number) >= 0,
              optional: true,
            },
          ];
    return [
      ...affineEntries(this, shape),
      ...floatEntry("running_mean", shape, this.runningMean),
      ...floatEntry("running_var", shape, this.runningVar),
      ...counter,
    ];
  }

  protected override representation(): string {
    const { numFeatures } = this;
    const momentum = this.momentum === null ? "None" : pythonFloat(this.momentum);
    const flags = `affine=${pythonBoolean(this.#affine)}${this.#affine && !this.#bias ? ", bias=False" : ""}, track_running_stats=${pythonBoolean(this.trackRunningStats)}`;
    return `${numFeatures}, eps=${pythonFloat(this.eps)}, momentum=${momentum}, ${flags}`;
  }

  /** Throws UnsupportedDtypeError unless input and parameters go together. */
  protected checkInputDtype(dtype: Dtype): void {
    checkInputDtype(this.name, dtype, this.dtype, [this.weight, this.bias, this.runningMean]);
  }

  /** Whether the number of channels matters. */
  private get hasState(): boolean {
    return (this.runningMean ?? this.weight ?? this.bias) !== null;
  }

  /** The running statistics, checked against `channels`, or null if there are none. */
  protected running(channels: number): { mean: Parameter; variance: Parameter } | null {
    const mean = checkParameter(this.name, "runningMean", this.runningMean, this.dtype, channels);
    const variance = checkParameter(this.name, "runningVar", this.runningVar, this.dtype, channels);
    return mean === null || variance === null ? null : { mean, variance };
  }

  protected affine(channels: number): Pick<Normalization, "weight" | "bias"> {
    return {
      weight: checkParameter(this.name, "weight", this.weight, this.dtype, channels),
      bias: checkParameter(this.name, "bias", this.bias, this.dtype, channels),
    };
  }
}

/**
 * running = factor * new + (1 - factor) * running of channels [first, first + count), in place, in float64 with one rounding.
 * @param fresh told the channel counted from `first`.
 */
export function updateRunning(
  running: Parameter,
  first: number,
  count: number,
  factor: number,
  fresh: (channel: number) => number,
): void {
  for (let i = 0, c = first; i < count; i++, c++) {
    running[c] = settled(factor * fresh(i) + (1 - factor) * (running[c] as number));
  }
}
