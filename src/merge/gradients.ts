// Gradients of parameters, in float64: sums over samples, added in their order. `first` is the affine index of a stripe's first.

/** By affine index. */
export interface ParameterGradients {
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

function add({ weight, bias }: ParameterGradients, index: number, ofWeight: number, ofBias: number): void {
  weight[index] = (weight[index] as number) + ofWeight;
  bias[index] = (bias[index] as number) + ofBias;
}

/**
 * Adds blocks of two arrays with an entry for each of a sample's `cells` cells; `perAffine` cells in a row share a weight. Takes cells
 * [from, to) of all blocks, counted on.
 */
export function addCellGradients(
  gradients: ParameterGradients,
  first: number,
  partials: Float64Array,
  cells: number,
  perAffine: number,
  from: number,
  to: number,
): void {
  let cell = from % cells;
  let at = Math.floor(from / cells) * 2 * cells + cell;
  for (let index = from; index < to; index++, at++) {
    const affine = first + Math.floor(cell / perAffine);
    add(gradients, affine, partials[at] as number, partials[at + cells] as number);
    if (++cell < cells) continue;
    cell = 0;
    at += cells;
  }
}

/** Adds pairs [from, to) of each run of each set: `runs` of them a sample. */
export function addRunGradients(
  gradients: ParameterGradients,
  first: number,
  partials: Float64Array,
  runs: number,
  from: number,
  to: number,
): void {
  let run = from % runs;
  for (let pair = from; pair < to; pair++) {
    add(gradients, first + run, partials[2 * pair] as number, partials[2 * pair + 1] as number);
    run = run + 1 === runs ? 0 : run + 1;
  }
}

/**
 * Adds pairs [from, to) of the segments of rows, `rows` of `parts` segments a sample. Each part of a row is summed on its own, over samples, at entry
 * part * rows + row: so it does not matter how many parts are here at a time. @param first the first part.
 */
export function addRowGradients(
  gradients: ParameterGradients,
  first: number,
  partials: Float64Array,
  rows: number,
  parts: number,
  from: number,
  to: number,
): void {
  for (let pair = from; pair < to; pair++) {
    const row = Math.floor(pair / parts) % rows;
    const entry = (first + (pair % parts)) * rows + row;
    add(gradients, entry, partials[2 * pair] as number, partials[2 * pair + 1] as number);
  }
}

/** The sums of rows from those of their parts, in order. */
export function joinParts({ weight, bias }: ParameterGradients, rows: number): ParameterGradients {
  const joined = { weight: weight.slice(0, rows), bias: bias.slice(0, rows) };
  for (let at = rows; at < weight.length; at++) add(joined, at % rows, weight[at] as number, bias[at] as number);
  return joined;
}

/** Adds sums [from, to) by channel, `width` a sample, from the mean: here they are divided by the deviation. */
export function addChannelGradients(
  gradients: ParameterGradients,
  first: number,
  sums: Float64Array,
  statistics: Float64Array,
  { width, groups, perAffine }: { readonly width: number; readonly groups: number; readonly perAffine: number },
  from: number,
  to: number,
): void {
  const perSet = width / groups;
  for (let entry = from; entry < to; entry++) {
    const rstd = statistics[2 * Math.floor(entry / perSet) + 1] as number;
    const affine = first + Math.floor((entry % width) / perAffine);
    add(gradients, affine, (sums[2 * entry] as number) * rstd, sums[2 * entry + 1] as number);
  }
}
