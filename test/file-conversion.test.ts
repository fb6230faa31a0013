// Tensors whose files have cells of another dtype: read as `as` says, written as `storedAs` says, held against converting in memory.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  type CreateOptions,
  type Dtype,
  LayerNorm,
  LocalResponseNorm,
  NormPool,
  type OpenOptions,
} from "../src/index.js";
import { CELL_BYTES } from "../src/plan/cells.js";
import { createTensor } from "../src/storage/file-tensor.js";
import { formatNpyHeader } from "../src/storage/npy.js";
import { descrOf } from "../src/storage/npy-cells.js";
import { fileOf } from "../src/tensor/tensor.js";
import { driverOf } from "../workers/drivers/drivers.js";
import { wasm } from "../workers/webassembly.js";
import { bytesOf, type Cells, normalNumbers, numbersOf } from "./cells.js";
import { converted, NARROWED, WIDENED } from "./converted.js";
import { backward, closeThreads, expectSameBytes, forward, ON_THREADS, onCallingThread } from "./every-way.js";
import { inFilesOf } from "./places.js";
import { CASES, inputOf, layerFor } from "./same-bits-cases.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-conversion-"));
const pool = new NormPool({ threads: 2 });
afterAll(async () => {
  await pool.close();
  await closeThreads();
  rmSync(folder, { recursive: true });
});
let files = 0;
const fresh = (suffix: string) => join(folder, `${files++}${suffix}`);

const HALVES = ["float16", "bfloat16"] as const;

/** Cells of the dtype, of uint8 about 128, and what is special: zeros, subnormals, infinities, NaN. */
function cellsOf(dtype: Dtype, count: number): Cells {
  const numbers = normalNumbers(count, 9, dtype === "uint8" ? 128 : 3, dtype === "uint8" ? 20 : 2);
  if (dtype === "uint8") return converted(dtype, numbers.map(Math.round));
  numbers.set([-0, 2 ** -24, -(2 ** -133), Infinity, -Infinity, Number.NaN, 65_504].slice(0, count));
  return converted(dtype, numbers);
}

/** What the cells are in another dtype. */
const cellsAs = (to: Dtype, from: Dtype, cells: ArrayBufferView) => converted(to, numbersOf(from, cells));

function reversed(cells: ArrayBufferView, size: number): Uint8Array {
  const bytes = bytesOf(cells);
  for (let i = 0; i < bytes.length; i += size) bytes.subarray(i, i + size).reverse();
  return bytes;
}

describe.each(WIDENED)("a file of %s opened as %s", (stored, dtype) => {
  const BIT_DESCR = { bfloat16: "<u2" } as Partial<Record<Dtype, string>>;
  const descr = BIT_DESCR[stored] ?? descrOf(stored);

  // About the cells that are read at once, too.
  test.each([0, 1, 2, 1001, 65_535, 65_536, 65_537, 200_001])(
    "has its cells, %i of them, in either order of bytes",
    async (count) => {
      const cells = cellsOf(stored, count);
      const expected = bytesOf(cellsAs(dtype, stored, cells));
      for (const order of CELL_BYTES[stored] === 1 ? ["|"] : ["<", ">"]) {
        const path = fresh(".npy");
        const header = formatNpyHeader([count], order + descr.slice(1));
        writeFileSync(
          path,
          Buffer.concat([header, order === ">" ? reversed(cells, CELL_BYTES[stored]) : bytesOf(cells)]),
        );
        using x = await pool.open(path, { dtype: stored, as: dtype });
        expect(x).toMatchObject({ dtype, shape: [count], size: count });
        expect(Buffer.compare(bytesOf(await x.read()), expected)).toBe(0);
        const [from, to] = [Math.floor(count / 3), count - Math.floor(count / 4)];
        const part = expected.subarray(from * CELL_BYTES[dtype], to * CELL_BYTES[dtype]);
        expect(Buffer.compare(bytesOf(await x.read({ from, to })), part)).toBe(0);
      }
    },
  );

  test("is computed on in it: moments and results are those of the cells converted in memory", async () => {
    const shape = [203, 301];
    const cells = cellsOf(stored, 203 * 301);
    if (stored !== "uint8") cells.fill(cells.at(-1) as number, 0, 7); // Nothing that is not finite.
    for (const order of CELL_BYTES[stored] === 1 ? ["|"] : ["<", ">"]) {
      const path = fresh(".npy");
      const bytes = order === ">" ? reversed(cells, CELL_BYTES[stored]) : bytesOf(cells);
      writeFileSync(path, Buffer.concat([formatNpyHeader(shape, order + descr.slice(1)), bytes]));
      using x = await pool.open(path, { dtype: stored, as: dtype });
      using own = pool.tensor(dtype, shape);
      new Uint8Array(own.data.buffer, own.data.byteOffset, own.data.byteLength).set(
        bytesOf(cellsAs(dtype, stored, cells)),
      );
      expect(await pool.moments(x)).toEqual(await pool.moments(own));
      const layer = new LayerNorm(301, { dtype: dtype === "float64" ? "float64" : "float32" });
      using y = await pool.forward(layer, x);
      using expected = await pool.forward(layer, own);
      expect(Buffer.compare(y.toBytes(), expected.toBytes())).toBe(0);
    }
  });
});

