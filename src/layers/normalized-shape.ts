// The last dimensions that LayerNorm and RMSNorm normalise over.

import { checkSize } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, InvalidShapeError, reading } from "../errors.js";
import { cellsOf, formatShape, MAX_RANK, type Shape, sizesOf } from "../tensor/shape.js";

/** The argument as a shape. Throws InvalidArgumentError. */
export function checkNormalizedShape(operation: string, value: unknown): Shape {
  if (typeof value === "number") return Object.freeze([checkSize(operation, "normalizedShape", value)]);
  const sizes = sizesOf(value);
  if (sizes === undefined) throw wrongSize(operation, value);
  if (sizes.length === 0) {
    throw new InvalidArgumentError(operation, "normalizedShape", "at least one dimension", describe(value));
  }
  const shape = Object.freeze(sizes);
  if (Number.isSafeInteger(cellsOf(shape))) return shape;
  throw new InvalidArgumentError(operation, "normalizedShape", "a safe integer as product", describe(value));
}

/** What is wrong with what are no sizes. */
function wrongSize(operation: string, value: unknown): Error {
  const argument = "normalizedShape";
  return reading(operation, argument, "a safe integer, 0 or more, or an array of them,", () => {
    if (!Array.isArray(value)) checkSize(operation, argument, value);
    else for (let i = 0; i < Math.min(value.length, MAX_RANK); i++) checkSize(operation, argument, value[i]);
    return new InvalidArgumentError(operation, argument, `at most ${MAX_RANK} dimensions`, describe(value));
  });
}

/**
 * Dimensions of an input before the normalised ones. Throws InvalidShapeError unless it ends in `normalizedShape`.
 * @param takesAxis whether the layer takes a channelAxis, which the message then says where it is the remedy.
 */
export function outerRank(operation: string, normalizedShape: Shape, shape: Shape, takesAxis = false): number {
  const outer = shape.length - normalizedShape.length;
  if (outer >= 0 && normalizedShape.every((size, i) => size === shape[outer + i])) return outer;
  const along = takesAxis && normalizedShape.length === 1 ? shape.indexOf(normalizedShape[0] as number) : -1;
  const hint = along < 0 ? "" : `; to normalise along dimension ${along}, give the call channelAxis: ${along}`;
  const message = `given normalizedShape ${formatShape(normalizedShape)}, expected input of shape [*, ${normalizedShape.join(", ")}] but got ${formatShape(shape)}${hint}`;
  throw new InvalidShapeError(operation, message, shape);
}

/** A Python tuple: `(5,)`, `(2, 3)`. */
export function formatNormalizedShape(shape: Shape): string {
  return shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
}
