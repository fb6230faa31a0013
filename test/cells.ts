// Seeded cells of every dtype, as the typed arrays that hold them, and the numbers that they are.
import type { Dtype } from "../src/index.js";
import { fromHalf, toHalf } from "./half.js";
import { nearest } from "./rounding.js";
import { seeded } from "./support.js";

/** Of float16 and bfloat16 the bits. */
export type Cells = Float32Array | Float64Array | Uint16Array | Uint8Array;

/** `length` normal numbers (Box-Muller) in float64, the same for the same seed. */
export function normalNumbers(length: number, seed: number, mean = 0, deviation = 1): Float64Array {
  const random = seeded(seed);
  // As each number has 32 random bits, so that of float64 no more are 0 than of float32, another 21 follow.
  const fine = () => (random() * 2 ** 32 + Math.floor(random() * 2 ** 21) * 2 ** -21) * 2 ** -32;
  const values = new Float64Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - fine()));
    const angle = 2 * Math.PI * fine();
    values[i] = mean + deviation * radius * Math.cos(angle);
    if (i + 1 < length) values[i + 1] = mean + deviation * radius * Math.sin(angle);
  }
  return values;
}

/** `values` rounded to the dtype; uint8 takes 0 to 255 and ends there. */
function cellsOf(dtype: Dtype, values: Float64Array): Cells {
  if (dtype === "float64") return values;
  if (dtype === "float32") return Float32Array.from(values);
  if (dtype === "uint8") return Uint8Array.from(new Uint8ClampedArray(values));
  return toHalf(
    dtype,
    values.map((value) => nearest(dtype, value)),
  );
}

const PATTERNS = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
const DECODED = { float16: fromHalf("float16", PATTERNS), bfloat16: fromHalf("bfloat16", PATTERNS) };

/** The numbers that cells are. */
export function numbersOf(dtype: Dtype, cells: ArrayBufferView): Float64Array {
  if (dtype === "float16" || dtype === "bfloat16") {
    const numbers = new Float64Array(cells.byteLength / 2);
    const bits = new Uint16Array(cells.buffer, cells.byteOffset, numbers.length);
    for (let i = 0; i < numbers.length; i++) numbers[i] = DECODED[dtype][bits[i] as number] as number;
    return numbers;
  }
  return Float64Array.from(cells as Float32Array | Float64Array | Uint8Array);
}

const drawn = new Map<string, Cells>();

/** `length` normal cells, of uint8 with deviation 40; fewer of the same seed are the first of them. Drawing took most of the time. */
export function normalCells(dtype: Dtype, length: number, seed: number, mean: number): Cells {
  const key = `${dtype} ${seed} ${mean}`;
  let cells = drawn.get(key);
  if (cells === undefined || cells.length < length) {
    const enough = 2 ** Math.ceil(Math.log2(length));
    cells = cellsOf(dtype, normalNumbers(enough, seed, mean, dtype === "uint8" ? 40 : 1));
    drawn.set(key, cells);
  }
  return cells.subarray(0, length);
}

/** A copy of the bytes, which is what has the same bits or has not. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength).slice();
}
