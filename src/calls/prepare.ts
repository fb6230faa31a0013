import { types } from "node:util";
import { InvalidArgumentError, unreadable } from "../errors.js";
import type { Computation, Layer, LayerCall } from "../layers/layer.js";
import type { Parameter } from "../tensor/parameter.js";
import type { Tensor } from "../tensor/tensor.js";
import { lengthOf } from "../tensor/typed-arrays.js";

/** What the layer asks to compute of `x`. Throws what its `prepare` throws, and InvalidArgumentError if that is not of x's cells. */
export function prepare(
  operation: string,
  layer: Layer,
  x: Pick<Tensor, "shape" | "size">,
  call: LayerCall,
): Computation {
  const computation = layer.prepare(x.shape, call);
  try {
    // Kernels touch as many cells as it says, and a layer may have a `prepare` of a program's own.
    if (isComputation(computation) && cellsOf(computation) === x.size) return computation;
  } catch (cause) {
    throw unreadable(operation, "layer", EXPECTED, cause);
  }
  throw new InvalidArgumentError(operation, "layer", EXPECTED, "others");
}

const EXPECTED = "one whose prepare is of the input's cells";

/** Whether it has what a call reads of it. */
function isComputation(value: Computation): boolean {
  if (value.kind === "response") return isNumber(value.alpha) && isNumber(value.beta) && isNumber(value.k);
  const { kind, geometry, affineRows, eps, measure, weight, bias, running, update } = value;
  const entries = affineRows === true ? geometry.r : geometry.g * geometry.k;
  return (
    kind === "normalization" &&
    isNumber(eps) &&
    typeof measure === "string" &&
    isParameter(weight, entries) &&
    isParameter(bias, entries) &&
    (running === null || (isArray(running.mean) && isArray(running.variance))) &&
    (update === null || typeof update === "function")
  );
}

function isNumber(value: unknown): boolean {
  return typeof value === "number";
}

function isParameter(value: Parameter | null, entries: number): boolean {
  return value === null || (isArray(value) && lengthOf(value) === entries);
}

function isArray(value: unknown): boolean {
  return types.isFloat32Array(value) || types.isFloat64Array(value);
}

/** NaN where sizes are none. */
function cellsOf(computation: Computation): number {
  if (computation.kind === "response") {
    const { samples, channels, space, size } = computation;
    return isSize(samples) && isSize(channels) && isSize(space) && isSize(size - 1)
      ? samples * channels * space
      : Number.NaN;
  }
  const { n, r, g, k, s } = computation.geometry;
  return isSize(n) && isSize(r) && isSize(g) && isSize(k) && isSize(s) ? n * r * g * k * s : Number.NaN;
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
