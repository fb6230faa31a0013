// What was fitted as a state dict, by scikit-learn's names.
import { type Complete, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, reading } from "../errors.js";
import { checkPrefix, readLoadOptions } from "../layers/base-layer.js";
import {
  type LoadStateOptions,
  loadState,
  type SaveStateOptions,
  type StateDict,
  type StateEntry,
  saveState,
} from "../layers/state.js";
import type { Shape } from "../tensor/shape.js";
import { kindOf, lengthOf } from "../tensor/typed-arrays.js";
import type { Fitted } from "./fitted.js";

/** A copy of what was fitted. Throws InvalidArgumentError where nothing was. */
export function stateOf(fitted: Fitted | null, options: SaveStateOptions | undefined): StateDict {
  const operation = "StandardScaler.stateDict";
  const { prefix } = readOptions<Complete<SaveStateOptions>>(operation, options, { prefix: "" });
  checkPrefix(operation, prefix);
  if (fitted === null)
    throw new InvalidArgumentError(operation, "this", "a scaler that was fitted", "one that was not");
  const { counts } = fitted;
  // One number, as in scikit-learn, unless some are without what is NaN.
  const alike = counts.every((count) => count === counts[0]);
  return saveState(operation, entriesOf(fitted, alike ? [] : [counts.length], true), prefix);
}

/** How a scaler was made, as strings beside its state in a safetensors file. */
export function scalerMetadata({
  withMean,
  withStd,
  channelAxis,
}: {
  readonly withMean: boolean;
  readonly withStd: boolean;
  readonly channelAxis: number;
}): Readonly<Record<string, string>> {
  return { with_mean: String(withMean), with_std: String(withStd), channel_axis: String(channelAxis) };
}

/** What the dict has. @param withStd whether it has to have variances. Throws InvalidArgumentError. */
export function fittedOf(dict: StateDict, withStd: boolean, options: LoadStateOptions | undefined): Fitted {
  const operation = "StandardScaler.loadStateDict";
  const { strict, prefix } = readLoadOptions(operation, options);
  const { features, seenRank } = reading(operation, "dict", "an object of tensors", () => {
    const data: unknown = dict?.[`${prefix}mean_`]?.data;
    return {
      // Of a dict that does not say how many, any number tells which keys are missing.
      features: kindOf(data) === undefined ? 1 : lengthOf(data as ArrayBufferView),
      seenRank: dict?.[`${prefix}n_samples_seen_`]?.shape?.length ?? 0,
    };
  });
  const table = (absent = Number.NaN) => new Float64Array(features).fill(absent);
  const fitted = { counts: table(-1), mean: table(), variance: table(), scale: table() };
  loadState(operation, entriesOf(fitted, seenRank === 0 ? [] : [features], withStd), dict, strict, prefix);
  const { counts } = fitted;
  // Without strict too: there is no number of samples that a scaler could go on with.
  if (counts.length > 0 && counts.every((count) => Number.isSafeInteger(count) && count >= 0)) return fitted;
  const expected = "a number of samples for each of one or more features";
  throw new InvalidArgumentError(operation, "dict", expected, describe(counts));
}

/** @param seen the shape of the number of samples: one for all, or one a channel. */
function entriesOf({ counts, mean, variance, scale }: Fitted, seen: Shape, withStd: boolean): StateEntry[] {
  const float = (key: string, values: Float64Array, optional = false): StateEntry => ({
    key,
    shape: [values.length],
    get: () => values,
    set: (loaded) => values.set(loaded),
    optional,
  });
  return [
    float("mean_", mean),
    float("var_", variance, !withStd),
    float("scale_", scale, !withStd),
    {
      key: "n_samples_seen_",
      shape: seen,
      get: () => BigInt64Array.from(seen.length === 0 ? counts.subarray(0, 1) : counts, BigInt),
      set: (loaded) => (loaded.length === 1 ? counts.fill(loaded[0] as number) : counts.set(loaded)),
    },
  ];
}
