// A layer's state as PyTorch saves it: names to tensors.
import { types } from "node:util";
import { describe, InvalidArgumentError } from "../errors.js";
import { cellsOf, formatShape, type Shape, sameShape } from "../tensor/shape.js";

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
  const given = new Map<string, unknown>();
  for (const [key, value] of Object.entries(dict)) {
    if (key.startsWith(prefix)) given.set(key.slice(prefix.length), value);
  }
  const faults: string[] = [];
  const missing = entries.filter(({ key, optional }) => !given.has(key) && !optional).map(({ key }) => key);
  const unexpected = [...given.keys()].filter((key) => !entries.some((entry) => entry.key === key));
  if (strict && missing.length > 0) faults.push(`missing keys ${quote(missing)}`);
  if (strict && unexpected.length > 0) faults.push(`unexpected keys ${quote(unexpected)}`);
  const loads: (() => void)[] = [];
  for (const { key, shape, set } of entries) {
    if (!given.has(key)) continue;
    const tensor = asStateTensor(given.get(key));
    if (typeof tensor === "string") faults.push(`${tensor} at ${quote([key])}`);
    else if (!sameShape(tensor.shape, shape) && !(shape.length === 0 && tensor.data.length === 1)) {
      faults.push(`${quote([key])} of shape ${formatShape(tensor.shape)} where the layer's is ${formatShape(shape)}`);
    } else loads.push(() => set(Array.from<number | bigint, number>(tensor.data, Number)));
  }
  if (faults.length > 0) {
    throw new InvalidArgumentError(operation, "dict", "a state that fits the layer", faults.join("; "));
  }
  for (const load of loads) load();
}

/** Parameters and buffers may be replaced by the caller. */
function checkEntries(operation: string, entries: readonly StateEntry[]): void {
  for (const { key, shape, get } of entries) {
    if (typeof asStateTensor({ shape, data: get() }) !== "string") continue;
    const received = `${describe(get())} of ${get().length}`;
    throw new InvalidArgumentError(operation, key, `a typed array of ${cellsOf(shape)} elements`, received);
  }
}

function quote(keys: readonly string[]): string {
  return keys.map((key) => JSON.stringify(key)).join(", ");
}

/** The tensor, or in words what it is not. */
function asStateTensor(value: unknown): StateTensor | string {
  const { shape, data } = (typeof value === "object" && value !== null ? value : {}) as Partial<StateTensor>;
  if (!Array.isArray(shape) || data === undefined) return `no tensor { shape, data } but ${describe(value)}`;
  if (!(types.isFloat32Array(data) || types.isFloat64Array(data) || types.isBigInt64Array(data))) {
    return `${describe(data)}, where Float32Array, Float64Array and BigInt64Array are taken,`;
  }
  if (cellsOf(shape) !== data.length) return `${data.length} elements of shape ${describe(shape)}`;
  return { shape, data };
}
