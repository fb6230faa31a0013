// The dtypes of safetensors: how large their cells are, and how those that a state dict has are read.
import type { StateTensor } from "../layers/state.js";
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
  F16: { make: (cells) => new Float32Array(cells), widen: widenFloat16 },
  BF16: { make: (cells) => new Float32Array(cells), widen: widenBfloat16 },
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

/** A float16 has 1 sign, 5 exponent and 10 fraction bits. */
function widenFloat16(halves: Uint16Array, data: Data, at: number): void {
  for (let i = 0; i < halves.length; i++) {
    const bits = halves[i] as number;
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) data[at + i] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    else data[at + i] = exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
  }
}

/** bfloat16 is the upper half of a float32. */
function widenBfloat16(halves: Uint16Array, data: Data, at: number): void {
  const words = new Uint32Array(data.buffer, data.byteOffset + 4 * at, halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = (halves[i] as number) << 16;
}
