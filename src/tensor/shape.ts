import { describe, InvalidShapeError } from "../errors.js";

/** Sizes of a tensor's dimensions, outermost first. No dimensions at all is a scalar. */
export type Shape = readonly number[];

/** Cells of a tensor of this shape. */
export function cellsOf(shape: Shape): number {
  return product(shape, 0, shape.length);
}

/** Product of the dimensions [from, to). */
export function product(shape: Shape, from: number, to: number): number {
  let cells = 1;
  for (let i = from; i < to; i++) cells *= shape[i] as number;
  return cells;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

/** `[2, 3]`, as messages print a shape. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** A frozen copy of `shape`. Throws InvalidShapeError unless it is an array of safe non-negative integers with a safe product. */
export function checkShape(operation: string, shape: unknown): Shape {
  if (!Array.isArray(shape))
    throw new InvalidShapeError(operation, `expected an array as shape but got ${describe(shape)}`, []);
  // Array.from: a hole is no size either.
  if (!Array.from(shape).every((size) => Number.isSafeInteger(size) && size >= 0)) {
    const message = `expected a shape of non-negative safe integers but got ${formatShape(shape)}`;
    throw new InvalidShapeError(operation, message, shape);
  }
  if (!Number.isSafeInteger(cellsOf(shape))) {
    const message = `expected a shape whose product is a safe integer but got ${formatShape(shape)}`;
    throw new InvalidShapeError(operation, message, shape);
  }
  return Object.freeze([...shape]);
}
