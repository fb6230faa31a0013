// Checks of the moments that come with a call.
import { InvalidArgumentError, InvalidShapeError } from "../errors.js";
import type { Computation } from "../layers/layer.js";
import { checkMoments, type SetMoments } from "../merge/moments.js";
import { cellsPerSet, setCount } from "../plan/geometry.js";
import { formatShape, type Shape } from "../tensor/shape.js";

/** Moments that come with a forward call: of each set that the layer would find its own of; for SyncBatchNorm the whole batch's. Checked. */
export function checkGiven(operation: string, computation: Computation, value: unknown, shape: Shape): SetMoments {
  if (computation.kind !== "normalization" || computation.running !== null) {
    throw new InvalidArgumentError(operation, "moments", "none where the tensor's own are not used", "some");
  }
  if (computation.merged) return checkBatch(operation, computation, value, shape);
  const moments = checkMoments(operation, "moments", value, setCount(computation.geometry));
  const least = computation.update === null ? 1 : 2; // a running variance is of two cells or more
  if (moments.count >= least) return moments;
  throw new InvalidArgumentError(
    operation,
    "moments",
    `those of ${least} cells a set or more`,
    `those of ${moments.count}`,
  );
}

/** The whole batch's moments for a layer that merges them, checked. */
export function checkBatch(operation: string, computation: Computation, value: unknown, shape: Shape): SetMoments {
  if (computation.kind !== "normalization" || !computation.merged) {
    throw new InvalidArgumentError(operation, "moments", "none except for SyncBatchNorm in training", "some");
  }
  const { geometry } = computation;
  const moments = checkMoments(operation, "moments", value, setCount(geometry));
  if (moments.count === 1) {
    const message = `expected more than 1 value per channel when training but got input of shape ${formatShape(shape)}`;
    throw new InvalidShapeError(operation, message, shape);
  }
  const part = cellsPerSet(geometry);
  if (moments.count >= part) return moments;
  const expected = `moments of the whole batch, of which the input has ${part} cells a channel,`;
  throw new InvalidArgumentError(operation, "moments", expected, `those of ${moments.count}`);
}
