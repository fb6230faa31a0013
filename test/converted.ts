// Conversions of cells by the definition of the types: the oracle of those that files go through.
import type { Dtype } from "../src/index.js";
import type { Cells } from "./cells.js";
import { toHalf } from "./half.js";
import { nearest } from "./rounding.js";

/** From a dtype to one that holds each of its cells. */
export const WIDENED: readonly (readonly [from: Dtype, to: Dtype])[] = [
  ["uint8", "float16"],
  ["uint8", "bfloat16"],
  ["uint8", "float32"],
  ["uint8", "float64"],
  ["float16", "float32"],
  ["float16", "float64"],
  ["bfloat16", "float32"],
  ["bfloat16", "float64"],
  ["float32", "float64"],
];

/** To a dtype that lacks some of its cells. */
export const NARROWED: readonly (readonly [from: Dtype, to: Dtype])[] = [
  ["float64", "float32"],
  ["float64", "float16"],
  ["float64", "bfloat16"],
  ["float32", "float16"],
  ["float32", "bfloat16"],
];

/** Numbers as cells of the dtype, each rounded once; NaN is the one of which all engines have the bits. */
export function converted(dtype: Dtype, numbers: Float64Array): Cells {
  if (dtype === "uint8") return Uint8Array.from(numbers);
  const quiet = numbers.map((value) => (Number.isNaN(value) ? Number.NaN : value));
  if (dtype === "float64") return quiet;
  if (dtype === "float32") return Float32Array.from(quiet);
  return toHalf(
    dtype,
    quiet.map((value) => (Number.isNaN(value) ? value : nearest(dtype, value))),
  );
}
