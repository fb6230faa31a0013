// The dtypes of safetensors: how large their cells are, and how those that a state dict has are read.
import type { StateTensor } from "../layers/state.js";
import { convert } from "../plan/convert.js";
import type { Dtype } from "../tensor/dtype.js";

type Data = StateTensor["data"];

export interface Codec {
  /** Zeros for the cells. Throws RangeError where they fit in no ArrayBuffer. */
  make(cells: number): Data;
  /** Puts float16 or bfloat16 values, by their bits, into the cells from `at` on. Without it the file's bytes are the cells'. */
  readonly widen?: (halves: Uint16Array, data: Data, at: number) => void;
}

/** What a state dict can hold. */
export const CODECS: Readonly<Record<string, Codec>> = {
  F32: { make: (cells) => new Float32Array(cells) },
  F64: { make: (cells) => new Float64Array(cells) },
  I64: { make: (cells) => new BigInt64Array(cells) },
  F16: { make: (cells) => new Float32Array(cells), widen: widen("float16") },
  BF16: { make: (cells) => new Float32Array(cells), widen: widen("bfloat16") },
};

/** What tensors can be, by the names that the format has for it. */
export const SAFETENSORS_DTYPES: Readonly<Record<string, Dtype>> = {
  F32: "float32",
  F64: "float64",
  F16: "float16",
  BF16: "bfloat16",
  U8: "uint8",
};

/** Bits of a cell, of every dtype that the format has. */
export const BITS: Readonly<Record<string, number>> = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};

function widen(dtype: "float16" | "bfloat16"): NonNullable<Codec["widen"]> {
  return (halves, data, at) => {
    const target = { buffer: data.buffer, at: data.byteOffset + 4 * at };
    convert(dtype, "float32", { buffer: halves.buffer, at: halves.byteOffset }, target, halves.length);
  };
}
