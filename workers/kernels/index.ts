// The kernel module's exports: one per phase and layout, and the pieces that tests and bench measure alone.
//
// Kernels trust their input. They hold no data segment, allocate nothing and throw nothing: every worker instantiates them
// over memory that holds tensors, and an active data segment would overwrite those.
export { setScratch } from "./lanes";
export {
  momentsF32Columns, momentsF32Exact, momentsF32Runs, momentsF32Segment, momentsF32Sets, sumsF32Exact, pivotF32,
} from "./moments";
export { applyF32Cells, applyF32Columns, applyF32Run, applyF32Runs, applyF32SetCells } from "./apply";
export { doubleF32Run, fuseF32Cells, fuseF32Run, normalizeF32Sets } from "./normalize";
