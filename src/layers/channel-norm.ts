import { checkBoolean, checkEps, checkMomentum, checkParameter, checkPositiveInteger } from "./arguments.js";
import {
  affineEntries,
  BaseLayer,
  floatEntry,
  pythonBoolean,
  pythonFloat,
  resetAffine,
  withoutBias,
} from "./base-layer.js";
import type { Normalization } from "./layer.js";
import type { StateEntry } from "./state.js";

export interface ChannelNormOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
  /**
   * Share of the new statistics in the running ones: running = momentum * new + (1 - momentum) * running. Default 0.1.
   * Null: BatchNorm averages all batches alike, InstanceNorm does not update.
   */
  readonly momentum?: number | null;
  /** Whether there are a weight and a bias per channel. Default true for BatchNorm, false for InstanceNorm. */
  readonly affine?: boolean;
  /** Whether running statistics are kept, and used in evaluation. Default true for BatchNorm, false for InstanceNorm. */
  readonly trackRunningStats?: boolean;
  /** With `affine: true`, whether there is a bias. Default true. */
  readonly bias?: boolean;
}

/** Parameters and running statistics by channel: what BatchNorm and InstanceNorm have in common (torch's _NormBase). */
export abstract class ChannelNorm extends BaseLayer {
  /** Channels of an input. */
  readonly numFeatures: number;
  /** Added to the variance. */
  readonly eps: number;
  /** Share of the new statistics in the running ones; null as ChannelNormOptions says. */
  readonly momentum: number | null;
  /** Whether running statistics are kept. */
  readonly trackRunningStats: boolean;
  /** `[numFeatures]`, starts at 1. Null without affine. */
  weight: Float32Array | null;
  /** `[numFeatures]`, starts at 0. Null without affine or bias. */
  bias: Float32Array | null;
  /** `[numFeatures]`, starts at 0. Null without tracking. */
  runningMean: Float32Array | null;
  /** `[numFeatures]`, unbiased variances, starts at 1. Null without tracking. */
  runningVar: Float32Array | null;
  /** Batches that the running statistics have seen in training. Null without tracking. */
  numBatchesTracked: number | null;

  protected constructor(name: string, numFeatures: number, options: Required<ChannelNormOptions>) {
    super();
    this.numFeatures = checkPositiveInteger(name, "numFeatures", numFeatures);
    this.eps = checkEps(name, options.eps);
    this.momentum = checkMomentum(name, options.momentum);
    this.trackRunningStats = checkBoolean(name, "trackRunningStats", options.trackRunningStats);
    const affine = checkBoolean(name, "affine", options.affine);
    const bias = checkBoolean(name, "bias", options.bias);
    this.weight = affine ? new Float32Array(numFeatures).fill(1) : null;
    this.bias = affine && bias ? new Float32Array(numFeatures) : null;
    this.runningMean = this.trackRunningStats ? new Float32Array(numFeatures) : null;
    this.runningVar = this.trackRunningStats ? new Float32Array(numFeatures).fill(1) : null;
    this.numBatchesTracked = this.trackRunningStats ? 0 : null;
  }

  /** Sets the running mean to 0, the running variance to 1 and the count of batches to 0, where they are kept. */
  resetRunningStats(): void {
    this.runningMean?.fill(0);
    this.runningVar?.fill(1);
    if (this.numBatchesTracked !== null) this.numBatchesTracked = 0;
  }

  /** Sets the weight to 1 and the bias to 0, where there are any, and resets the running statistics. */
  resetParameters(): void {
    this.resetRunningStats();
    resetAffine(this);
  }

  protected override stateEntries(): StateEntry[] {
    const shape = [this.numFeatures];
    const count = this.numBatchesTracked;
    const counter: StateEntry[] =
      count === null
        ? []
        : [
            {
              key: "num_batches_tracked",
              shape: [],
              get: () => BigInt64Array.of(BigInt(count)),
              set: (values) => {
                this.numBatchesTracked = values[0] ?? 0;
              },
              optional: true,
            },
          ];
    return [
      ...affineEntries(this, shape),
      ...floatEntry(
        "running_mean",
        shape,
        () => this.runningMean,
        (values) => {
          this.runningMean = values;
        },
      ),
      ...floatEntry(
        "running_var",
        shape,
        () => this.runningVar,
        (values) => {
          this.runningVar = values;
        },
      ),
      ...counter,
    ];
  }

  protected override representation(): string {
    const momentum = this.momentum === null ? "None" : pythonFloat(this.momentum);
    const flags = `affine=${pythonBoolean(this.weight !== null)}${withoutBias(this)}, track_running_stats=${pythonBoolean(this.trackRunningStats)}`;
    return `${this.numFeatures}, eps=${pythonFloat(this.eps)}, momentum=${momentum}, ${flags}`;
  }

  /** The running statistics, checked against `channels`, or null if there are none. */
  protected running(channels: number): { mean: Float32Array; variance: Float32Array } | null {
    const mean = checkParameter(this.name, "runningMean", this.runningMean, channels);
    const variance = checkParameter(this.name, "runningVar", this.runningVar, channels);
    return mean === null || variance === null ? null : { mean, variance };
  }

  protected affine(channels: number): Pick<Normalization, "weight" | "bias"> {
    return {
      weight: checkParameter(this.name, "weight", this.weight, channels),
      bias: checkParameter(this.name, "bias", this.bias, channels),
    };
  }
}

/** running = factor * new + (1 - factor) * running, in place, in float64 with one rounding. */
export function updateRunning(running: Float32Array, fresh: (channel: number) => number, factor: number): void {
  for (let c = 0; c < running.length; c++) running[c] = factor * fresh(c) + (1 - factor) * (running[c] as number);
}
