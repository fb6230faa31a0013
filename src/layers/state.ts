// A layer's state as PyTorch saves it: names to tensors.
import { types } from "node:util";
import { describe } from "../describe.js";
import { InvalidArgumentError, reading } from "../errors.js";
import { cellsOf, formatShape, type Shape, sameShape, sizesOf } from "../tensor/shape.js";
import { isGone, kindOf, lengthOf } from "../tensor/typed-arrays.js";

/** Keys that a message has of each kind. */
const QUOTED_KEYS = 16;

/** A parameter or buffer outside of any pool: what a state dict holds. */
export interface StateTensor {
  /** Sizes of the dimensions, outermost first; none at all is a scalar. */
  readonly shape: Shape;
  /** The cells in row-major order. Integers (num_batches_tracked) are int64, as in PyTorch. */
  readonly data: Float32Array | Float64Array | BigInt64Array;
}

/** PyTorch's state_dict: its keys (`weight`, `running_mean`, ...), in its order. */
export type StateDict = Readonly<Record<string, StateTensor>>;

export interface SaveStateOptions {
  /** Comes before each key: `"encoder.norm1."`. Default "". */
  readonly prefix?: string | undefined;
}

export interface LoadStateOptions {
  /** Whether keys that the layer has no use for, and keys that are missing, are errors. Default true. */
  readonly strict?: boolean | undefined;
  /** Only keys that start with this count, and are read without it: `"encoder.norm1."`. Default "". */
  readonly prefix?: string | undefined;
}

/** One entry of a layer's state. Its key is PyTorch's. */
export interface StateEntry {
  readonly key: string;
  readonly shape: Shape;
  readonly get: () => StateTensor["data"];
  /** Takes a copy of values of this entry's size. */
  readonly set: (values: ArrayLike<number>) => void;
  /** Whether it takes such values. Default: any. */
  readonly allows?: (values: readonly number[]) => boolean;
  /** Whether strict loading takes a dict without it (files of old PyTorch versions). */
  readonly optional?: boolean;
}

/** A copy of all entries. Throws InvalidArgumentError where the caller put an array that does not fit. */
export function saveState(operation: string, entries: readonly StateEntry[], prefix: string): StateDict {
  checkEntries(operation, entries);
  return Object.fromEntries(entries.map(({ key, shape, get }) => [prefix + key, { shape, data: get().slice() }]));
}

/** Loads all entries or none. Throws InvalidArgumentError naming all that is missing, unexpected or of another size. */
export function loadState(
  operation: string,
  entries: readonly StateEntry[],
  dict: unknown,
  strict: boolean,
  prefix: string,
): void {
  checkEntries(operation, entries);
  if (typeof dict !== "object" || dict === null) {
    throw new InvalidArgumentError(operation, "dict", "an object of tensors", describe(dict));
  }
  const given = reading(operation, "dict", "an object of tensors", () => entriesUnder(dict, prefix));
  const faults: string[] = [];
  const missing = entries.filter(({ key, optional }) => !given.has(key) && !optional).map(({ key }) => key);
  const unexpected = [...given.keys()].filter((key) => !entries.some((entry) => entry.key === key));
  if (strict && missing.length > 0) faults.push(`missing keys ${quote(missing)}`);
  if (strict && unexpected.length > 0) faults.push(`unexpected keys ${quote(unexpected)}`);
  const loads: (() => void)[] = [];
  for (const { key, shape, set, allows } of entries) {
    if (!given.has(key)) continue;
    const tensor = asStateTensor(given.get(key));
    if (typeof tensor === "string") faults.push(`${tensor} at ${quote([key])}`);
    else if (!sameShape(tensor.shape, shape) && !(shape.length === 0 && lengthOf(tensor.data) === 1)) {
      faults.push(`${quote([key])} of shape ${formatShape(tensor.shape)} where the layer's is ${formatShape(shape)}`);
    } else {
      const values = numbersOf(tensor.data);
      if (allows?.(values) === false) faults.push(`${quote([key])} of ${describe(values)}`);
      else loads.push(() => set(values));
    }
  }
  if (faults.length > 0) {
    throw new InvalidArgumentError(operation, "dict", "a state that fits the layer", faults.join("; "));
  }
  for (const load of loads) load();
}

function entriesUnder(dict: object, prefix: string): Map<string, unknown> {
  const under = Object.entries(dict).filter(([key]) => key.startsWith(prefix));
  return new Map(under.map(([key, value]) => [key.slice(prefix.length), value]));
}

/** As they are, whatever a program has defined on the array. */
function numbersOf(data: StateTensor["data"]): number[] {
  const numbers = new Array<number>(lengthOf(data));
  for (let i = 0; i < numbers.length; i++) numbers[i] = Number(data[i]);
  return numbers;
}

/** Parameters and buffers may be replaced by the caller. */
function checkEntries(operation: string, entries: readonly StateEntry[]): void {
  for (const { key, shape, get } of entries) {
    const data: unknown = get();
    if (typeof asStateTensor({ shape, data }) !== "string") continue;
    const received =
      kindOf(data) === undefined ? describe(data) : `${kindOf(data)} of ${lengthOf(data as ArrayBufferView)}`;
    throw new InvalidArgumentError(operation, key, `a typed array of ${cellsOf(shape)} elements`, received);
  }
}

function quote(keys: readonly string[]): string {
  const more = keys.length > QUOTED_KEYS ? `, ... (${keys.length})` : "";
  return keys.slice(0, QUOTED_KEYS).map(describe).join(", ") + more;
}

/** The tensor, or in words what it is not. */
function asStateTensor(value: unknown): StateTensor | string {
  if (typeof value !== "object" || value === null) return notTensor(value);
  try {
    const { shape, data } = value as Partial<StateTensor>;
    if (!Array.isArray(shape) || data === undefined) return notTensor(value);
    if (!(types.isFloat32Array(data) || types.isFloat64Array(data) || types.isBigInt64Array(data))) {
      return `${describe(data)}, where Float32Array, Float64Array and BigInt64Array are taken,`;
    }
    if (isGone(data)) return "an array without its buffer";
    const sizes = sizesOf(shape);
    if (sizes === undefined || cellsOf(sizes) !== lengthOf(data)) {
      return `${lengthOf(data)} elements of shape ${describe(shape)}`;
    }
    return { shape: sizes, data };
  } catch {
    return notTensor(value);
  }
}

function notTensor(value: unknown): string {
  return `no tensor { shape, data } but ${describe(value)}`;
}
