// Conversions of cells, exhaustively where a dtype is small: against the definitions of the types.
import { describe, expect, test } from "vitest";
import { CELL_BYTES, type Dtype } from "../src/plan/cells.js";
import { convert, holds } from "../src/plan/convert.js";
import { type Cells, normalNumbers, numbersOf } from "./cells.js";
import { converted, NARROWED, WIDENED } from "./converted.js";
import { fromHalf, type HalfDtype, toHalf } from "./half.js";
import { nearest, spacing } from "./rounding.js";
import { seeded } from "./support.js";

const HALVES = ["float16", "bfloat16"] as const;
const PATTERNS = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
const BYTES = Uint8Array.from({ length: 256 }, (_, i) => i);

/** The cells in the other dtype, as a loop of calls on pieces of odd sizes has them; the bytes around them stay. */
function convertedCells(from: Dtype, to: Dtype, cells: ArrayBufferView, piece = cells.byteLength): Uint8Array {
  const count = cells.byteLength / CELL_BYTES[from];
  const buffer = new SharedArrayBuffer(8 + count * CELL_BYTES[to] + 8);
  const all = new Uint8Array(buffer).fill(7);
  for (let at = 0; at < count; at += piece) {
    const source = { buffer: cells.buffer, at: cells.byteOffset + at * CELL_BYTES[from] };
    convert(from, to, source, { buffer, at: 8 + at * CELL_BYTES[to] }, Math.min(piece, count - at));
  }
  expect([...all.subarray(0, 8), ...all.subarray(-8)]).toEqual(Array(16).fill(7));
  return all.slice(8, -8);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => new Uint8Array(buffer, byteOffset, byteLength);

/** Holds cells equal bit by bit. */
function expectCells(dtype: Dtype, actual: Uint8Array, expected: ArrayBufferView, from: ArrayLike<number>): void {
  if (Buffer.compare(actual, bytesOf(expected)) === 0) return;
  const [found, wanted] = [actual, bytesOf(expected)];
  const i = Math.floor(wanted.findIndex((byte, at) => byte !== found[at]) / CELL_BYTES[dtype]);
  const hex = (bytes: Uint8Array) =>
    Buffer.from(bytes.slice(i * CELL_BYTES[dtype], (i + 1) * CELL_BYTES[dtype]).reverse()).toString("hex");
  expect.fail(`cell ${i} from ${from[i]}: got bits ${hex(found)}, expected ${hex(wanted)}`);
}

/** Each number and its neighbours one float32, and one float64, to either side, of both signs; of each pair the tie too. */
function aboutTies(dtype: HalfDtype): Float64Array {
  const found: number[] = [];
  for (const value of fromHalf(dtype, PATTERNS)) {
    if (!Number.isFinite(value) || value < 0) continue;
    for (const middle of [value, value + spacing(dtype, value) / 2]) {
      for (const step of [spacing("float32", middle || 2 ** -149), spacing("float64", middle || 2 ** -1074)]) {
        for (const near of [middle - step, middle, middle + step]) found.push(near, -near);
      }
    }
  }
  return Float64Array.from(found);
}

test("each dtype holds those that lose nothing in it, and no other", () => {
  const dtypes = Object.keys(CELL_BYTES) as Dtype[];
  const pairs = dtypes.flatMap((to) =>
    dtypes.filter((from) => from !== to && holds(to, from)).map((from) => [from, to]),
  );
  expect(new Set(pairs.map(String))).toEqual(new Set(WIDENED.map(String)));
  for (const dtype of dtypes) expect(holds(dtype, dtype)).toBe(true);
});

describe.each(WIDENED)("%s to %s", (from, to) => {
  test("every pattern of bits, or of float32 a million, is the same number, and NaN is the quiet one", () => {
    const random = seeded(3);
    const cells: Cells =
      from === "uint8"
        ? BYTES
        : from === "float32"
          ? new Float32Array(Uint32Array.from({ length: 1 << 20 }, () => random() * 2 ** 32).buffer)
          : PATTERNS;
    const numbers = numbersOf(from, cells);
    const expected = converted(to, numbers);
    expectCells(to, convertedCells(from, to, cells), expected, numbers);
    // The oracle rounds: nothing is lost by that.
    const same = numbersOf(to, expected).findIndex((number, i) => !Object.is(number, numbers[i]));
    expect(same).toBe(-1);
  });

  test("at the end of its own room it becomes longer without harm", () => {
    for (const count of [0, 1, 2, 7, 1000, 65_537]) {
      const cells = converted(from, normalNumbers(count, 4, 3));
      const room = new SharedArrayBuffer(count * CELL_BYTES[to]);
      const at = count * (CELL_BYTES[to] - CELL_BYTES[from]);
      new Uint8Array(room, at).set(bytesOf(cells));
      convert(from, to, { buffer: room, at }, { buffer: room, at: 0 }, count);
      const numbers = numbersOf(from, cells);
      expectCells(to, new Uint8Array(room), converted(to, numbers), numbers);
    }
  });
});

describe.each(HALVES)("%s", (dtype) => {
  const numbers = fromHalf(dtype, PATTERNS);
  const back = toHalf(dtype, numbers);

  test.each(["float32", "float64"] as const)(
    "all 65,536 patterns come back from %s, a NaN as the quiet one",
    (wide) => {
      const there = convertedCells(dtype, wide, PATTERNS);
      expectCells(dtype, convertedCells(wide, dtype, there), back, numbers);
    },
  );

  test.each([
    ["float32", Float32Array],
    ["float64", Float64Array],
  ] as const)("%s at every tie, and beside it, is rounded to the nearest, ties to even", (wide, Wide) => {
    const cells = Wide.from(aboutTies(dtype));
    expectCells(dtype, convertedCells(wide, dtype, cells), converted(dtype, Float64Array.from(cells)), cells);
  });
});

describe.each(NARROWED)("%s to %s", (from, to) => {
  test("numbers of all magnitudes, NaN of all kinds, infinities and zeros of both signs, once in a piece and once in many", () => {
    const random = seeded(5);
    const words = Uint32Array.from({ length: 1 << 18 }, () => random() * 2 ** 32);
    const cells = from === "float64" ? new Float64Array(words.buffer) : new Float32Array(words.buffer);
    // Bits at random are numbers that are too large or too small mostly.
    for (let i = 0; i < cells.length; i += 2) cells[i] = (random() - 0.5) * 2 ** Math.floor(random() * 60 - 40);
    cells.set([
      0,
      -0,
      Infinity,
      -Infinity,
      Number.NaN,
      65_519.99,
      65_520,
      -65_520,
      3.39e38,
      2 ** -25,
      2 ** -24.5,
      2 ** -1074,
    ]);
    const numbers = Float64Array.from(cells);
    const expected = converted(to, numbers);
    expectCells(to, convertedCells(from, to, cells), expected, numbers);
    expectCells(to, convertedCells(from, to, cells, 1001), expected, numbers);
  });
});

test.each(HALVES)("float64 that float32 would round onto a tie of %s is rounded once", (dtype) => {
  const one = 1 + 1.5 * spacing(dtype, 1); // The tie above the odd number after 1.
  const cells = Float64Array.of(one - 2 ** -40, one, one + 2 ** -40, 1 + 0.5 * spacing(dtype, 1) + 2 ** -40);
  const step = spacing(dtype, 1);
  const found = numbersOf(dtype, convertedCells("float64", dtype, cells));
  expect([...found]).toEqual([1 + step, 1 + 2 * step, 1 + 2 * step, 1 + step]);
  expect([...cells].map((value) => nearest(dtype, value))).toEqual([...found]);
});

test("conversions that there are none of are refused", () => {
  const cells = { buffer: new ArrayBuffer(8), at: 0 };
  expect(() => convert("float16", "bfloat16", cells, cells, 1)).toThrow(
    "expected a conversion of float16 that there is",
  );
  expect(() => convert("float32", "uint8", cells, cells, 1)).toThrow(RangeError);
});
