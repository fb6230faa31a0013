// The built kernel module, and each kernel alone: lengths about every loop's edge, any alignment of 4 bytes.

import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { NOTHING } from "../src/merge/statistics.js";
import { CENTRED, NEAR } from "../src/merge/tables.js";
import { SINK_ROWS } from "../src/plan/backward.js";
import { COLUMN_TILE, SEGMENT_CELLS } from "../src/plan/grid.js";
import { DIRECT_WINDOW, NARROW, TABLE_FIELDS } from "../src/plan/phase.js";
import {
  ARITHMETIC,
  CELL_CODES,
  exportName,
  MEASURE_CODES,
  OTHER_KERNELS,
  RESPONSE_STEPS,
  SHARED_CONSTANTS,
} from "../workers/arithmetic.js";
import { instantiate, type Kernels, kernelModule } from "../workers/kernels.js";
import { STAGE_BYTES, STAGE_COLUMNS } from "../workers/scratch.js";
import { wasm } from "../workers/webassembly.js";
import { layerNorm } from "./reference.js";
import { spacing } from "./rounding.js";
import { expectSameBits, normal } from "./support.js";

// Edges: a pair (2), the unrolled loops (8, 16), a block (64), the first sums by blocks (256), a segment (16384), and one to either side.
const LENGTHS = [
  1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 71, 127, 128, 129, 255, 256, 257, 321, 1023, 1024, 16383, 16384,
  16385, 33_000,
];
const SEGMENT_LENGTHS = LENGTHS.filter((length) => length <= 16384);
const MISALIGNMENTS = [0, 4, 8, 12];

const memory = new wasm.Memory({ initial: 64, maximum: 65_536, shared: true });
const X = 65_536;
const Y = X + (1 << 20);
const OUT = Y + (1 << 20);
const WEIGHT = OUT + 4096;
const BIAS = WEIGHT + (1 << 19);
let kernels: Kernels;
beforeAll(() => {
  kernels = instantiate(kernelModule(), memory, 1024);
});

function put(address: number, cells: Float32Array): void {
  new Float32Array(memory.buffer, address, cells.length).set(cells);
}

function cellsAt(address: number, length: number): Float32Array {
  return new Float32Array(memory.buffer, address, length).slice();
}

function doublesAt(address: number, length: number): Float64Array {
  return new Float64Array(memory.buffer, address, length);
}

describe("the module", () => {
  test("has no data segment, no start function, no table and no global import", () => {
    const bytes = kernelBytes();
    const sections: number[] = [];
    for (let at = 8; at < bytes.length; ) {
      sections.push(bytes[at] as number);
      let size = 0;
      let shift = 0;
      let byte: number;
      at++;
      do {
        byte = bytes[at++] as number;
        size |= (byte & 127) << shift;
        shift += 7;
      } while (byte & 128);
      at += size;
    }
    const START = 8;
    const DATA = 11;
    const DATA_COUNT = 12;
    expect(sections).not.toContain(START);
    expect(sections).not.toContain(DATA);
    expect(sections).not.toContain(DATA_COUNT);
    expect(wasm.Module.imports(kernelModule())).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
  });

  test("exports what the list of kernels names, and nothing else", () => {
    const exported = wasm.Module.exports(kernelModule()).filter(({ kind }) => kind === "function");
    const typed = ARITHMETIC.flatMap((kernel) => [exportName(kernel, "F32"), exportName(kernel, "F64")]);
    expect(exported.map(({ name }) => name).sort()).toEqual([...typed, ...OTHER_KERNELS].sort());
  });

  test("is made of files that import one way: no circles", () => {
    const folder = new URL("../../workers/kernels/", import.meta.url);
    const files = readdirSync(folder);
    const importsOf = (file: string) =>
      [...readFileSync(new URL(file, folder), "utf8").matchAll(/from "\.\/([^"]+)"/g)].map(([, name]) => `${name}.ts`);
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]) => {
      if (path.includes(file)) expect.fail(`expected no circle but got ${[...path, file].join(" -> ")}`);
      if (done.has(file)) return;
      for (const next of importsOf(file)) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(done.size).toBe(files.length);
  });

  test("leaves memory as it is when a worker starts over it", () => {
    const before = new Uint8Array(memory.buffer).slice();
    instantiate(kernelModule(), memory, 2048);
    expect(Buffer.compare(before, new Uint8Array(memory.buffer))).toBe(0);
  });
});

