import { checkCallOptions, type LayerCallOptions, type OutputOptions } from "../calls/options.js";
import { type Complete, checkBoolean, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError } from "../errors.js";
import type { LoadStateOptions, SaveStateOptions, StateDict } from "../layers/state.js";
import { isPool, type NormPool } from "../pool.js";
import type { Dtype, OutputDtype } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { ChannelLayer, type ChannelMap, checkChannels } from "./channel-layer.js";
import { type Fitted, merged } from "./fitted.js";
import { partMoments } from "./part-moments.js";
import { fittedOf, stateOf } from "./scaler-state.js";

export interface StandardScalerOptions {
  /** Whether the mean is subtracted. Default true. */
  readonly withMean?: boolean;
  /** Whether it is divided by the deviation. Default true. */
  readonly withStd?: boolean;
  /** Which dimension of tensors has the features, from the end if negative; a call may say another. Default -1: the last one. */
  readonly channelAxis?: number;
}

export interface TransformOptions<T extends Tensor = Tensor> extends LayerCallOptions, OutputOptions {
  /** Where the result goes: a tensor with the output's dtype and the input's shape, also the input itself. Default: a new tensor of the pool. */
  readonly out?: T | undefined;
}

/**
 * Standardises features (channels) by the mean and deviation of the data that it was fitted to, as sklearn.preprocessing.StandardScaler:
 * y = (x - mean) / scale. The data may come in parts, in memory or in files, larger than memory too.
 *
 * ```ts
 * const scaler = new StandardScaler();
 * for (const path of paths) await scaler.partialFit(pool, await pool.open(path)); // [samples, features]
 * const y = await scaler.transform(pool, x);
 * await writeSafetensors("scaler.safetensors", scaler.stateDict());
 * ```
 *
 * Tensors are `[*, features]`, or have the features at `channelAxis`, of two dimensions or more and of any dtype; all else are samples. Statistics
 * are float64, for every dtype, and have the same bits at any number of threads; of float32 and smaller cells they are within a rounding of float32
 * of the true ones, of float64 within some of float64. As in scikit-learn the variance is biased, a feature that is
 * constant is divided by 1, NaN is left out in fitting (a tensor that has some is read a second time, on the calling thread) and stays NaN, and
 * fitting refuses Infinity.
 */
export class StandardScaler {
  /** Whether the mean is subtracted. */
  readonly withMean: boolean;
  /** Whether it is divided by the deviation. */
  readonly withStd: boolean;
  /** Which dimension of tensors has the features. */
  readonly channelAxis: number;
  #fitted: Fitted | null = null;
  /** The fit that was asked for last: parts are merged in the order of the calls. */
  #last: Promise<unknown> = Promise.resolve();

  /** @throws InvalidArgumentError */
  constructor(options?: StandardScalerOptions) {
    const name = "StandardScaler";
    const { withMean, withStd, channelAxis } = readOptions<Complete<StandardScalerOptions>>(name, options, {
      withMean: true,
      withStd: true,
      channelAxis: -1,
    });
    this.withMean = checkBoolean(name, "withMean", withMean);
    this.withStd = checkBoolean(name, "withStd", withStd);
    if (!Number.isSafeInteger(channelAxis)) {
      throw new InvalidArgumentError(name, "channelAxis", "a safe integer", describe(channelAxis));
    }
    this.channelAxis = channelAxis;
  }

