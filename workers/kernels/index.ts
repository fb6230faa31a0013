// The kernel module's exports: one per phase and layout, and the loops that they share.
//
// Kernels trust their input. They hold no data segment, allocate nothing and throw nothing: every worker instantiates them
// over memory that holds tensors, and an active data segment would overwrite those.
//
// The shared loops are exported so that the optimiser leaves them functions of their own: inlined into a caller with more
// live values, V8 spills registers inside them (measured: 86 ms instead of 53 for the same pass).
export { setScratch } from "./lanes";
export { pivotF32, sumsF32Blocks, sumsF32Exact } from "./moments";
export { momentsF32Columns, momentsF32Runs, momentsF32Sets } from "./moments-phase";
export { applyF32Cells, applyF32Columns, applyF32Plain, applyF32Run, applyF32Runs, applyF32SetCells } from "./apply";
export { doubleF32Run, fuseF32Cells, fuseF32Plain, fuseF32Run, normalizeF32Sets } from "./normalize";