/** x * scale + shift as takeSingle has it. */
function onLine(x: number, scale: number, shift: number): number {
  const power = Math.sign(scale) * 2 ** Math.floor(Math.log2(Math.abs(scale)));
  const rest = Math.fround(scale - power);
  const [high, low] = rest === 0 ? [power / 2, power / 2] : [power, rest];
  return Math.fround(Math.fround(x * high) + Math.fround(Math.fround(x * low) + Math.fround(shift)));
}

describe("applyF32Run with a mean of 0", () => {
  // What float32 lanes would lose: the scale's or the shift's digits, or the product's.
  const ENDS = [0, 1e-45, 1e-38, 1e-31, 1e-29, 1e-3, 1, 3.3, 1e29, 1e31, 3e38, 1e300].flatMap((size) => [size, -size]);

  test.each(ENDS)("and a scale of %d is within 2 ulp of each result, and of every shift", (scale) => {
    const data = Float32Array.of(0, -0, 1e-45, 1e-30, -1, 3.7, 1e20, -3e38, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    put(X, data);
    for (const shift of ENDS) {
      kernels.float32.applyRun(X, Y, data.length, 0, scale, shift);
      for (const [i, y] of cellsAt(Y, data.length).entries()) {
        const [product, exact] = [(data[i] as number) * scale, (data[i] as number) * scale + shift];
        const rounded = Math.fround(exact);
        if (!Number.isFinite(rounded) || Object.is(y, rounded)) expect(y).toBe(rounded);
        else
          expect(Math.abs(y - exact)).toBeLessThanOrEqual(2 * spacing("float32", Math.abs(product) + Math.abs(shift)));
      }
    }
  });

  test.each([0.7, 1, -2, 1 / 3, 0])("and a scale of %d leaves NaN, Infinity and -0 what they are", (scale) => {
    const data = Float32Array.of(
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      -0,
      0,
      1,
      2,
      3,
      Number.NEGATIVE_INFINITY,
    );
    put(X, data);
    for (const shift of [0, 3, -3]) {
      kernels.float32.applyRun(X, Y, data.length, 0, scale, shift);
      // A shift of 0 is not added.
      const expected = data.map((x) => (shift === 0 ? x * scale : x * scale + shift));
      for (const i of [0, 1, 2, 3, 4, 8]) expect(cellsAt(Y, data.length)[i]).toBe(expected[i]);
    }
  });
});

describe.each(MISALIGNMENTS)("%i bytes off a vector's alignment", (off) => {
  test.each(SEGMENT_LENGTHS)("momentsF32Stretches of %i cells agrees with float64", (length) => {
    const data = normal(2 * length, length, 100);
    put(X + off, data);
    kernels.float32.momentsStretches(X + off, OUT, 0, 2, length, true);
    const { mean, variance } = layerNorm(data, [length]);
    for (let set = 0; set < 2; set++) {
      const [m, m2] = doublesAt(OUT + 16 * set, 2);
      expect(Math.abs((m as number) - (mean[set] as number))).toBeLessThan(1e-7);
      expect(Math.abs((m2 as number) / length - (variance[set] as number))).toBeLessThan(1e-7);
    }
  });

  test.each(LENGTHS)(
    "applyF32Run and applyF32Cells of %i cells write what their formulas have, and touch nothing beside",
    (length) => {
      const data = normal(length, length, 3);
      put(X + off, data);
      put(WEIGHT + off, normal(length, 1));
      put(BIAS + off, normal(length, 2));
      const [weight, bias] = [cellsAt(WEIGHT + off, length), cellsAt(BIAS + off, length)];
      const { applyRun, applyCells } = kernels.float32;
      const withCells = (mean: number) => () =>
        applyCells(X + off, Y + off, length, mean, 0.7, WEIGHT + off, BIAS + off);
      const weighed = (y: number, i: number) => y * (weight[i] as number);
      const apply: [() => void, (x: number, i: number) => number][] = [
        // Far from 0 float64, rounded once.
        [() => applyRun(X + off, Y + off, length, 3.1, 0.7, -0.2), (x) => (x - 3.1) * 0.7 + -0.2],
        [() => applyRun(X + off, Y + off, length, 3.1, 0.7, 0), (x) => (x - 3.1) * 0.7],
        // With weights of each cell xhat is rounded first.
        [withCells(3.1), (x, i) => Math.fround(weighed(Math.fround((x - 3.1) * 0.7), i)) + (bias[i] as number)],
        // Near it float32, each step rounded.
        [() => applyRun(X + off, Y + off, length, 0, 0.7, -0.2), (x) => onLine(x, 0.7, -0.2)],
        [() => applyRun(X + off, Y + off, length, 0, -0.7, 0), (x) => onLine(x, -0.7, -0)],
        [withCells(0.1), (x, i) => Math.fround(weighed(onLine(x, 0.7, -0.1 * 0.7), i)) + (bias[i] as number)],
      ];
      for (const [run, formula] of apply) {
        put(Y + off - 4, new Float32Array(length + 2).fill(-7));
        run();
        expectSameBits(cellsAt(Y + off, length), Float32Array.from(data, formula));
        expect(cellsAt(Y + off - 4, 1)[0]).toBe(-7);
        expect(cellsAt(Y + off + 4 * length, 1)[0]).toBe(-7);
      }
    },
  );

  test.each([...SEGMENT_LENGTHS, 16385, 32_768])(
    "normalizeF32Sets of %i cells: fused or alone, the same bits",
    (length) => {
      const sets = 5;
      const data = normal(sets * length, length, 9);
      put(X + off, data);
      doublesAt(WEIGHT, length).set(normal(length, 1));
      doublesAt(BIAS, length).set(normal(length, 2));
      for (const [weight, bias, run] of [
        [0, 0, length],
        [WEIGHT, BIAS, 1],
        [WEIGHT, BIAS, length],
      ] as const) {
        kernels.float32.normalizeSets(
          X + off,
          Y + off,
          0,
          sets,
          length,
          1,
          run,
          weight,
          bias,
          1e-5,
          0,
          MEASURE_CODES.deviation,
        );
        const fused = cellsAt(Y + off, sets * length);
        for (let set = 0; set < sets; set++) {
          kernels.float32.normalizeSets(
            X + off,
            Y + off,
            set,
            1,
            length,
            1,
            run,
            weight,
            bias,
            1e-5,
            OUT,
            MEASURE_CODES.deviation,
          );
        }
        expectSameBits(cellsAt(Y + off, sets * length), fused);
        kernels.float32.normalizeSets(
          X + off,
          X + off,
          0,
          sets,
          length,
          1,
          run,
          weight,
          bias,
          1e-5,
          0,
          MEASURE_CODES.deviation,
        );
        expectSameBits(cellsAt(X + off, sets * length), fused);
        put(X + off, data);
      }
    },
  );
});

test("the constants that the calling side has too are equal in the kernels", () => {
  const exported = wasm.Module.exports(kernelModule()).filter(({ kind }) => kind === "global");
  expect(exported.map(({ name }) => name).sort()).toEqual([...SHARED_CONSTANTS].sort());
  const { exports } = new wasm.Instance(kernelModule(), { env: { memory } });
  const values = Object.fromEntries(
    SHARED_CONSTANTS.map((name) => [name, (exports as Record<string, { value: number }>)[name]?.value]),
  );
  expect(values).toEqual({
    SEGMENT: SEGMENT_CELLS,
    APPLY_FIELDS: TABLE_FIELDS.apply,
    PROPAGATE_FIELDS: TABLE_FIELDS.propagate,
    COLUMN_NUMBERS: (STAGE_BYTES - STAGE_COLUMNS) / 8 / COLUMN_TILE,
    SINK_ROWS,
    NARROW,
    NEAR,
    CENTRED,
    NOTHING,
    DIRECT_WINDOW,
    ...Object.fromEntries(RESPONSE_STEPS.map(({ name, code }) => [name, code])),
    DEVIATION: MEASURE_CODES.deviation,
    ROOT_MEAN_SQUARE: MEASURE_CODES.rootMeanSquare,
    LENGTH: MEASURE_CODES.length,
    FLOAT32: CELL_CODES.float32,
    FLOAT64: CELL_CODES.float64,
    FLOAT16: CELL_CODES.float16,
    BFLOAT16: CELL_CODES.bfloat16,
    UINT8: CELL_CODES.uint8,
  });
});

describe("moments by blocks are summed again, or exactly, where float32 would lose digits", () => {
  const LENGTH = 4096;

  function momentsOf(data: Float32Array): { mean: number; variance: number } {
    put(X, data);
    kernels.float32.momentsStretches(X, OUT, 0, 1, data.length, true);
    const [mean, m2] = doublesAt(OUT, 2);
    return { mean: mean as number, variance: (m2 as number) / data.length };
  }

  test.each([
    ["near 1e30, whose squares overflow", normal(LENGTH, 1, 1e30, 1e29)],
    ["near 1e-30, whose squares vanish", normal(LENGTH, 1, 1e-30, 1e-31)],
    ["a first block far from all others", normal(LENGTH, 1).map((x, i) => (i < 64 ? x + 1e6 : x))],
    ["one cell far from all others", normal(LENGTH, 1).map((x, i) => (i === 0 ? 1e8 : x))],
    ["a steep ramp", Float32Array.from({ length: LENGTH }, (_, i) => i * 1000)],
    ["alternating in sign and huge", Float32Array.from({ length: LENGTH }, (_, i) => (i % 2 === 0 ? 3e38 : -3e38))],
  ])("%s", (_, data) => {
    const { mean, variance } = momentsOf(data);
    const reference = layerNorm(data, [LENGTH]);
    const expectedVariance = reference.variance[0] as number;
    // A cell's deviation and its sums are rounded to float32 six times at most, its square eight times.
    expect(Math.abs(mean - (reference.mean[0] as number))).toBeLessThan(6 * 2 ** -24 * Math.sqrt(expectedVariance));
    expect(Math.abs(variance - expectedVariance)).toBeLessThan(8 * 2 ** -24 * expectedVariance);
  });

  test("equal cells have their value as mean and no variance at all", () => {
    for (const value of [0, 0.1, -3.3e7, 1e38]) {
      expect(momentsOf(new Float32Array(LENGTH).fill(value))).toEqual({ mean: Math.fround(value), variance: 0 });
    }
  });

  test("NaN and Infinity come through as PyTorch has them: a mean of Infinity, everything else NaN", () => {
    for (const at of [0, 1, 63, 64, LENGTH - 1]) {
      const data = normal(LENGTH, 1);
      data[at] = Number.NaN;
      expect(momentsOf(data)).toEqual({ mean: Number.NaN, variance: Number.NaN });
      data[at] = Number.POSITIVE_INFINITY;
      expect(momentsOf(data)).toEqual({ mean: Number.POSITIVE_INFINITY, variance: Number.NaN });
    }
  });
});

test("infinite cells in any segment leave a mean of Infinity, as a plain sum would", () => {
  const length = 40_000;
  for (const at of [5, 20_000, length - 1]) {
    const data = normal(length, 1);
    data[at] = Number.POSITIVE_INFINITY;
    put(X, data);
    kernels.float32.normalizeSets(X, Y, 0, 1, length, 1, length, 0, 0, 1e-5, OUT, MEASURE_CODES.deviation);
    expect([...doublesAt(OUT, 2)]).toEqual([Number.POSITIVE_INFINITY, Number.NaN]);
  }
});

test("a zero keeps its sign where the mean is 0, fused or alone", () => {
  for (const length of [15, 999]) {
    put(
      X,
      Float32Array.from({ length: 3 * length }, (_, i) => [-0, 1, -1][i % 3] as number),
    );
    kernels.float32.normalizeSets(X, Y, 0, 3, length, 1, length, 0, 0, 1e-5, 0, MEASURE_CODES.deviation);
    for (let i = 0; i < 3 * length; i += 3) expect(cellsAt(Y + 4 * i, 1)[0]).toBe(-0);
  }
});

function kernelBytes(): Uint8Array {
  return readFileSync(new URL("../workers/kernels.wasm", import.meta.url));
}