  /** `[features]`: scikit-learn's `mean_`. Null before the first fit, and with neither `withMean` nor `withStd`. */
  get mean(): Float64Array | null {
    return this.withMean || this.withStd ? (this.#fitted?.mean ?? null) : null;
  }

  /** `[features]`: the biased variance, scikit-learn's `var_`. Null before the first fit, and without `withStd`. */
  get var(): Float64Array | null {
    return this.withStd ? (this.#fitted?.variance ?? null) : null;
  }

  /** `[features]`: what is divided by, scikit-learn's `scale_`. Null before the first fit, and without `withStd`. */
  get scale(): Float64Array | null {
    return this.withStd ? (this.#fitted?.scale ?? null) : null;
  }

  /** Samples that were not NaN, scikit-learn's `n_samples_seen_`: a number, or `[features]` where they differ. 0 before the first fit. */
  get nSamplesSeen(): number | Float64Array {
    const counts = this.#fitted?.counts;
    const first = counts?.[0] ?? 0;
    return counts?.some((count) => count !== first) ? counts.slice() : first;
  }

  /**
   * Fits to `x` alone: what was fitted before is forgotten. As `partialFit`.
   * @throws (as rejection) as `partialFit`; what was fitted before is then still there.
   */
  fit(pool: NormPool, x: Tensor, options?: LayerCallOptions): Promise<this> {
    return this.#take("StandardScaler.fit", pool, x, options, true);
  }

  /**
   * Takes `x` into the statistics. Calls may run at once: they are merged in the order in which they were made, so their bits are the same. A
   * tensor without samples counts nothing.
   * @param x of as many features as the ones before.
   * @returns the scaler. A call that fails has changed nothing.
   * @throws (as rejection) InvalidShapeError, InvalidArgumentError, also where a cell is infinite, AbortedError, and as `pool.momentsOf`
   */
  partialFit(pool: NormPool, x: Tensor, options?: LayerCallOptions): Promise<this> {
    return this.#take("StandardScaler.partialFit", pool, x, options, false);
  }

  async #take(operation: string, pool: NormPool, x: Tensor, given: unknown, anew: boolean): Promise<this> {
    checkPool(operation, pool);
    const options = checkCallOptions<LayerCallOptions>(operation, given, []);
    const { channelAxis = this.channelAxis } = options;
    const channels = anew ? null : (this.#fitted?.mean.length ?? null);
    const earlier = this.#last;
    const taken = (async () => {
      const part = await partMoments(pool, new ChannelLayer(operation, channels), x, { ...options, channelAxis });
      await earlier.catch(() => {});
      const before = anew ? null : this.#fitted;
      // Of calls at once the first one to be merged says how many.
      checkChannels(operation, before?.mean.length ?? null, part.counts.length, channelAxis, x.shape);
      if (part.samples > 0) this.#fitted = merged(before, part);
      return this;
    })();
    this.#last = taken;
    return taken;
  }

  /**
   * y = (x - mean) / scale, or less of it as `withMean` and `withStd` have it. Computed in float64 and rounded once, to within an ulp of it.
   * @returns `options.out`, or a new tensor of the pool of the same shape and dtype (of uint8 input: float32).
   * @throws (as rejection) InvalidArgumentError where nothing was fitted, and as `pool.forward`
   */
  transform<D extends Dtype>(
    pool: NormPool,
    x: Tensor<D>,
    options?: TransformOptions<Tensor<OutputDtype<D>>>,
  ): Promise<Tensor<OutputDtype<D>>> {
    return this.#apply("StandardScaler.transform", pool, x, options, ({ mean, scale }) => {
      const zeros = new Float64Array(mean.length);
      const weight = this.withStd ? scale.map((s) => 1 / s) : zeros.map(() => 1);
      return { mean: this.withMean ? mean : zeros, weight, bias: zeros };
    });
  }

  /**
   * x * scale + mean, or less of it: what `transform` made of is back, but for rounding.
   * @returns as `transform`
   * @throws (as rejection) as `transform`
   */
  inverseTransform<D extends Dtype>(
    pool: NormPool,
    x: Tensor<D>,
    options?: TransformOptions<Tensor<OutputDtype<D>>>,
  ): Promise<Tensor<OutputDtype<D>>> {
    return this.#apply("StandardScaler.inverseTransform", pool, x, options, ({ mean, scale }) => {
      const zeros = new Float64Array(mean.length);
      const weight = this.withStd ? scale : zeros.map(() => 1);
      return { mean: zeros, weight, bias: this.withMean ? mean : zeros };
    });
  }

  async #apply<D extends Dtype>(
    operation: string,
    pool: NormPool,
    x: Tensor<D>,
    given: unknown,
    mapOf: (fitted: Fitted) => ChannelMap,
  ): Promise<Tensor<OutputDtype<D>>> {
    checkPool(operation, pool);
    type Output = Tensor<OutputDtype<D>>;
    const options = checkCallOptions<TransformOptions<Output>>(operation, given, ["out", "inPlaceSafe"]);
    const fitted = this.#fitted;
    if (fitted === null) {
      throw new InvalidArgumentError(
        operation,
        "this",
        "a scaler that was fitted (fit, partialFit, loadStateDict)",
        "one that was not",
      );
    }
    const layer = new ChannelLayer(operation, fitted.mean.length, mapOf(fitted));
    const { channelAxis = this.channelAxis } = options;
    return pool.forward(layer, x, { ...options, channelAxis });
  }

  /**
   * A copy of what was fitted, with scikit-learn's names: `mean_`, `var_`, `scale_` and `n_samples_seen_`, each after `prefix`. In Python they are
   * a scaler's attributes: `for name, value in load_file(path).items(): setattr(scaler, name, value)`.
   * @throws InvalidArgumentError where nothing was fitted
   */
  stateDict(options?: SaveStateOptions): StateDict {
    return stateOf(this.#fitted, options);
  }

  /**
   * Takes a copy of a state dict's tensors, in the place of what was fitted; `partialFit` goes on with the same bits.
   * @throws InvalidArgumentError that names missing keys, unexpected keys (both unless `strict: false`) and sizes that differ.
   */
  loadStateDict(dict: StateDict, options?: LoadStateOptions): void {
    this.#fitted = fittedOf(dict, this.withStd, options);
  }
}

function checkPool(operation: string, pool: unknown): void {
  if (!isPool(pool)) throw new InvalidArgumentError(operation, "pool", "a NormPool", describe(pool));
}
