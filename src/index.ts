/**
 * normpool normalises large tensors on every core: worker threads with WebAssembly SIMD kernels, in shared memory, in place.
 *
 * ```ts
 * import { LayerNorm, NormPool } from "normpool";
 *
 * const pool = new NormPool();
 * const x = pool.tensor("float32", [65536, 1024]); // zeros, in shared memory
 * x.data.set(embeddings); // a Float32Array over a SharedArrayBuffer
 * const y = await pool.forward(new LayerNorm(1024), x); // a new tensor in shared memory
 * await pool.forward(new LayerNorm(1024), x, { out: x }); // or in place
 * await pool.close();
 * ```
 *
 * @module
 */
export {
  AbortedError,
  type ErrorCode,
  FileFormatError,
  InvalidArgumentError,
  InvalidShapeError,
  NormpoolError,
  OutOfMemoryError,
  PoolClosedError,
  UnsupportedDtypeError,
  WorkerFailedError,
} from "./errors.js";
export { type ReadSafetensorsOptions, readSafetensors, writeSafetensors } from "./files/safetensors.js";
export type { ForwardOptions, Progress } from "./forward-options.js";
export { BatchNorm1d, BatchNorm2d, BatchNorm3d } from "./layers/batch-norm.js";
export type { ChannelNormOptions } from "./layers/channel-norm.js";
export { GroupNorm, type GroupNormOptions } from "./layers/group-norm.js";
export { InstanceNorm1d, InstanceNorm2d, InstanceNorm3d } from "./layers/instance-norm.js";
export type { Layer } from "./layers/layer.js";
export { LayerNorm, type LayerNormOptions } from "./layers/layer-norm.js";
export { RMSNorm, type RMSNormOptions } from "./layers/rms-norm.js";
export type { LoadStateOptions, StateDict, StateTensor } from "./layers/state.js";
export type { Moments } from "./moments.js";
export { NormPool, type NormPoolOptions } from "./pool.js";
export type { Dtype, TypedArrays } from "./tensor/dtype.js";
export type { Shape } from "./tensor/shape.js";
export type { Tensor } from "./tensor/tensor.js";
