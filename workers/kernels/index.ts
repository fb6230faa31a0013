// The kernel module's exports: one per phase and layout, and the loops that they share.
//
// Kernels trust their input. They hold no data segment, allocate nothing and throw nothing: every worker instantiates them
// over memory that holds tensors, and an active data segment would overwrite those.
//
// The shared loops are exported so that the optimiser leaves them functions of their own: inlined into a caller with more
// live values, V8 spills registers inside them (measured: 86 ms instead of 53 for the same pass).
export {
  APPLY_FIELDS, BFLOAT16, CENTRED, COLUMN_NUMBERS, DEVIATION, DIRECT_WINDOW, ENDS, FLOAT16, FLOAT32, FLOAT64, GRADIENTS, LENGTH, NARROW, NEAR, NOTHING,
  PROPAGATE_FIELDS, RESULTS, ROOT_MEAN_SQUARE, SEGMENT, SHARE_ENDS, SINK_ROWS, SQUARES, UINT8,
} from "./constants";
export { setScratch } from "./lanes";
export { setCells } from "./cells";
export { pivotF32, sumsF32Blocks, sumsF32Exact, sumsF64Exact } from "./segment-moments";
export { momentsF32Runs, momentsF32Stretches, momentsF64Runs, momentsF64Stretches } from "./moments-phase";
export { exactF32Columns, momentsF32Columns, momentsF64Columns, sweepF32Columns } from "./moments-columns";
export {
  applyF32Cells, applyF32Line, applyF32Plain, applyF32Run, applyF32Single, applyF32SingleCells, applyF64Cells, applyF64Run,
} from "./apply";
export { applyF32SetCells, applyF32Stretches, applyF64SetCells, applyF64Stretches } from "./apply-phase";
export { applyF32Columns, applyF32Narrow, applyF32TwoRows, applyF64Columns } from "./apply-columns";
export { normalizeF32Sets, normalizeF64Sets } from "./normalize";
export {
  gradientF32Blocks, gradientF32Sums, gradientF32WeightedBlocks, gradientF32WeightedSums, gradientF64Sums, gradientF64WeightedSums,
} from "./gradient";
export {
  propagateF32Cells, propagateF32Line, propagateF32Run, propagateF32Single, propagateF32SingleCells, propagateF64Run,
} from "./propagate";
export { sinkF32MovedRows, sinkF32Rows, sinkF64Cells } from "./sink";
export {
  accumulateF32, accumulateF64, reduceF32Columns, reduceF32Runs, reduceF32Stretches,
  reduceF64Columns, reduceF64Runs, reduceF64Stretches, sumF32Columns, sumF32Rows, sumF64Rows,
} from "./reduce-phase";
export {
  differentiateF32Sets, differentiateF64Sets, propagateF32Columns, propagateF32Narrow, propagateF32Rows, propagateF32Stretches, propagateF32SetCells,
  propagateF64Columns, propagateF64Stretches, propagateF64SetCells,
} from "./propagate-phase";
export { respondF32, respondF64 } from "./response";
export {
  applyBF16, applyBF16Cells, applyF16, applyF16Cells, sumsBF16, sumsF16,
} from "./halves";
export { applyU8, applyU8Cells, sumsU8 } from "./bytes";
export { applyU8Columns, sumU8Columns } from "./bytes-columns";
