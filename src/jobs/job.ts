// A job: a plan in a folder that several processes work on, on one machine or many. All that is known of it is in its files: whoever reads them can go on.
import type { ForwardPlanOptions } from "../plan/forward.js";
import type { Geometry } from "../plan/geometry.js";
import type { Measure } from "../plan/phase.js";
import type { ResponsePlanOptions } from "../plan/response.js";
import type { OpenOptions } from "../storage/file-tensor.js";
import type { OutputFormat } from "../storage/format.js";
import type { Dtype } from "../tensor/dtype.js";
import type { Shape } from "../tensor/shape.js";

export type { PartPhase as JobPhase } from "../plan/parts.js";

/** Changes when a job's files would be read in another way. What is computed has the plan's version. */
export const JOB_VERSION = 1;

/** What is computed of the inputs, as plain data: with their shapes and dtypes, all that plans follow from. */
export type Work =
  | {
      readonly kind: "forward";
      readonly layer: string;
      readonly geometry: Geometry;
      readonly options: ForwardPlanOptions;
    }
  | { readonly kind: "response"; readonly layer: string; readonly options: ResponsePlanOptions }
  /** The moments of each set. */
  | { readonly kind: "moments"; readonly layer: string; readonly geometry: Geometry; readonly measure: Measure }
  /** A StandardScaler's, of all inputs. */
  | { readonly kind: "fit"; readonly channelAxis: number; readonly withMean: boolean; readonly withStd: boolean };

export type InputOptions = Omit<OpenOptions, "writable">;

/** A file that cells are read from. It must not change while the job is. */
export interface JobInput {
  /** Absolute, and without links. */
  readonly path: string;
  /** With which it is opened. */
  readonly options: InputOptions;
  readonly dtype: Dtype;
  readonly shape: Shape;
  /** Of the file: bytes, when it was written last, in nanoseconds, and a hash of some of its bytes. Device and inode differ from machine to machine. */
  readonly size: number;
  readonly modified: string;
  readonly samples: string;
}

/** A file of cells, or of what was found: tensors of a safetensors file. */
export interface JobOutput {
  /** Absolute, and without links. */
  readonly path: string;
  /** Whether a file of that name may be replaced. */
  readonly force: boolean;
  /** Null where what was found is written when all is known. */
  readonly cells: {
    readonly dtype: Dtype;
    readonly storedAs: Dtype;
    readonly format: OutputFormat;
    readonly key?: string | undefined;
    readonly metadata?: Readonly<Record<string, string>> | undefined;
  } | null;
}

export interface Job {
  readonly format: "normpool job";
  readonly version: typeof JOB_VERSION;
  /** Of the arithmetic. Parts of two versions would not fit together. */
  readonly planVersion: number;
  /** A UUID. */
  readonly id: string;
  readonly work: Work;
  /** One, or of a fit any number. */
  readonly inputs: readonly JobInput[];
  readonly output: JobOutput;
  /** Of each phase; some may be of nothing. */
  readonly parts: number;
  /** What a stripe's tables take: units are counted over stripes. */
  readonly stripeBytes: number;
  /** A hash of the plans of all inputs. */
  readonly plans: string;
  /** A hash of the weights and running statistics in the job's folder; null where there are none. */
  readonly weights: string | null;
}
