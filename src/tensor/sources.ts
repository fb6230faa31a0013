// What tensors are made from: typed arrays, state dicts' tensors, shared memory of the caller's.
import { InvalidShapeError } from "../errors.js";
import type { Dtype, TypedArrays } from "./dtype.js";
import { cellsOf, checkShape, formatShape, type Shape } from "./shape.js";
import type { Holding } from "./tensor.js";
import { bufferOf, byteOffsetOf, lengthOf } from "./typed-arrays.js";

/** Cells with a shape of their own: a state dict's tensor. */
interface Shaped {
  readonly data: unknown;
  readonly shape: Shape;
}

export function isShaped(value: unknown): value is Shaped {
  return (
    typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && "data" in value && "shape" in value
  );
}

/** Memory that is the caller's. */
export function holdingOf(data: TypedArrays[Dtype]): Holding {
  const [buffer, byteOffset] = [bufferOf(data) as SharedArrayBuffer, byteOffsetOf(data)];
  return { spec: { kind: "shared", buffer, byteOffset }, arena: null, data, release: () => {} };
}

/** The shape, or one of one dimension, if it has as many cells as the array. Throws InvalidShapeError. */
export function checkElements(operation: string, array: ArrayBufferView, shape: Shape | undefined): Shape {
  const checked = checkShape(operation, shape ?? [lengthOf(array)]);
  const length = lengthOf(array);
  if (cellsOf(checked) === length) return checked;
  const message = `expected ${cellsOf(checked)} elements for shape ${formatShape(checked)} but got ${length}`;
  throw new InvalidShapeError(operation, message, checked);
}
