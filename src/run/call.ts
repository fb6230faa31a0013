// A call as it is run: what it is of, what comes with it, where what it finds out goes, and who watches.
import type { ParameterGradients } from "../merge/gradients.js";
import type { SetMoments } from "../merge/moments.js";
import type { RunningStatistics } from "../merge/statistics.js";
import type { GradientSums } from "../merge/sums.js";
import type { Geometry } from "../plan/geometry.js";
import type { PartLog } from "../plan/parts.js";
import type { Phase } from "../plan/phase.js";
import type { Plan } from "../plan/plan.js";
import type { Parameter } from "../tensor/parameter.js";
import type { Tensor } from "../tensor/tensor.js";

/** How far a call is. */
export interface Progress {
  /**
   * What the workers are doing. Forward: moments and apply follow each other, normalize is both at once. Backward: after
   * moments (if they are not given) accumulate, reduce and propagate follow each other, differentiate is all at once.
   */
  readonly phase: Phase["kind"];
  /** Slices done, of all phases of the call. */
  readonly done: number;
  /** Slices of all phases of the call. */
  readonly total: number;
}

/** Who watches a call. */
export interface Watchers {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. */
  readonly timeout?: number | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** A call whose arguments have been checked. */
export interface Call<T> {
  readonly operation: string;
  readonly plan: Plan;
  /** Plans a part of the tensor, of the geometry that the plan's steps see. */
  planPart(part: Geometry): Plan;
  readonly x: Tensor;
  readonly g: Tensor | null;
  readonly y: Tensor | null;
  /** Whether a call in place is to survive the loss of a thread that wrote. */
  readonly inPlaceSafe: boolean;
  /** Whether y was made for this call: it is disposed of if the call fails. */
  readonly owned: boolean;
  readonly inputs: Inputs;
  readonly found: Found;
  /** What is known of its parts, where they are noted: asked for once its tensors are kept, and before its steps. */
  readonly beginParts?: () => Promise<PartLog>;
  readonly watchers: Watchers;
  /** The call's result, once all is computed. What it throws fails the call. */
  finish(): T;
  /** What is taken into the layer when nothing can fail the call any more; yields where the event loop may have a turn. */
  commit?(): Iterable<void>;
  /** Gives back what the call's own side holds, however it ends. */
  end?(): void;
}

/** What comes with a call beside its tensors; null where there is none. */
export interface Inputs {
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  readonly running: RunningStatistics | null;
  readonly moments: SetMoments | null;
  readonly sums: GradientSums | null;
}

export const NO_INPUTS: Inputs = { weight: null, bias: null, running: null, moments: null, sums: null };

/** Where what a call finds out goes, a stripe at a time; null where it is not wanted. */
export interface Found {
  /** Told {mean, M2} of each set from `first` on, of `count` cells. */
  readonly moments?: ((pairs: Float64Array, first: number, count: number) => void) | null;
  /** Added to. */
  readonly gradients?: ParameterGradients | null;
  /** Taken by channel. */
  readonly sums?: GradientSums | null;
}
