import { UnsupportedDtypeError } from "../errors.js";
import type { Dtype } from "../plan/cells.js";
import { kindOf } from "./typed-arrays.js";

export { CELL_BYTES, type Dtype } from "../plan/cells.js";

/**
 * A float16 tensor's array: a Float16Array where Node has it (24 and later), else the 16 bits of each number in a Uint16Array.
 * Where the types that a project is compiled with know no Float16Array, it is the latter to the compiler.
 */
export type Float16Data = typeof globalThis extends { Float16Array: { prototype: infer A } }
  ? A | Uint16Array<SharedArrayBuffer>
  : Uint16Array<SharedArrayBuffer>;

/** The typed array that views a tensor's cells, by dtype. */
export interface TypedArrays extends Record<Dtype, ArrayBufferView> {
  /** 4 bytes a cell. */
  float32: Float32Array<SharedArrayBuffer>;
  /** 8 bytes a cell; computed in float64 throughout. Layers for it have `dtype: "float64"`. */
  float64: Float64Array<SharedArrayBuffer>;
  /** 2 bytes a cell, IEEE 754 binary16. */
  float16: Float16Data;
  /** 2 bytes a cell, the upper half of a float32, as its 16 bits. */
  bfloat16: Uint16Array<SharedArrayBuffer>;
  /** 1 byte a cell, such as images: only as input, results are float32. */
  uint8: Uint8Array<SharedArrayBuffer>;
}

/** The dtype of a layer's output for input of dtype D. */
export type OutputDtype<D extends Dtype> = D extends "uint8" ? "float32" : D;

/** A typed array that a tensor can be made from. Of a Uint16Array the dtype must be said: float16 or bfloat16. */
export type TensorSource = Float32Array | Float64Array | Uint16Array | Uint8Array | Uint8ClampedArray | Float16Data;

interface DtypeTraits<D extends Dtype> {
  /** The arrays that `pool.from` takes for this dtype. */
  readonly arrayNames: readonly string[];
  view(buffer: SharedArrayBuffer, byteOffset: number, length: number): TypedArrays[D];
}

type Float16Constructor = new (buffer: SharedArrayBuffer, byteOffset: number, length: number) => Float16Data;

/** Looked up once: Node 20 and 22 have none. */
const Float16: Float16Constructor = Reflect.get(globalThis, "Float16Array") ?? Uint16Array;

export const DTYPES: { readonly [D in Dtype]: DtypeTraits<D> } = {
  float32: {
    arrayNames: ["Float32Array"],
    view: (buffer, byteOffset, length) => new Float32Array(buffer, byteOffset, length),
  },
  float64: {
    arrayNames: ["Float64Array"],
    view: (buffer, byteOffset, length) => new Float64Array(buffer, byteOffset, length),
  },
  float16: {
    arrayNames: ["Float16Array", "Uint16Array"],
    view: (buffer, byteOffset, length) => new Float16(buffer, byteOffset, length),
  },
  bfloat16: {
    arrayNames: ["Uint16Array"],
    view: (buffer, byteOffset, length) => new Uint16Array(buffer, byteOffset, length),
  },
  uint8: {
    arrayNames: ["Uint8Array", "Uint8ClampedArray", "Buffer"],
    view: (buffer, byteOffset, length) => new Uint8Array(buffer, byteOffset, length),
  },
};

const NAMES = Object.keys(DTYPES) as Dtype[];

/** The dtype that `value` names. Throws UnsupportedDtypeError. */
export function checkDtype(operation: string, value: unknown): Dtype {
  if (typeof value === "string" && Object.hasOwn(DTYPES, value)) return value as Dtype;
  throw new UnsupportedDtypeError(operation, NAMES.join(", "), value);
}

/** A value's class, as it calls itself. */
function nameOf(value: unknown): string {
  try {
    const name: unknown = typeof value === "object" && value !== null ? value.constructor?.name : typeof value;
    if (typeof name === "string") return name;
  } catch {}
  return kindOf(value) ?? "object";
}

/** The dtype of a typed array's elements, which `wanted` must fit and settles for a Uint16Array. Throws UnsupportedDtypeError. */
export function dtypeOf(operation: string, array: unknown, wanted: unknown): Dtype {
  const name = nameOf(array);
  const fitting = ArrayBuffer.isView(array) ? NAMES.filter((dtype) => DTYPES[dtype].arrayNames.includes(name)) : [];
  const [only, other] = fitting;
  if (only === undefined) {
    const arrays = [...new Set(NAMES.flatMap((dtype) => DTYPES[dtype].arrayNames))].filter(
      (array) => array !== "Buffer",
    );
    const remedy = name === "Array" ? " (Float32Array.from makes one of an array)" : "";
    throw new UnsupportedDtypeError(operation, `of ${arrays.join(", ")}${remedy}`, name);
  }
  if (wanted === undefined && other === undefined) return only;
  const found = fitting.find((dtype) => dtype === wanted);
  if (found !== undefined) return found;
  throw new UnsupportedDtypeError(operation, `${fitting.join(" or ")} for a ${name}`, wanted);
}
