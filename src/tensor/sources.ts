// What tensors are made from: typed arrays, state dicts' tensors, shared memory of the caller's.
import { InvalidArgumentError, InvalidShapeError, reading } from "../errors.js";
import type { Dtype, TypedArrays } from "./dtype.js";
import { cellsOf, checkShape, formatShape, type Shape } from "./shape.js";
import type { Holding } from "./tensor.js";
import { bufferOf, byteOffsetOf, isGone, lengthOf } from "./typed-arrays.js";

/** What cells are made from, and their shape. */
interface Source {
  readonly array: unknown;
  readonly shape: Shape | undefined;
}

/** A typed array as it is, or a state dict's tensor, which has a shape of its own, taken apart. Throws InvalidArgumentError. */
export function readSource(operation: string, value: unknown, shape: Shape | undefined): Source {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return { array: value, shape };
  return reading(operation, "array", "a typed array or a tensor { shape, data }", () => {
    if (!("data" in value && "shape" in value)) return { array: value, shape };
    return { array: value.data, shape: value.shape as Shape };
  });
}

/** Memory that is the caller's. */
export function holdingOf(data: TypedArrays[Dtype]): Holding {
  const [buffer, byteOffset] = [bufferOf(data) as SharedArrayBuffer, byteOffsetOf(data)];
  return { spec: { kind: "shared", buffer, byteOffset }, arena: null, data, release: () => {} };
}

/** The shape, or one of one dimension, if it has as many cells as the array. Throws InvalidShapeError, InvalidArgumentError of a detached array. */
export function checkElements(operation: string, array: ArrayBufferView, shape: Shape | undefined): Shape {
  if (isGone(array)) throw new InvalidArgumentError(operation, "array", "one that has its buffer", "a detached one");
  const checked = checkShape(operation, shape ?? [lengthOf(array)]);
  const length = lengthOf(array);
  if (cellsOf(checked) === length) return checked;
  const message = `expected ${cellsOf(checked)} elements for shape ${formatShape(checked)} but got ${length}`;
  throw new InvalidShapeError(operation, message, checked);
}
