// The one way in which a call runs: its tensors are opened and kept, its plan is run, its results taken, and all is given back.

import type { Geometry } from "../plan/geometry.js";
import type { Plan } from "../plan/plan.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Executor } from "./executor.js";
import type { Found, Inputs } from "./inputs.js";
import { runPlan } from "./run-plan.js";
import { Scope } from "./scope.js";
import type { Steps } from "./steps.js";

/** How far a call is. */
export interface Progress {
  /**
   * What the workers are doing. Forward: moments and apply follow each other, normalize is both at once. Backward: after
   * moments (if they are not given) accumulate, reduce and propagate follow each other, differentiate is all at once.
   */
  readonly phase:
    | "normalize"
    | "moments"
    | "apply"
    | "reduce"
    | "accumulate"
    | "propagate"
    | "differentiate"
    | "response";
  /** Slices done, of all phases of the call. */
  readonly done: number;
  /** Slices of all phases of the call. */
  readonly total: number;
}

/** Who watches a call. */
export interface Watchers {
  readonly signal?: AbortSignal | undefined;
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
  /** Whether y was made for this call: it is disposed of if the call fails. */
  readonly owned: boolean;
  readonly inputs: Inputs;
  readonly found: Found;
  readonly watchers: Watchers;
  /** The call's result, once all is computed. What it throws fails the call. */
  finish(): T;
}

export function* runCall<T>(executor: Executor, call: Call<T>): Steps<T> {
  const { operation, x, g, y } = call;
  const scope = new Scope(executor, operation);
  let failed = true;
  try {
    const specs = { x: scope.open(x), g: g && scope.open(g), y: y && scope.open(y) };
    if (x.size > 0) yield* runPlan(executor, call, specs, scope.workspace);
    const result = call.finish();
    yield executor.turn(x.size);
    failed = false;
    return result;
  } catch (error) {
    if (call.owned) y?.dispose();
    throw error;
  } finally {
    close(scope, failed);
  }
}

/** A call that fails has its reason already. */
function close(scope: Scope, failed: boolean): void {
  try {
    scope.close();
  } catch (error) {
    if (!failed) throw error;
  }
}
