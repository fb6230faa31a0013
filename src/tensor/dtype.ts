import { UnsupportedDtypeError } from "../errors.js";

/** Element types that a tensor may have. */
export type Dtype = keyof TypedArrays;

/** The typed array that views a tensor's cells, by dtype. */
export interface TypedArrays {
  /** 4 bytes a cell. */
  float32: Float32Array<SharedArrayBuffer>;
}

interface DtypeTraits<D extends Dtype> {
  /** Bytes of a cell. */
  readonly bytes: number;
  /** The array that `pool.from` takes for this dtype. */
  readonly arrayName: string;
  view(buffer: SharedArrayBuffer, byteOffset: number, length: number): TypedArrays[D];
}

export const DTYPES: { readonly [D in Dtype]: DtypeTraits<D> } = {
  float32: {
    bytes: 4,
    arrayName: "Float32Array",
    view: (buffer, byteOffset, length) => new Float32Array(buffer, byteOffset, length),
  },
};

const NAMES = Object.keys(DTYPES).join(", ");

/** The dtype that `value` names. Throws UnsupportedDtypeError. */
export function checkDtype(operation: string, value: unknown): Dtype {
  if (typeof value === "string" && Object.hasOwn(DTYPES, value)) return value as Dtype;
  throw new UnsupportedDtypeError(operation, NAMES, value);
}

/** The dtype of a typed array's elements. Throws UnsupportedDtypeError. */
export function dtypeOf(operation: string, array: unknown): Dtype {
  const name = ArrayBuffer.isView(array) ? array.constructor.name : typeof array;
  for (const dtype of Object.keys(DTYPES) as Dtype[]) if (DTYPES[dtype].arrayName === name) return dtype;
  throw new UnsupportedDtypeError(operation, `${NAMES} (${DTYPES.float32.arrayName})`, name);
}
