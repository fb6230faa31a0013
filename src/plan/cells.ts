/** Bytes of a cell, by dtype. */
export const CELL_BYTES = { float32: 4, float64: 8, float16: 2, bfloat16: 2, uint8: 1 } as const;

/** Element types that a tensor may have. */
export type Dtype = keyof typeof CELL_BYTES;

/** The dtype of results: of uint8 input float32, else the input's. */
export function resultDtype(dtype: Dtype): Dtype {
  return dtype === "uint8" ? "float32" : dtype;
}