describe.each(NARROWED)("a tensor of %s in a file of %s", (dtype, stored) => {
  const expectedOf = (cells: Cells) => cellsAs(stored, dtype, cells);

  test.each(["npy", "safetensors", "raw"] as const)(
    "has the header and the cells of the file's dtype: %s",
    async (format) => {
      const path = fresh(`.${format}`);
      const shape = [101, 40];
      using x = pool.from(converted(dtype, normalNumbers(4040, 3)) as Float64Array, shape);
      const layer = new LayerNorm(40, { dtype: dtype === "float64" ? "float64" : "float32" });
      const exact = await pool.forward(layer, x);
      const rounded = expectedOf(exact.data as unknown as Cells);
      await using y = await pool.create(path, dtype, shape, { format, storedAs: stored });
      expect(y.dtype).toBe(dtype);
      await pool.forward(layer, x, { out: y as never });
      const widened = bytesOf(cellsAs(dtype, stored, rounded));
      expect(Buffer.compare(bytesOf(await y.read()), widened)).toBe(0);
      expect(bytesOf(await y.read({ from: 17, to: 19 }))).toEqual(
        widened.slice(17 * CELL_BYTES[dtype], 19 * CELL_BYTES[dtype]),
      );
      // A later call has what was written, not what was computed.
      const moments = await pool.moments(y);
      await y.commit();
      expect(Buffer.compare(bytesOf(await y.read()), widened)).toBe(0);
      expect(await pool.moments(y)).toEqual(moments);
      using found = await pool.open(path, { dtype: stored, ...(format === "raw" && { shape }) });
      expect(found).toMatchObject({ dtype: stored, shape });
      expect(Buffer.compare(bytesOf(await found.read()), bytesOf(rounded))).toBe(0);
      using again = await pool.open(path, { dtype: stored, as: dtype, ...(format === "raw" && { shape }) });
      expect(await pool.moments(again)).toEqual(moments);
    },
  );

  test("is written over itself as if it had been read first", async () => {
    const shape = [3000, 101];
    using x = pool.from(converted(dtype, normalNumbers(303_000, 3)) as Float64Array, shape);
    const layer = new LayerNorm(101, { dtype: dtype === "float64" ? "float64" : "float32", eps: 0.5 });
    await using y = await pool.create(fresh(".npy"), dtype, shape, { storedAs: stored });
    await pool.forward(layer, x, { out: y as never });
    using between = pool.from((await y.read()) as Float64Array, shape);
    const expected = expectedOf((await pool.forward(layer, between)).data as unknown as Cells);
    await pool.forward(layer, y as never, { out: y as never, inPlaceSafe: true });
    expect(Buffer.compare(bytesOf(await y.read()), bytesOf(cellsAs(dtype, stored, expected)))).toBe(0);
  });

  test("of no cells, and of one", async () => {
    for (const shape of [[0, 3], []]) {
      const path = fresh(".npy");
      await using y = await pool.create(path, dtype, shape, { storedAs: stored });
      expect((await y.read()).length).toBe(shape.length === 0 ? 1 : 0);
      await y.commit();
      expect(readFileSync(path).length).toBe(128 + (shape.length === 0 ? CELL_BYTES[stored] : 0));
    }
  });
});

