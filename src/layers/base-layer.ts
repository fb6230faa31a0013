import { types } from "node:util";
import { type Complete, checkBoolean, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError } from "../errors.js";
import type { Parameter } from "../tensor/parameter.js";
import type { Shape } from "../tensor/shape.js";
import { isGone } from "../tensor/typed-arrays.js";
import type { Computation, Layer, LayerCall } from "./layer.js";
import {
  type LoadStateOptions,
  loadState,
  type SaveStateOptions,
  type StateDict,
  type StateEntry,
  saveState,
} from "./state.js";

let isMade: (value: object) => boolean;

/** Whether a layer's constructor has made the value; a Proxy of a layer is none. */
export function isLayer(value: unknown): value is Layer {
  return typeof value === "object" && value !== null && isMade(value);
}

/** What all layers have in common: mode, state, and how they print. */
export abstract class BaseLayer implements Layer {
  readonly #made = true;
  abstract get name(): string;
  /** Training mode. Layers start in it, as in PyTorch. */
  training = true;

  static {
    isMade = (value) => #made in value && value.#made;
  }

  /** What a pool is to compute for an input of this shape. @throws InvalidShapeError, InvalidArgumentError, UnsupportedDtypeError */
  abstract prepare(shape: Shape, call: LayerCall): Computation;

  /** Sets training mode, or with false evaluation mode. Returns the layer. @throws InvalidArgumentError */
  train(mode = true): this {
    this.training = checkBoolean(`${this.name}.train`, "mode", mode);
    return this;
  }

  /** Sets evaluation mode. Returns the layer. */
  eval(): this {
    return this.train(false);
  }

  /** A copy of the parameters and buffers, with PyTorch's keys in its order, each after `prefix`. @throws InvalidArgumentError */
  stateDict(options?: SaveStateOptions): StateDict {
    const operation = `${this.name}.stateDict`;
    const { prefix } = readOptions<Complete<SaveStateOptions>>(operation, options, { prefix: "" });
    return saveState(operation, this.stateEntries(), checkPrefix(operation, prefix));
  }

  /**
   * Copies a state dict's tensors into the parameters and buffers: all of them, or none if it throws.
   * @throws InvalidArgumentError that names missing keys, unexpected keys (both unless `strict: false`) and sizes that differ.
   */
  loadStateDict(dict: StateDict, options?: LoadStateOptions): void {
    const operation = `${this.name}.loadStateDict`;
    const { strict, prefix } = readLoadOptions(operation, options);
    loadState(operation, this.stateEntries(), dict, strict, prefix);
  }

  /** The layer as PyTorch prints it: `GroupNorm(32, 256, eps=1e-05, affine=True)`; bias only where it was left out. */
  toString(): string {
    return `${this.name}(${this.representation()})`;
  }

  /** Makes fields constant: calls rely on what the constructor has checked. */
  protected fix(...fields: readonly (keyof this)[]): void {
    for (const field of fields) Object.defineProperty(this, field, { writable: false, configurable: false });
  }

  /** The parameters and buffers that there are, in PyTorch's order. */
  protected abstract stateEntries(): StateEntry[];

  /** The inside of the parentheses that PyTorch prints. */
  protected abstract representation(): string;
}

/** The entry of a parameter or buffer, or none where there is none. Loading writes into the array, as PyTorch does. */
export function floatEntry(key: string, shape: Shape, values: Parameter | null): StateEntry[] {
  return values === null ? [] : [{ key, shape, get: () => values, set: (loaded) => values.set(loaded) }];
}

/** What `loadStateDict` takes beside the dict. Throws InvalidArgumentError. */
export function readLoadOptions(operation: string, options: unknown): Complete<LoadStateOptions> {
  const { strict, prefix } = readOptions<Complete<LoadStateOptions>>(operation, options, { strict: true, prefix: "" });
  return { strict: checkBoolean(operation, "strict", strict), prefix: checkPrefix(operation, prefix) };
}

export function checkPrefix(operation: string, prefix: unknown): string {
  if (typeof prefix === "string") return prefix;
  throw new InvalidArgumentError(operation, "prefix", "a string", describe(prefix));
}

interface Affine {
  weight: Parameter | null;
  bias: Parameter | null;
}

/** The entries of a layer's weight and bias. */
export function affineEntries(layer: Affine, shape: Shape): StateEntry[] {
  return [...floatEntry("weight", shape, layer.weight), ...floatEntry("bias", shape, layer.bias)];
}

/** As a new layer has them. Throws InvalidArgumentError. */
export function resetAffine({ name, weight, bias }: Affine & { readonly name: string }): void {
  resetTo(name, "weight", weight, 1);
  resetTo(name, "bias", bias, 0);
}

/** Fills a parameter or buffer, if there is one. Throws InvalidArgumentError where the caller put something else in its place. */
export function resetTo(operation: string, argument: string, parameter: Parameter | null, value: number): void {
  if (parameter === null) return;
  if ((types.isFloat32Array(parameter) || types.isFloat64Array(parameter)) && !isGone(parameter)) parameter.fill(value);
  else
    throw new InvalidArgumentError(operation, argument, "a Float32Array, a Float64Array or null", describe(parameter));
}

/** A number as Python prints a float: 1e-05, 0.001, 1.0. */
export function pythonFloat(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e16) return value.toFixed(1);
  const magnitude = Math.abs(value);
  if (magnitude >= 1e-4 && magnitude < 1e16) return String(value);
  const [digits, exponent = "0"] = value.toExponential().split("e");
  const sign = exponent.startsWith("-") ? "-" : "+";
  return `${digits}e${sign}${exponent.slice(1).padStart(2, "0")}`;
}

/** A boolean as Python prints it. */
export function pythonBoolean(value: boolean): string {
  return value ? "True" : "False";
}

/** How a layer prints that it has a weight but no bias; nothing else is said of bias, as in PyTorch before 2.13. */
export function withoutBias({ weight, bias }: { readonly weight: unknown; readonly bias: unknown }): string {
  return weight !== null && bias === null ? ", bias=False" : "";
}
