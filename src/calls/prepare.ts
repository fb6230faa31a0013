import { InvalidArgumentError } from "../errors.js";
import type { Computation, Layer, LayerCall } from "../layers/layer.js";
import type { Tensor } from "../tensor/tensor.js";

/** What the layer asks to compute of `x`. Throws what its `prepare` throws, and InvalidArgumentError if that is not of x's cells. */
export function prepare(operation: string, layer: Layer, x: Tensor, call: LayerCall): Computation {
  const computation = layer.prepare(x.shape, call);
  // Kernels touch as many cells as it says, and a layer may have a `prepare` of a program's own.
  if (cellsOf(computation) === x.size) return computation;
  throw new InvalidArgumentError(operation, "layer", "one whose prepare is of the input's cells", "others");
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