test.each(HALVES)(
  "all 65,536 patterns of %s go from file to file as they are, a NaN as the quiet one",
  async (stored) => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
    const [from, to] = [fresh(".raw"), fresh(".raw")];
    const values = numbersOf(stored, patterns);
    const finite = patterns.filter((_, bits) => Number.isFinite(values[bits]));
    for (const [cells, expected] of [
      [finite, finite],
      [patterns, cellsAs(stored, stored, patterns)],
    ] as const) {
      writeFileSync(from, cells);
      for (const dtype of ["float32", "float64"] as const) {
        const x = await pool.open(from, { dtype: stored, shape: [1, 1, cells.length], as: dtype });
        const y = await pool.create(to, dtype, x.shape, { storedAs: stored });
        // A layer that changes nothing; what is not finite is NaN to it.
        await pool.forward(new LocalResponseNorm(1, { alpha: 0 }), x, { out: y as never });
        await y.commit();
        const found = new Uint16Array(Uint8Array.from(readFileSync(to)).buffer);
        const numbers = numbersOf(stored, cells);
        const wrong = found.findIndex((bits, i) => Number.isFinite(numbers[i]) && bits !== expected[i]);
        expect(wrong).toBe(-1);
        const quiet = stored === "float16" ? 0x7e00 : 0x7fc0;
        expect(found.every((bits, i) => !Number.isNaN(numbers[i] as number) || bits === quiet)).toBe(true);
        x.dispose();
        y.dispose();
      }
    }
  },
);

test.each(HALVES)(
  "what float32 has and %s does not is rounded once in a call: Infinity, ties, subnormals",
  async (stored) => {
    const cells = Float32Array.of(
      1e5,
      -1e5,
      3.4e38,
      -3.4e38,
      65_520,
      65_519,
      2 ** -25,
      1.5 * 2 ** -24,
      -(2 ** -149),
      -0,
      1 + 2 ** -11,
      1 + 2 ** -8,
    );
    using x = pool.from(cells, [1, 1, cells.length]);
    await using y = await pool.create(fresh(".raw"), "float32", x.shape, { storedAs: stored });
    await pool.forward(new LocalResponseNorm(1, { alpha: 0 }), x, { out: y });
    expect([...(await y.read())]).toEqual([...numbersOf(stored, converted(stored, Float64Array.from(cells)))]);
  },
);

// Rows, columns of tiles that are spans, runs, channels last, and phases of several passes; each of several slices.
const LAYOUTS = CASES.filter(([why]) =>
  [
    "rows of a few blocks",
    "rows that several threads share",
    "columns of channels of an image",
    "columns along the first axis",
    "runs of space",
    "many channels last",
    "a column for each channel",
    "planes of several segments",
    "running statistics of columns",
    "neighbouring channels, to the power that is a root",
  ].includes(why),
).map(([why, layerCase]) => [why, layerCase] as const);

/** Pairs of which each dtype is one: all pairs are the driver's tests'. */
const PAIRS = [
  ["float16", "float32"],
  ["bfloat16", "float64"],
  ["float32", "float64"],
  ["uint8", "float32"],
] as const;

