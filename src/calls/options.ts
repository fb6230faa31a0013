import { checkBoolean } from "../check.js";
import { describe } from "../describe.js";
import { AbortedError, InvalidArgumentError, InvalidShapeError, unreadable } from "../errors.js";
import { isLayer } from "../layers/base-layer.js";
import type { Layer } from "../layers/layer.js";
import type { SetMoments } from "../merge/moments.js";
import type { Progress } from "../run/call.js";
import type { Dtype } from "../tensor/dtype.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import { checkTensor, isWritable, type Tensor } from "../tensor/tensor.js";

/** What every call takes. */
export interface CallOptions {
  /** Stops the call before its next slice; the promise is then rejected with an AbortedError. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds after which the call is stopped as by a signal; the promise is then rejected with a TimedOutError. Default: none. */
  readonly timeout?: number | undefined;
  /**
   * Called on the calling thread from time to time, and at each phase's end. Not called for tensors that are
   * small enough to be computed at once.
   */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** What every call of a layer takes. */
export interface LayerCallOptions extends CallOptions {
  /**
   * Which dimension of the input has the channels, from the end if negative: -1 for channels last. Default 1 (0 for InstanceNorm's
   * unbatched input). For BatchNorm, InstanceNorm and GroupNorm; and LayerNorm, whose default is the last dimensions.
   */
  readonly channelAxis?: number | undefined;
}

/** What calls take that write a tensor. */
export interface OutputOptions {
  /**
   * Whether a call in place goes on when a worker thread ends while it writes: each tile is computed apart, and then put in its place. It takes up
   * to a third longer. Without it such a call fails, with an error that names the cells that are lost. Default false.
   */
  readonly inPlaceSafe?: boolean | undefined;
}

export interface ForwardOptions<T extends Tensor = Tensor> extends LayerCallOptions, OutputOptions {
  /**
   * Where the result goes: a tensor with the output's dtype and the input's shape, also the input itself. Default: a new tensor of the
   * pool. If the call fails or is aborted after it started, what it holds is undefined.
   */
  readonly out?: T | undefined;
  /**
   * Moments to normalise with instead of the tensor's own, one a set: of a whole batch of which x is a part (SyncBatchNorm in training,
   * `mergeMoments`), or of other data. Not where running statistics are used.
   */
  readonly moments?: SetMoments | undefined;
  /**
   * Told the moments of each set, once the output is complete: give them to `pool.backward` and it need not compute them again. Not
   * called where running statistics were used, nor for LocalResponseNorm.
   */
  readonly onMoments?: ((moments: SetMoments) => void) | undefined;
  /**
   * Told the moments of some sets at a time, from set `first` on, in order, while the call runs: of tensors of so many sets that `onMoments` would
   * need much memory. The arrays have the next sets' when it is called again: copy what is to be kept. A call that fails may have told some. Not
   * called where `onMoments` is not.
   */
  readonly onSets?: ((moments: SetMoments, first: number) => void) | undefined;
}

/** `given` over no options at all, with what every call takes checked. Throws InvalidArgumentError, or AbortedError if the signal has fired. */
export function checkCallOptions<T extends LayerCallOptions>(
  operation: string,
  given: unknown,
  keys: readonly Exclude<keyof T & string, keyof LayerCallOptions>[],
  argument = "options",
): T {
  const options = copyOptions<T>(operation, given, keys, argument);
  const { channelAxis, signal, timeout, onProgress } = options;
  if (channelAxis !== undefined && !Number.isSafeInteger(channelAxis)) {
    throw new InvalidArgumentError(operation, "channelAxis", "a safe integer", describe(channelAxis));
  }
  checkSignal(operation, signal);
  if (timeout !== undefined && !(typeof timeout === "number" && timeout > 0)) {
    throw new InvalidArgumentError(operation, "timeout", "a number of milliseconds above 0", describe(timeout));
  }
  checkFunction(operation, "onProgress", onProgress);
  if (signal?.aborted) throw new AbortedError(operation, signal.reason);
  return options;
}

export function checkSignal(operation: string, value: unknown): void {
  if (value === undefined || isSignal(value)) return;
  throw new InvalidArgumentError(operation, "signal", "an AbortSignal", describe(value));
}

/** By what it has: test runners and vm contexts have an AbortSignal of their own. */
function isSignal(value: unknown): value is AbortSignal {
  if (typeof value !== "object" || value === null) return false;
  try {
    const { aborted, addEventListener } = value as Partial<AbortSignal>;
    return typeof aborted === "boolean" && typeof addEventListener === "function";
  } catch {
    return false;
  }
}

const NO_OPTIONS = {};
const EVERY_CALLS: readonly string[] = ["channelAxis", "signal", "timeout", "onProgress"];

/** The options as they are now, whatever the caller does with the object later. A small call's time is in objects: it makes one. */
function copyOptions<T>(operation: string, given: unknown, keys: readonly string[], argument: string): T {
  if (given === undefined) return NO_OPTIONS as T;
  try {
    return copyGiven(operation, given, keys, argument);
  } catch (cause) {
    throw unreadable(operation, argument, "an object", cause);
  }
}

function copyGiven<T>(operation: string, given: unknown, keys: readonly string[], argument: string): T {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new InvalidArgumentError(operation, argument, "an object", describe(given));
  }
  for (const key in given) {
    if (keys.includes(key) || EVERY_CALLS.includes(key) || !Object.hasOwn(given, key)) continue;
    const expected = `only ${[...keys, ...EVERY_CALLS].join(", ")}`;
    throw new InvalidArgumentError(operation, argument, expected, describe(key));
  }
  return { ...given } as T;
}

export function checkInPlaceSafe(operation: string, { inPlaceSafe }: OutputOptions): void {
  if (inPlaceSafe !== undefined) checkBoolean(operation, "inPlaceSafe", inPlaceSafe);
}

export function checkFunction(operation: string, argument: string, value: unknown): void {
  if (value !== undefined && typeof value !== "function") {
    throw new InvalidArgumentError(operation, argument, "a function", describe(value));
  }
}

/** Throws unless `value` is a tensor of this dtype and of x's shape. */
export function checkLike(operation: string, argument: string, value: unknown, dtype: Dtype, x: Tensor): Tensor {
  const tensor = checkTensor(operation, argument, value);
  if (tensor.dtype !== dtype) throw new InvalidArgumentError(operation, argument, `dtype ${dtype}`, tensor.dtype);
  if (!sameShape(tensor.shape, x.shape)) {
    const message = `expected ${argument} of the input's shape ${formatShape(x.shape)} but got ${formatShape(tensor.shape)}`;
    throw new InvalidShapeError(operation, message, tensor.shape);
  }
  return tensor;
}

/** Throws unless `out` is a tensor of this dtype and of x's shape that calls may write to. */
export function checkOut(operation: string, argument: string, out: unknown, dtype: Dtype, x: Tensor): Tensor {
  const tensor = checkLike(operation, argument, out, dtype, x);
  if (!isWritable(tensor)) {
    throw new InvalidArgumentError(
      operation,
      argument,
      "a file that was opened as writable, or created",
      "one to read",
    );
  }
  return tensor;
}

/** Throws unless `value` is a layer. */
export function checkLayer(operation: string, value: unknown): asserts value is Layer {
  if (!isLayer(value)) throw new InvalidArgumentError(operation, "layer", "a layer", describe(value));
}
