// What types know of a layer's parameters: who takes the defaults need not ask for null, and null may be assigned, as in PyTorch. A field
// cannot be read as one type and written as another, so to the compiler these are accessors. At run time constructors assign plain fields.
import type { Parameter } from "../tensor/parameter.js";
import { BaseLayer } from "./base-layer.js";
import type { IfBias, IfOption } from "./presence.js";

interface Weighted<W> {
  /** An entry for each channel, or for each cell of `normalizedShape` in row-major order; starts at 1. Null without affine. */
  get weight(): W;
  set weight(value: Parameter | null);
}

interface Affine<W, B> extends Weighted<W> {
  /** As weight; starts at 0. Null without affine or bias. */
  get bias(): B;
  set bias(value: Parameter | null);
}

interface Tracking<R, Count> {
  /** `[numFeatures]`, starts at 0. Null without tracking. */
  get runningMean(): R;
  set runningMean(value: Parameter | null);
  /** `[numFeatures]`, unbiased variances, starts at 1. Null without tracking. */
  get runningVar(): R;
  set runningVar(value: Parameter | null);
  /** Batches that the running statistics have seen in training. Null without tracking. */
  get numBatchesTracked(): Count;
  set numBatchesTracked(value: number | null);
}

/** The options O, and the option (K) that says whether there are a weight and a bias, and what it is by default. */
type AffineOf<O, K extends string, Default extends boolean> = Affine<IfOption<O, K, Default>, IfBias<O, K, Default>>;

type TrackingOf<O, Default extends boolean> = Tracking<
  IfOption<O, "trackRunningStats", Default>,
  IfOption<O, "trackRunningStats", Default, number>
>;

/** A layer with a weight, made with options O. */
export const WeightedLayer = BaseLayer as abstract new <O>() => BaseLayer &
  Weighted<IfOption<O, "elementwiseAffine", true>>;

/** A layer with a weight and a bias, which option K says. */
export const AffineLayer = BaseLayer as abstract new <O, K extends string>() => BaseLayer & AffineOf<O, K, true>;

/** A layer with a weight, a bias and running statistics; `Default` is what the options that say so are where they are not given. */
export const TrackingLayer = BaseLayer as abstract new <O, Default extends boolean>() => BaseLayer &
  AffineOf<O, "affine", Default> &
  TrackingOf<O, Default>;
