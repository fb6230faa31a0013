import { describe } from "../describe.js";
import { InvalidShapeError } from "../errors.js";

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

/** Dimensions that a tensor may have: as many as PyTorch's. */
export const MAX_RANK = 64;

/** A copy of sizes as they are now; undefined of what is no array of safe integers, 0 or more. Never throws, and looks at a few elements only. */
export function sizesOf(value: unknown): number[] | undefined {
  try {
    if (!Array.isArray(value) || value.length > MAX_RANK) return undefined;
    const sizes: unknown[] = [];
    for (let i = 0; i < value.length; i++) sizes.push(value[i]);
    return sizes.every((size) => Number.isSafeInteger(size) && (size as number) >= 0) ? (sizes as number[]) : undefined;
  } catch {
    return undefined;
  }
}

/** `[2, 3]`, as messages print a shape. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** A frozen copy of `shape`. Throws InvalidShapeError unless it is an array of safe non-negative integers with a safe product. */
export function checkShape(operation: string, shape: unknown): Shape {
  const sizes = sizesOf(shape);
  if (sizes !== undefined && Number.isSafeInteger(cellsOf(sizes))) return Object.freeze(sizes);
  const numbers = numbersOf(shape);
  let expected = "an array as shape";
  if (sizes !== undefined) expected = "a shape whose product is a safe integer";
  else if (numbers !== undefined) {
    expected = numbers.length > MAX_RANK ? `at most ${MAX_RANK} dimensions` : "a shape of non-negative safe integers";
  }
  const message = `expected ${expected} but got ${sizes === undefined ? describe(shape) : formatShape(sizes)}`;
  throw new InvalidShapeError(operation, message, numbers ?? []);
}

/** An array that came as shape, for its error. */
function numbersOf(shape: unknown): readonly number[] | undefined {
  try {
    return Array.isArray(shape) ? shape.slice(0, MAX_RANK + 1) : undefined;
  } catch {
    return undefined;
  }
}
