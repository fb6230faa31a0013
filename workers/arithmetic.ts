// What the kernel module exports, by name and signature: tests hold the build against it.
import type { Dtype } from "../src/plan/cells.js";
import type { Measure } from "../src/plan/phase.js";

/** How the kernels know a dtype: workers/kernels/constants.ts has the same numbers. */
export const CELL_CODES: { readonly [D in Dtype]: number } = {
  float32: 0,
  float64: 1,
  float16: 2,
  bfloat16: 3,
  uint8: 4,
};

/** How the kernels know what a set is divided by. */
export const MEASURE_CODES: { readonly [M in Measure]: number } = { deviation: 0, rootMeanSquare: 1, length: 2 };

/**
 * The kernels that are called from JavaScript, of which there is one for float32 cells (and those that are converted to it) and one
 * for float64. Addresses are bytes, counts are cells or units; workers/kernels/ documents each.
 */
export interface Arithmetic {
  momentsStretches(x: number, partials: number, first: number, count: number, length: number, centred: boolean): void;
  momentsRuns(
    x: number,
    partials: number,
    first: number,
    count: number,
    length: number,
    groups: number,
    rows: number,
    perSegment: number,
  ): void;
  momentsColumns(x: number, partials: number, rows: number, width: number, stride: number, columns: number): void;
  applyRun(x: number, y: number, n: number, mean: number, scale: number, shift: number): void;
  applyCells(x: number, y: number, n: number, mean: number, rstd: number, weight: number, bias: number): void;
  applyStretches(
    x: number,
    y: number,
    first: number,
    count: number,
    length: number,
    period: number,
    rows: number,
    table: number,
  ): void;
  applySetCells(
    x: number,
    y: number,
    first: number,
    count: number,
    length: number,
    groups: number,
    table: number,
    weight: number,
    bias: number,
  ): void;
  applyColumns(
    x: number,
    y: number,
    first: number,
    count: number,
    width: number,
    rows: number,
    table: number,
    weight: number,
    bias: number,
  ): void;
  normalizeSets(
    x: number,
    y: number,
    first: number,
    count: number,
    length: number,
    groups: number,
    run: number,
    weight: number,
    bias: number,
    eps: number,
    moments: number,
    measure: number,
  ): void;
  reduceStretches(
    x: number,
    g: number,
    partials: number,
    first: number,
    count: number,
    length: number,
    period: number,
    perSet: number,
    rows: number,
    statistics: number,
    weight: number,
  ): void;
  reduceRuns(
    x: number,
    g: number,
    partials: number,
    first: number,
    count: number,
    length: number,
    period: number,
    perSet: number,
    rows: number,
    perSegment: number,
    statistics: number,
  ): void;
  reduceColumns(
    x: number,
    g: number,
    partials: number,
    rows: number,
    width: number,
    stride: number,
    means: number,
    columns: number,
    weight: number,
  ): void;
  sumRows(
    x: number,
    g: number,
    partials: number,
    first: number,
    count: number,
    width: number,
    rows: number,
    table: number,
  ): void;
  accumulate(
    x: number,
    g: number,
    first: number,
    count: number,
    start: number,
    width: number,
    length: number,
    groups: number,
    pitch: number,
    continues: boolean,
    statistics: number,
    weights: number,
    biases: number,
  ): void;
  propagateStretches(
    x: number,
    g: number,
    y: number,
    first: number,
    count: number,
    length: number,
    period: number,
    rows: number,
    table: number,
  ): void;
  propagateSetCells(
    x: number,
    g: number,
    y: number,
    first: number,
    count: number,
    length: number,
    groups: number,
    table: number,
    weight: number,
  ): void;
  propagateColumns(
    x: number,
    g: number,
    y: number,
    first: number,
    count: number,
    width: number,
    rows: number,
    table: number,
    weight: number,
  ): void;
  differentiateSets(
    x: number,
    g: number,
    y: number,
    first: number,
    count: number,
    setsPerUnit: number,
    sets: number,
    length: number,
    groups: number,
    run: number,
    weight: number,
    eps: number,
    measure: number,
    byCell: boolean,
    together: number,
    continues: boolean,
    statistics: number,
    partials: number,
  ): void;
  respond(
    x: number,
    g: number,
    y: number,
    first: number,
    count: number,
    channels: number,
    space: number,
    tile: number,
    before: number,
    after: number,
    factor: number,
    beta: number,
    k: number,
    back: number,
    scratch: number,
    steps: number,
    from: number,
    to: number,
  ): void;
}

