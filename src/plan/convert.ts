// Cells of one dtype as cells of another: the one definition of each conversion. A value that the other dtype lacks is rounded to the nearest, ties
// to even, once; from half a step over the largest number on it is Infinity. Subnormals and the sign of zero stay. Every NaN becomes one quiet NaN:
// engines do not promise which one a number is, and the bits of a result must not depend on that.
import type { Dtype } from "./cells.js";

/** For each dtype the others whose every cell it holds exactly. */
const HOLDS: Readonly<Record<Dtype, readonly Dtype[]>> = {
  float32: ["float16", "bfloat16", "uint8"],
  float64: ["float32", "float16", "bfloat16", "uint8"],
  float16: ["uint8"],
  bfloat16: ["uint8"],
  uint8: [],
};

/** Whether each cell of `other` is exactly a cell of `dtype`. */
export function holds(dtype: Dtype, other: Dtype): boolean {
  return dtype === other || HOLDS[dtype].includes(other);
}

/** Where cells begin: at a multiple of the bytes of one. */
export interface CellsAt {
  readonly buffer: ArrayBufferLike;
  readonly at: number;
}

type Loop = (source: CellsAt, target: CellsAt, count: number) => void;
type Narrow = "uint8" | "float16" | "bfloat16";

/**
 * Converts `count` cells, either from a dtype to one that holds it, or between floating point dtypes back. Cells that become longer may lie at the
 * end of the target's own room: each is read before it is written over.
 */
export function convert(from: Dtype, to: Dtype, source: CellsAt, target: CellsAt, count: number): void {
  const loop = LOOPS[from][to];
  if (loop === undefined) throw new RangeError(`expected a conversion of ${from} that there is but got ${to}`);
  loop(source, target, count);
}

const LOOPS: Readonly<Record<Dtype, { readonly [to in Dtype]?: Loop }>> = {
  uint8: { float16: bytesTo("float16"), bfloat16: bytesTo("bfloat16"), ...widened("uint8") },
  float16: widened("float16"),
  bfloat16: widened("bfloat16"),
  float32: {
    float64(source, target, count) {
      const [from, to] = [floats(source, count), doubles(target, count)];
      for (let i = 0; i < count; i++) to[i] = quiet(from[i] as number);
    },
    float16(source, target, count) {
      const [from, to] = [words(source, count), halves(target, count)];
      for (let i = 0; i < count; i++) to[i] = float16Of(from[i] as number);
    },
    bfloat16(source, target, count) {
      const [from, to] = [words(source, count), halves(target, count)];
      for (let i = 0; i < count; i++) to[i] = bfloat16Of(from[i] as number);
    },
  },
  float64: {
    float32(source, target, count) {
      const [from, to] = [doubles(source, count), floats(target, count)];
      for (let i = 0; i < count; i++) to[i] = quiet(from[i] as number);
    },
    float16(source, target, count) {
      const [from, to] = [words(source, 2 * count), halves(target, count)];
      for (let i = 0; i < count; i++) to[i] = float16Of(oddWordOf(from[2 * i] as number, from[2 * i + 1] as number));
    },
    bfloat16(source, target, count) {
      const [from, to] = [words(source, 2 * count), halves(target, count)];
      for (let i = 0; i < count; i++) to[i] = bfloat16Of(oddWordOf(from[2 * i] as number, from[2 * i + 1] as number));
    },
  },
};

function bytes({ buffer, at }: CellsAt, count: number) {
  return new Uint8Array(buffer, at, count);
}
function halves({ buffer, at }: CellsAt, count: number) {
  return new Uint16Array(buffer, at, count);
}
function words({ buffer, at }: CellsAt, count: number) {
  return new Int32Array(buffer, at, count);
}
function floats({ buffer, at }: CellsAt, count: number) {
  return new Float32Array(buffer, at, count);
}
function doubles({ buffer, at }: CellsAt, count: number) {
  return new Float64Array(buffer, at, count);
}

