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

import "./installed.js";

export type { BackwardOptions, GradientOptions, Gradients } from "./calls/backward.js";
export type { MapOptions } from "./calls/map.js";
export type { CallOptions, ForwardOptions, LayerCallOptions, OutputOptions } from "./calls/options.js";
export {
  AbortedError,
  type CellRange,
  type ErrorCode,
  FileFormatError,
  InvalidArgumentError,
  InvalidShapeError,
  type LostSlice,
  MissingFilesError,
  NormpoolError,
  OutOfMemoryError,
  PoolClosedError,
  QueueFullError,
  ReadFailedError,
  TimedOutError,
  UnsupportedDtypeError,
  UnsupportedRuntimeError,
  WorkerFailedError,
  WriteFailedError,
} from "./errors.js";
export { finishJob, removeJob } from "./jobs/finish-job.js";
export type { JobPhase } from "./jobs/job.js";
export { type JobStatus, jobStatus } from "./jobs/job-status.js";
export { mergeParts } from "./jobs/merge-parts.js";
export type { FinishJobOptions, JobOptions, RunPartOptions } from "./jobs/options.js";
export type { JobSource, JobTarget } from "./jobs/plan-files.js";
export { planFitJob, planJob, planMomentsJob } from "./jobs/plan-job.js";
export type { PlanFitOptions, PlanJobOptions } from "./jobs/plan-options.js";
export { runPart } from "./jobs/run-part.js";
export {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  LazyBatchNorm1d,
  LazyBatchNorm2d,
  LazyBatchNorm3d,
  SyncBatchNorm,
} from "./layers/batch-norm.js";
export type { ChannelNormOptions } from "./layers/channel-norm.js";
export { GroupNorm, type GroupNormOptions } from "./layers/group-norm.js";
export {
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  LazyInstanceNorm1d,
  LazyInstanceNorm2d,
  LazyInstanceNorm3d,
} from "./layers/instance-norm.js";
export type { Layer } from "./layers/layer.js";
export { LayerNorm, type LayerNormOptions } from "./layers/layer-norm.js";
export { LocalResponseNorm, type LocalResponseNormOptions } from "./layers/local-response-norm.js";
export { RMSNorm, type RMSNormOptions } from "./layers/rms-norm.js";
export type { LoadStateOptions, SaveStateOptions, StateDict, StateTensor } from "./layers/state.js";
export { UnitNorm, type UnitNormOptions } from "./layers/unit-norm.js";
export { type Moments, mergeMoments, type SetMoments } from "./merge/moments.js";
export { addGradientSums, type GradientSums } from "./merge/sums.js";
export { type CloseOptions, NormPool, type NormPoolOptions, type PoolStats } from "./pool.js";
export type { Progress } from "./run/call.js";
export type { CallEvent, PhaseEvent } from "./run/events.js";
export { StandardScaler, type StandardScalerOptions, type TransformOptions } from "./scaler/standard-scaler.js";
export type { CreateOptions, OpenOptions } from "./storage/file-tensor.js";
export type { FileFormat, OutputFormat } from "./storage/format.js";
export { type NpyArray, type ReadNpyOptions, readNpy, type WriteNpyOptions, writeNpy } from "./storage/npy-file.js";
export { type ReadSafetensorsOptions, readSafetensors, readSafetensorsMetadata } from "./storage/safetensors.js";
export { type WriteSafetensorsOptions, writeSafetensors } from "./storage/safetensors-write.js";
export type { Dtype, Float16Data, OutputDtype, TensorSource, TypedArrays } from "./tensor/dtype.js";
export { OutputTensor } from "./tensor/output-tensor.js";
export type { Parameter } from "./tensor/parameter.js";
export type { Shape } from "./tensor/shape.js";
export type { Tensor } from "./tensor/tensor.js";