/** The steps of `respond`, by the kernels' names and in their order; those of `ends` take the channels from the last one down. */
export const RESPONSE_STEPS = [
  { name: "SQUARES", code: 1, ends: false },
  { name: "ENDS", code: 2, ends: true },
  { name: "RESULTS", code: 4, ends: false },
  { name: "SHARE_ENDS", code: 8, ends: true },
  { name: "GRADIENTS", code: 16, ends: false },
] as const;
export const ALL_RESPONSE_STEPS = RESPONSE_STEPS.reduce((all, { code }) => all | code, 0);

/** Every one of Arithmetic: the module exports each with F32 and with F64 after its first word. Tests hold the build against it. */
export const ARITHMETIC = [
  "momentsStretches",
  "momentsRuns",
  "momentsColumns",
  "applyRun",
  "applyCells",
  "applyStretches",
  "applySetCells",
  "applyColumns",
  "normalizeSets",
  "reduceStretches",
  "reduceRuns",
  "reduceColumns",
  "sumRows",
  "accumulate",
  "propagateStretches",
  "propagateSetCells",
  "propagateColumns",
  "differentiateSets",
  "respond",
] as const satisfies readonly (keyof Arithmetic)[];

/** The module's constants, which the calling side has too. */
export const SHARED_CONSTANTS = [
  "SEGMENT",
  "APPLY_FIELDS",
  "PROPAGATE_FIELDS",
  "COLUMN_NUMBERS",
  "SINK_ROWS",
  "NARROW",
  "NEAR",
  "CENTRED",
  "NOTHING",
  "DIRECT_WINDOW",
  ...RESPONSE_STEPS.map(({ name }) => name),
  "DEVIATION",
  "ROOT_MEAN_SQUARE",
  "LENGTH",
  "FLOAT32",
  "FLOAT64",
  "FLOAT16",
  "BFLOAT16",
  "UINT8",
] as const;

/** The other exports: what is not by type, and loops that are exported only to stay functions of their own. */
export const OTHER_KERNELS = [
  "setScratch",
  "setCells",
  "sumsF32Blocks",
  "sumsF32Exact",
  "sumsF64Exact",
  "pivotF32",
  "exactF32Columns",
  "sweepF32Columns",
  "sumsF16",
  "sumsBF16",
  "applyF16",
  "applyF16Cells",
  "applyBF16",
  "applyBF16Cells",
  "applyU8",
  "applyU8Cells",
  "applyU8Columns",
  "sumU8Columns",
  "sumsU8",
  "applyF32Line",
  "applyF32Plain",
  "applyF32Single",
  "applyF32SingleCells",
  "applyF32Narrow",
  "applyF32TwoRows",
  "gradientF32Blocks",
  "gradientF32Sums",
  "gradientF32WeightedBlocks",
  "gradientF32WeightedSums",
  "gradientF64Sums",
  "gradientF64WeightedSums",
  "propagateF32Cells",
  "propagateF32Line",
  "propagateF32Narrow",
  "propagateF32Rows",
  "propagateF32Run",
  "propagateF32Single",
  "propagateF32SingleCells",
  "propagateF64Run",
  "sinkF32MovedRows",
  "sinkF32Rows",
  "sinkF64Cells",
  "sumF32Columns",
] as const;

/** The export of a kernel of Arithmetic for a type of cells. */
export function exportName(kernel: string, type: "F32" | "F64"): string {
  return kernel.replace(/^[a-z]+/, (verb) => verb + type);
}