describe.each(PAIRS)(
  "files of %s, computed in %s: the bits are those of converting in memory, at 1, 2 and 7 threads",
  (stored, dtype) => {
    // One folder a pair, which goes when it is done.
    const own = join(folder, `${stored}-${dtype}`);
    mkdirSync(own);
    afterAll(() => rmSync(own, { recursive: true }));
    const place = inFilesOf(own, stored);
    const rounded = (cells: Cells) => cellsAs(dtype, stored, cellsAs(stored, dtype, cells));
    const rounding = (bytes: Uint8Array | undefined) => {
      if (bytes === undefined) throw new RangeError("expected a result but there is none");
      const { buffer } = new Uint8Array(bytes);
      const cells = dtype === "float32" ? new Float32Array(buffer) : new Float64Array(buffer);
      return stored === "uint8" ? bytes : bytesOf(rounded(cells));
    };
    const inputs = (layerCase: (typeof LAYOUTS)[number][1], seed?: number) => {
      const cells = numbersOf(dtype, inputOf(layerCase, dtype, seed));
      return rounded(converted(dtype, stored === "uint8" ? cells.map((x) => Math.max(0, Math.round(20 * x))) : cells));
    };

    test.each(LAYOUTS)("%s, forward", async (_, layerCase) => {
      const call = { layerCase, layer: layerFor(layerCase, dtype), dtype, x: inputs(layerCase) };
      const { bits } = await forward({ ...call, on: onCallingThread });
      const { output: exact } = bits;
      const expected = { ...bits, output: rounding(exact) };
      for (const [what, on] of ON_THREADS)
        expectSameBytes((await forward({ ...call, on, place })).bits, expected, what);
    });

    test.skipIf(stored === "uint8").each(LAYOUTS.filter((_, i) => i % 3 === 0))(
      "%s, backward",
      async (_, layerCase) => {
        const layer = layerFor(layerCase, dtype);
        const call = { layerCase, layer, dtype, x: inputs(layerCase), g: inputs(layerCase, 12) };
        const bits = await backward({ ...call, on: onCallingThread });
        const { gradInput: exact } = bits;
        const expected = { ...bits, gradInput: rounding(exact) };
        for (const [what, on] of ON_THREADS) expectSameBytes(await backward({ ...call, on, place }), expected, what);
      },
    );
  },
);

describe("the driver converts runs, and touches nothing beside them", () => {
  /** Cells of rows and between them: about what is read with what is between, what is converted at once, and pieces of long rows. */
  const RUNS = [1, 3, 1000, 4097, 65_536, 131_072, 131_073, 140_000].flatMap((width) =>
    [1, 2, 5].flatMap((rows) => [0, 1, 30, 5000].map((between) => ({ at: 5 + between, rows, width, between }))),
  );
  const CELLS = RUNS.reduce((most, { at, rows, width, between }) => Math.max(most, at + rows * (width + between)), 0);
  const memory = new wasm.Memory({ initial: 256, maximum: 65_536, shared: true });
  const STAGE = 65_536;

  const runsOf = ({ at, rows, width, between }: (typeof RUNS)[number], size: number) => ({
    at: at * size,
    rows,
    bytes: width * size,
    stride: (width + between) * size,
  });

  test.each(WIDENED)("loads %s as %s", async (stored, dtype) => {
    const path = fresh(".raw");
    const cells = cellsOf(stored, CELLS);
    const size = CELL_BYTES[dtype];
    const all = bytesOf(cellsAs(dtype, stored, cells));
    writeFileSync(path, Buffer.concat([Buffer.alloc(3), bytesOf(cells)]));
    using x = await pool.open(path, { dtype: stored, shape: [CELLS], offset: 3, as: dtype });
    const driver = driverOf(fileOf(x) as NonNullable<ReturnType<typeof fileOf>>);
    const spec = driver.open?.(fileOf(x) as never) as never;
    for (const run of RUNS) {
      const runs = runsOf(run, size);
      const length = runs.rows * runs.bytes;
      const stage = new Uint8Array(memory.buffer, STAGE - 8, length + 16).fill(7);
      driver.load(spec, runs, memory, STAGE);
      const expected = new Uint8Array(length + 16).fill(7);
      for (let row = 0; row < runs.rows; row++) {
        const start = runs.at + row * runs.stride;
        expected.set(all.subarray(start, start + runs.bytes), 8 + row * runs.bytes);
      }
      expect(Buffer.compare(stage, expected), JSON.stringify(run)).toBe(0);
    }
    driver.close?.(spec);
  });

  test.each(NARROWED)("stores %s as %s, and leaves the stage as it is", async (dtype, stored) => {
    await using y = await createTensor("test", fresh(".raw"), dtype, [CELLS], { storedAs: stored });
    const spec = fileOf(y) as NonNullable<ReturnType<typeof fileOf>>;
    const driver = driverOf(spec);
    const size = CELL_BYTES[stored];
    const most = cellsOf(dtype, 5 * 140_000);
    const narrow = bytesOf(cellsAs(stored, dtype, most));
    const stage = new Uint8Array(memory.buffer, STAGE, most.byteLength);
    stage.set(bytesOf(most));
    const expected = new Uint8Array(CELLS * size);
    for (const run of RUNS) {
      driver.store(spec as never, runsOf(run, CELL_BYTES[dtype]), memory, STAGE, false);
      const { at, rows, bytes, stride } = runsOf(run, size);
      for (let row = 0; row < rows; row++) {
        expected.set(narrow.subarray(row * bytes, (row + 1) * bytes), at + row * stride);
      }
      const found = readFileSync(spec.path);
      expect(Buffer.compare(found, expected), JSON.stringify(run)).toBe(0);
    }
    expect(Buffer.compare(stage, bytesOf(most))).toBe(0);
  });
});

