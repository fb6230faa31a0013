import { AbortedError, describe, InvalidArgumentError, InvalidShapeError } from "./errors.js";
import { readOptions } from "./layers/arguments.js";
import type { Layer } from "./layers/layer.js";
import type { Arena } from "./tensor/arena.js";
import { formatShape, sameShape } from "./tensor/shape.js";
import { checkTensor, type Tensor } from "./tensor/tensor.js";

/** How far a call is. */
export interface Progress {
  /** What the workers are doing: moments and apply follow each other, normalize is both at once. */
  readonly phase: "normalize" | "moments" | "apply";
  /** Slices done, of all phases of the call. */
  readonly done: number;
  /** Slices of all phases of the call. */
  readonly total: number;
}

export interface ForwardOptions<T extends Tensor = Tensor> {
  /**
   * Where the result goes: a tensor of the pool with the input's dtype and shape, also the input itself. Default: a new tensor.
   * If the call fails or is aborted after it started, what it holds is undefined.
   */
  readonly out?: T | undefined;
  /** Stops the call before its next slice; the promise is then rejected with an AbortedError. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called on the calling thread from time to time, and at each phase's end. Not called for tensors that are
   * small enough to be computed at once.
   */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** Throws InvalidArgumentError, or AbortedError if the signal has fired already. */
export function checkForwardOptions<T extends Tensor>(operation: string, given: unknown): ForwardOptions<T> {
  const options = readOptions<ForwardOptions<T>>(operation, given, {
    out: undefined,
    signal: undefined,
    onProgress: undefined,
  });
  const { signal, onProgress } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidArgumentError(operation, "signal", "an AbortSignal", describe(signal));
  }
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new InvalidArgumentError(operation, "onProgress", "a function", describe(onProgress));
  }
  if (signal?.aborted) throw new AbortedError(operation, signal.reason);
  return options;
}

/** Throws unless `out` can take the result for `x`. */
export function checkOut(operation: string, out: Tensor, x: Tensor, arena: Arena): void {
  checkTensor(operation, "out", out, arena);
  if (out.dtype !== x.dtype) throw new InvalidArgumentError(operation, "out", `dtype ${x.dtype}`, out.dtype);
  if (!sameShape(out.shape, x.shape)) {
    const message = `expected out of the input's shape ${formatShape(x.shape)} but got ${formatShape(out.shape)}`;
    throw new InvalidShapeError(operation, message, out.shape);
  }
}

/** Throws unless `value` is a layer. */
export function checkLayer(operation: string, value: unknown): asserts value is Layer {
  const prepare: unknown = typeof value === "object" && value !== null ? Reflect.get(value, "prepare") : undefined;
  if (typeof prepare !== "function") throw new InvalidArgumentError(operation, "layer", "a layer", describe(value));
}
