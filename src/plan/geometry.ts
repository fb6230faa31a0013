// The one picture that every layer is drawn in: a tensor of cells [N, R, G, K, S], and which cells share a mean.

/**
 * N samples, R rows, G groups, K channels in a group, S positions in space; cells lie in that order, S fastest.
 * A set, the cells that share one mean and variance, is (n, g): R x K x S. Rows are what lies before the channel axis and belongs
 * to the set: positions of space where the channels come last, the samples themselves for BatchNorm; 1 otherwise.
 * The affine index, which weight and bias a cell takes, is always g * K + k.
 */
export interface Geometry {
  readonly n: number;
  readonly r: number;
  readonly g: number;
  readonly k: number;
  readonly s: number;
}

/** A tensor's sizes about its channel axis: [outer, C, inner]. */
export interface ChannelView {
  /** Samples; outside of the channel axis or not, they are never part of `before`. */
  readonly n: number;
  /** Positions between the sample and the channel axis. */
  readonly before: number;
  readonly c: number;
  /** Positions after the channel axis. */
  readonly after: number;
}

/** LayerNorm and RMSNorm over the last dimensions, `normalized` cells in all: each outer index is a set. */
export function layerNormGeometry(outer: number, normalized: number): Geometry {
  return { n: outer, r: 1, g: 1, k: normalized, s: 1 };
}

/** LayerNorm over an axis that is not the last: each position beside it is a set, a column of `c` rows. */
export function axisNormGeometry({ n, before, c, after }: ChannelView): Geometry {
  return { n: n * before, r: c, g: after, k: 1, s: 1 };
}

/** GroupNorm: each sample's C / groups channels with their space are a set. */
export function groupNormGeometry({ n, before, c, after }: ChannelView, groups: number): Geometry {
  return { n, r: before, g: groups, k: c / groups, s: after };
}

/** InstanceNorm: each sample's channel is a set. */
export function instanceNormGeometry({ n, before, c, after }: ChannelView): Geometry {
  return { n, r: before, g: c, k: 1, s: after };
}

/** BatchNorm: each channel over all samples and space is a set. */
export function batchNormGeometry({ n, before, c, after }: ChannelView): Geometry {
  return { n: 1, r: n * before, g: c, k: 1, s: after };
}

export function cellCount({ n, r, g, k, s }: Geometry): number {
  return n * r * g * k * s;
}

export function setCount({ n, g }: Geometry): number {
  return n * g;
}

export function cellsPerSet({ r, k, s }: Geometry): number {
  return r * k * s;
}

/** Entries of weight and of bias. */
export function affineCount({ g, k }: Geometry): number {
  return g * k;
}

/** The set of the cell at `index` of the flat tensor. */
export function setOf({ r, g, k, s }: Geometry, index: number): number {
  const inRow = Math.floor(index / (k * s));
  return Math.floor(inRow / (r * g)) * g + (inRow % g);
}

/** The weight and bias entry of the cell at `index` of the flat tensor. */
export function affineIndexOf(geometry: Geometry, index: number): number {
  return Math.floor(index / geometry.s) % affineCount(geometry);
}

/** The same cells and sets where nothing tells a group's channels apart: one channel of more space. */
export function withoutChannels({ n, r, g, k, s }: Geometry): Geometry {
  return { n, r, g, k: 1, s: k * s };
}

/** The same cells where statistics are given by channel, and so do not depend on the sample: one sample of more rows. */
export function withoutSamples({ n, r, g, k, s }: Geometry): Geometry {
  return { n: 1, r: n * r, g, k, s };
}

export function sameGeometry(a: Geometry, b: Geometry): boolean {
  return a.n === b.n && a.r === b.r && a.g === b.g && a.k === b.k && a.s === b.s;
}
