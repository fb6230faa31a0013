// The one picture that every layer is drawn in: a tensor of cells [N, G, K, S], channels first, and which cells share a mean.

/**
 * N samples, G groups, K channels in a group, S positions in space; cells lie in that order, S fastest.
 * A set, the cells that share one mean and variance, is (n, g): K x S, or with `acrossSamples` (g): N x K x S.
 * The affine index, which weight and bias a cell takes, is always g * K + k.
 */
export interface Geometry {
  readonly n: number;
  readonly g: number;
  readonly k: number;
  readonly s: number;
  readonly acrossSamples: boolean;
}

/** LayerNorm and RMSNorm over the last dimensions, `normalized` cells in all: each outer index is a set. */
export function layerNormGeometry(outer: number, normalized: number): Geometry {
  return { n: outer, g: 1, k: normalized, s: 1, acrossSamples: false };
}

/** GroupNorm of [N, C, *]: each sample's C / groups channels with their space are a set. */
export function groupNormGeometry(n: number, c: number, space: number, groups: number): Geometry {
  return { n, g: groups, k: c / groups, s: space, acrossSamples: false };
}

/** InstanceNorm of [N, C, *]: each sample's channel is a set. */
export function instanceNormGeometry(n: number, c: number, space: number): Geometry {
  return { n, g: c, k: 1, s: space, acrossSamples: false };
}

/** BatchNorm of [N, C, *]: each channel over all samples and space is a set. */
export function batchNormGeometry(n: number, c: number, space: number): Geometry {
  return { n, g: c, k: 1, s: space, acrossSamples: true };
}

export function cellCount({ n, g, k, s }: Geometry): number {
  return n * g * k * s;
}

export function setCount({ n, g, acrossSamples }: Geometry): number {
  return acrossSamples ? g : n * g;
}

export function cellsPerSet({ n, k, s, acrossSamples }: Geometry): number {
  return (acrossSamples ? n : 1) * k * s;
}

/** Entries of weight and of bias. */
export function affineCount({ g, k }: Geometry): number {
  return g * k;
}

/** The set of the cell at `index` of the flat tensor. */
export function setOf(geometry: Geometry, index: number): number {
  const { g, k, s, acrossSamples } = geometry;
  const sampleAndGroup = Math.floor(index / (k * s));
  return acrossSamples ? sampleAndGroup % g : sampleAndGroup;
}

/** The weight and bias entry of the cell at `index` of the flat tensor. */
export function affineIndexOf(geometry: Geometry, index: number): number {
  return Math.floor(index / geometry.s) % affineCount(geometry);
}