describe("what would lose digits, or has no sense, is refused", () => {
  test.each<[stored: Dtype, as: unknown, message: string]>([
    ["float32", "float16", 'expected dtype float32, float64 for as, of a file of float32, but got "float16"'],
    ["float64", "float32", 'expected dtype float64 for as, of a file of float64, but got "float32"'],
    ["float16", "bfloat16", "float32, float64, float16 for as, of a file of float16"],
    ["bfloat16", "float16", "float32, float64, bfloat16 for as, of a file of bfloat16"],
    ["float32", "uint8", "for as, of a file of float32"],
    ["float32", "int8", 'but got "int8"'],
    ["float32", 7, "but got 7"],
  ])("a file of %s as %o", async (stored, as, message) => {
    const path = fresh(".raw");
    writeFileSync(path, new Uint8Array(16));
    const options = { dtype: stored, shape: [2], as } as OpenOptions;
    const call = pool.open(path, options);
    await expect(call).rejects.toMatchObject({ code: "unsupported-dtype", operation: "pool.open" });
    await expect(pool.open(path, options)).rejects.toThrow(message);
  });

  test.each<[dtype: Dtype, storedAs: unknown, message: string]>([
    [
      "float32",
      "float64",
      'expected dtype float32, float16, bfloat16 for storedAs, of a tensor of float32, but got "float64"',
    ],
    ["float16", "bfloat16", 'expected dtype float16 for storedAs, of a tensor of float16, but got "bfloat16"'],
    ["float32", "uint8", "for storedAs, of a tensor of float32"],
    ["uint8", "float32", "expected dtype uint8 for storedAs, of a tensor of uint8"],
    ["float32", "int8", 'but got "int8"'],
  ])("a tensor of %s stored as %o", async (dtype, storedAs, message) => {
    const call = pool.create(fresh(".npy"), dtype, [2], { storedAs } as CreateOptions);
    await expect(call).rejects.toThrow(message);
    await expect(call).rejects.toMatchObject({ code: "unsupported-dtype", operation: "pool.create" });
  });

  test("a tensor that is converted and writable", async () => {
    const path = fresh(".raw");
    writeFileSync(path, new Uint8Array(16));
    const call = pool.open(path, { dtype: "float16", shape: [2], as: "float32", writable: true });
    await expect(call).rejects.toThrow("expected false for a tensor that is converted (as) for writable but got true");
    using x = await pool.open(path, { dtype: "float16", shape: [2], as: "float32" });
    await expect(pool.forward(new LayerNorm(2), x, { out: x })).rejects.toThrow("for out");
  });

  test("the file's own dtype is none of another", async () => {
    const path = fresh(".raw");
    writeFileSync(path, Uint8Array.of(1, 2, 3, 4));
    using x = await pool.open(path, { dtype: "uint8", shape: [4], as: "uint8" });
    expect([...(await x.read())]).toEqual([1, 2, 3, 4]);
    await using y = await pool.create(fresh(".npy"), "float16", [2], { storedAs: "float16" });
    expect(y.dtype).toBe("float16");
  });
});