/** Of a dtype of so few patterns that a table has the value of each. */
function widened(dtype: Narrow): { readonly float32: Loop; readonly float64: Loop } {
  const cells = dtype === "uint8" ? bytes : halves;
  return {
    float32(source, target, count) {
      const [from, to, values] = [cells(source, count), floats(target, count), valuesOf(dtype)];
      for (let i = 0; i < count; i++) to[i] = values[from[i] as number] as number;
    },
    float64(source, target, count) {
      const [from, to, values] = [cells(source, count), doubles(target, count), valuesOf(dtype)];
      for (let i = 0; i < count; i++) to[i] = values[from[i] as number] as number;
    },
  };
}

function bytesTo(dtype: "float16" | "bfloat16"): Loop {
  const encode = dtype === "float16" ? float16Of : bfloat16Of;
  return (source, target, count) => {
    const [from, to] = [bytes(source, count), halves(target, count)];
    const table = Uint16Array.from(new Int32Array(valuesOf("uint8").buffer), encode);
    for (let i = 0; i < count; i++) to[i] = table[from[i] as number] as number;
  };
}

const tables: Partial<Record<Narrow, Float32Array<ArrayBuffer>>> = {};

/** The value of each pattern of bits, made once by each thread that needs it. */
function valuesOf(dtype: Narrow): Float32Array<ArrayBuffer> {
  tables[dtype] ??= Float32Array.from({ length: dtype === "uint8" ? 1 << 8 : 1 << 16 }, (_, bits) =>
    VALUES[dtype](bits),
  );
  return tables[dtype];
}

const word = new Float32Array(1);
const wordBits = new Int32Array(word.buffer);

const VALUES: Readonly<Record<Narrow, (bits: number) => number>> = {
  uint8: (bits) => bits,
  /** 1 sign, 5 exponent and 10 fraction bits. */
  float16(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
  },
  /** The upper half of a float32. */
  bfloat16(bits) {
    wordBits[0] = bits << 16;
    return quiet(word[0] as number);
  },
};

function quiet(value: number): number {
  return Number.isNaN(value) ? Number.NaN : value;
}

// Rounding to the nearest, ties to even: half a step less one is added, and one more where the last digit that stays is odd.

/** A float32, by its bits, as a float16's bits. */
function float16Of(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size > 0x7f800000) return 0x7e00;
  // 2^16 and more. What rounds up to that comes to the same bits below.
  if (size >= 0x47800000) return sign | 0x7c00;
  // From 2^-14 on only the exponent's bias differs, by 112.
  if (size >= 0x38800000) return sign | ((size - 0x38000000 + 0xfff + ((size >> 13) & 1)) >> 13);
  // Subnormals: digits that count steps of 2^-24.
  const shift = 126 - (size >> 23);
  if (shift > 24) return sign;
  const digits = (size & 0x7fffff) | 0x800000;
  return sign | ((digits + (1 << (shift - 1)) - 1 + ((digits >> shift) & 1)) >> shift);
}

/** A float32, by its bits, as a bfloat16's bits. */
function bfloat16Of(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/**
 * A float64, by its two halves, as the bits of a float32: those of its digits that float32 has, the last of which is 1 also where there are others.
 * To round that to so few digits that the last one is not among them is to round the float64.
 */
function oddWordOf(low: number, high: number): number {
  const size = high & 0x7fffffff;
  const sign = high & 0x80000000;
  const rest = low & 0x1fffffff ? 1 : 0;
  // From 2^-126 to 2^128 only the exponent's bias differs, by 896.
  if (size >= 0x38100000 && size < 0x47f00000) return sign | ((size - 0x38000000) << 3) | (low >>> 29) | rest;
  if (size >= 0x47f00000)
    return sign | (size > 0x7ff00000 || (size === 0x7ff00000 && low !== 0) ? 0x7fc00000 : 0x7f800000);
  // Subnormals of float32, which count steps of 2^-149.
  const shift = 897 - (size >> 20);
  if (shift > 24) return sign | (size | low ? 1 : 0);
  const digits = (((size & 0xfffff) | 0x100000) << 3) | (low >>> 29);
  const lost = rest | (digits & ((1 << shift) - 1) ? 1 : 0);
  return sign | (digits >>> shift) | lost;
}
