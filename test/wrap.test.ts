// Tensors on shared memory of the caller's: staged a tile at a time, with the bits of tensors in the pool's memory.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  type Dtype,
  GroupNorm,
  InstanceNorm2d,
  type Layer,
  LayerNorm,
  LocalResponseNorm,
  NormPool,
  RMSNorm,
  type SetMoments,
  SyncBatchNorm,
  type Tensor,
} from "../src/index.js";
import { CELL_BYTES } from "../src/plan/cells.js";
import { DTYPES } from "../src/tensor/dtype.js";
import { badArgument, expectRejects, expectThrows } from "./refusal.js";
import { normal, seeded } from "./support.js";

const pool = new NormPool({ threads: 3 });
const other = new NormPool({ threads: 1 });
afterAll(() => Promise.all([pool.close(), other.close()]));

/** Where a tensor's cells are. */
type Where = "arena" | "wrapped" | "apart";

/** A tensor of zeros. Wrapped ones begin anywhere that an element may, those apart 8 bytes from a cache line. */
function zeros(where: Where, dtype: Dtype, shape: readonly number[]): Tensor {
  if (where === "arena") return pool.tensor(dtype, shape);
  const bytes = CELL_BYTES[dtype];
  const { view } = DTYPES[dtype];
  const cells = shape.reduce((a, b) => a * b, 1);
  const byteOffset = where === "wrapped" ? 5 * bytes : 72;
  return pool.wrap(view(new SharedArrayBuffer(cells * bytes + 128), byteOffset, cells), shape, dtype);
}

function bytesOf({ data }: Tensor): Uint8Array {
  return byteArray(data);
}

function byteArray(data: ArrayBufferView | null): Uint8Array {
  return data === null ? new Uint8Array() : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function copyTo(where: Where, tensor: Tensor): Tensor {
  const copy = zeros(where, tensor.dtype, tensor.shape);
  bytesOf(copy).set(bytesOf(tensor));
  return copy;
}

/** Numbers about 1 as any dtype has them. */
function filled(dtype: Dtype, shape: readonly number[], seed: number): Tensor {
  const tensor = zeros("arena", dtype, shape);
  if (dtype === "float32" || dtype === "float64") {
    (tensor as Tensor<"float32">).data.set(normal(tensor.size, seed, 4, 2));
    return tensor;
  }
  const random = seeded(seed);
  const { buffer, byteOffset, length } = tensor.data;
  const bits =
    dtype === "uint8" ? new Uint8Array(buffer, byteOffset, length) : new Uint16Array(buffer, byteOffset, length);
  const one = { float16: 0x3c00, bfloat16: 0x3f80, uint8: 0 }[dtype];
  for (let i = 0; i < length; i++) bits[i] = dtype === "uint8" ? random() * 256 : one + ((random() * 256) | 0);
  return tensor;
}

function expectSameCells(actual: Tensor, expected: Tensor): void {
  const [a, b] = [bytesOf(actual), bytesOf(expected)];
  if (Buffer.compare(a, b) === 0) return;
  const at = a.findIndex((byte, i) => byte !== b[i]);
  const cell = Math.floor(at / CELL_BYTES[actual.dtype]);
  expect.fail(
    `cell ${cell} of ${a.length} bytes: got ${actual.data[cell]}, expected the bits of ${expected.data[cell]}`,
  );
}

type Make = (options: { dtype: "float32" | "float64" }) => Layer;
type Case = readonly [name: string, make: Make, shape: readonly number[], channelAxis?: number];

/** Shapes of which each phase and layout takes several tiles of a slice or several slices. */
const CASES: readonly Case[] = [
  ["LayerNorm", (o) => new LayerNorm(1000, o), [201, 1000]],
  ["LayerNorm of rows of 3", (o) => new LayerNorm(3, o), [50_001, 3]],
  ["LayerNorm of rows larger than a tile", (o) => new LayerNorm(70_001, o), [3, 70_001]],
  ["LayerNorm of a row split over workers", (o) => new LayerNorm(300_001, o), [2, 300_001]],
  ["RMSNorm", (o) => new RMSNorm(517, o), [401, 517]],
  ["GroupNorm", (o) => new GroupNorm(3, 6, o), [5, 6, 77, 71]],
  ["GroupNorm of large groups", (o) => new GroupNorm(1, 3, o), [2, 3, 300, 301]],
  ["GroupNorm of large groups and little space", (o) => new GroupNorm(2, 60_000, o), [2, 60_000, 9]],
  ["GroupNorm of little space", (o) => new GroupNorm(2, 6, o), [5003, 6, 5]],
  ["GroupNorm, channels last", (o) => new GroupNorm(2, 12, o), [9, 40, 41, 12], -1],
  ["GroupNorm, channels between", (o) => new GroupNorm(2, 6, o), [7, 50, 6, 61], 2],
  ["InstanceNorm2d", (o) => new InstanceNorm2d(7, { affine: true, ...o }), [5, 7, 71, 67]],
  ["InstanceNorm2d, channels last", (o) => new InstanceNorm2d(5, { ...o }), [300, 23, 19, 5], -1],
  ["BatchNorm2d", (o) => new BatchNorm2d(3, o), [4, 3, 131, 137]],
  ["BatchNorm2d of small planes", (o) => new BatchNorm2d(19, o), [301, 19, 7, 7]],
  ["BatchNorm2d, channels last", (o) => new BatchNorm2d(19, o), [31, 17, 13, 19], -1],
  ["BatchNorm1d", (o) => new BatchNorm1d(701, o), [1300, 701]],
  ["BatchNorm2d in evaluation", (o) => new BatchNorm2d(3, o).eval(), [4, 3, 131, 137]],
  ["BatchNorm2d of small planes in evaluation", (o) => new BatchNorm2d(19, o).eval(), [301, 19, 7, 7]],
  ["BatchNorm1d in evaluation", (o) => new BatchNorm1d(701, o).eval(), [300, 701]],
  ["LocalResponseNorm", () => new LocalResponseNorm(5), [3, 40, 37, 41]],
  ["LocalResponseNorm of little space", () => new LocalResponseNorm(3), [301, 40, 13]],
  ["a small LayerNorm", (o) => new LayerNorm(33, o), [7, 33]],
  ["a small GroupNorm, channels last", (o) => new GroupNorm(2, 6, o), [3, 5, 7, 6], -1],
  ["a small BatchNorm1d", (o) => new BatchNorm1d(5, o), [11, 5]],
  ["a small BatchNorm2d", (o) => new BatchNorm2d(5, o), [11, 5, 6, 7]],
];

function layerOf(make: Make, dtype: Dtype): Layer {
  const layer = make({ dtype: dtype === "float64" ? "float64" : "float32" });
  const { weight, bias, runningMean, runningVar } = layer as Partial<BatchNorm2d>;
  weight?.set(normal(weight.length, 5, 1, 0.5));
  bias?.set(normal(bias.length, 6));
  runningMean?.set(normal(runningMean.length, 7, 4));
  runningVar?.set(normal(runningVar.length, 8, 4).map(Math.abs));
  return layer;
}

describe.each(CASES.map((values) => ({ name: values[0], values })))("$name has the same bits", ({ values }) => {
  const [, make, shape, channelAxis] = values;
  const from: Where[] = ["wrapped", "apart", "arena"];

  test.each(Object.keys(DTYPES) as Dtype[])("forward, of %s", async (dtype) => {
    const x = filled(dtype, shape, 1);
    const layer = layerOf(make, dtype);
    const expected = await pool.forward(layer, x, { channelAxis });
    for (const [at, to] of [
      ["wrapped", "wrapped"],
      ["apart", "arena"],
      ["arena", "apart"],
      ["apart", "wrapped"],
    ] as const) {
      const out = zeros(to, expected.dtype, shape) as Tensor<never>;
      const input = copyTo(at, x);
      expect(await pool.forward(layerOf(make, dtype), input, { out, channelAxis })).toBe(out);
      expectSameCells(out, expected);
      expectSameCells(input, x);
    }
    if (dtype === "uint8") return;
    const place = copyTo("wrapped", x);
    await pool.forward(layerOf(make, dtype), place, { out: place as Tensor<never>, channelAxis });
    expectSameCells(place, expected);
  });

  test.each(["float32", "float64", "float16", "bfloat16"] as const)("backward, of %s", async (dtype) => {
    const x = filled(dtype, shape, 1);
    const g = filled(dtype, shape, 2);
    const expected = await pool.backward(layerOf(make, dtype), { input: x, gradOutput: g, channelAxis });
    for (const [i, where] of from.entries()) {
      const input = copyTo(where, x);
      const gradOutput = copyTo(from[(i + 1) % 3] ?? "arena", g);
      const outs = [zeros(from[(i + 2) % 3] ?? "arena", dtype, shape), i === 0 ? input : gradOutput];
      for (const out of outs as Tensor<never>[]) {
        const found = await pool.backward(layerOf(make, dtype), { input, gradOutput, out, channelAxis });
        expectSameCells(found.gradInput, expected.gradInput);
        for (const of of ["gradWeight", "gradBias"] as const) {
          if (expected[of] === null) expect(found[of]).toBeNull();
          else expect(Buffer.compare(byteArray(found[of]), byteArray(expected[of]))).toBe(0);
        }
      }
    }
  });

  test("moments", async () => {
    const x = filled("float32", shape, 1);
    const layer = layerOf(make, "float32");
    const input = copyTo("wrapped", x);
    expect(await pool.moments(input)).toEqual(await pool.moments(x));
    if (layer instanceof LocalResponseNorm || (layer instanceof BatchNorm2d && !layer.training)) return;
    if (!layer.training) return;
    expect(await pool.momentsOf(layer, input, { channelAxis })).toEqual(
      await pool.momentsOf(layer, x, { channelAxis }),
    );
    let told: SetMoments | undefined;
    const onMoments = (found: SetMoments) => {
      told = found;
    };
    await pool.forward(layer, input, { channelAxis, onMoments });
    expect(told).toEqual(await pool.momentsOf(layer, x, { channelAxis }));
  });
});

test("gradientSums have the same bits", async () => {
  const shape = [31, 5, 90, 91];
  const layer = new SyncBatchNorm(5);
  const [x, g] = [filled("float32", shape, 1), filled("float32", shape, 2)];
  const moments = await pool.momentsOf(layer, x);
  const expected = await pool.gradientSums(layer, { input: x, gradOutput: g, moments });
  const wrapped = { input: copyTo("wrapped", x), gradOutput: copyTo("apart", g), moments } as const;
  expect(await pool.gradientSums(layer, wrapped as never)).toEqual(expected);
  expect(await pool.gradientSums(layer, { ...wrapped, gradOutput: g } as never)).toEqual(expected);
});

test("a tensor of another pool is one on shared memory too", async () => {
  const x = filled("float32", [300, 1000], 1) as Tensor<"float32">;
  const layer = new LayerNorm(1000);
  const input = other.from(x.data, x.shape);
  const out = other.tensor("float32", x.shape);
  await pool.forward(layer, input, { out });
  expectSameCells(out, await pool.forward(layer, x));
  input.dispose();
  await expectRejects(() => pool.forward(layer, input), badArgument("x", "a live tensor for x but got a disposed one"));
});

test("a wrapped tensor's data is the array, and disposing of the tensor leaves it alone", async () => {
  const data = new Float32Array(new SharedArrayBuffer(48), 8, 6).fill(3);
  const x = pool.wrap(data, [2, 3]);
  expect([x.data, x.dtype, x.shape]).toEqual([data, "float32", [2, 3]]);
  expect(x.data).toBe(data);
  expect(pool.wrap(data).shape).toEqual([6]);
  const large = pool.wrap(new Float32Array(new SharedArrayBuffer(4 << 20)));
  const running = pool.moments(large);
  large.dispose();
  expect((await running).count).toBe(1 << 20);
  x.dispose();
  x.dispose();
  expect(() => x.data).toThrow("a disposed one");
  expect([...data]).toEqual([3, 3, 3, 3, 3, 3]);
  await expectRejects(() => pool.moments(x), badArgument("x", "a live tensor for x but got a disposed one"));
});

describe("wrap refuses", () => {
  const shared = new SharedArrayBuffer(48);
  test("memory that is not shared, and says what to do", () => {
    const words =
      "expected a typed array on a SharedArrayBuffer (pool.from copies any) for array but got one on an ArrayBuffer";
    expectThrows(() => pool.wrap(new Float32Array(6) as never, [6]), {
      ...badArgument("array", words),
      operation: "pool.wrap",
    });
  });
  test("a shape of another number of elements", () => {
    const words = "expected 8 elements for shape [2, 4] but got 12";
    expectThrows(() => pool.wrap(new Float32Array(shared), [2, 4]), { code: "invalid-shape", shape: [2, 4], words });
  });
  test("what is no array, or one of no dtype, or of another", () => {
    const unsupported = (words: string) => ({ code: "unsupported-dtype", operation: "pool.wrap", words }) as const;
    expectThrows(() => pool.wrap(shared as never), unsupported('got "SharedArrayBuffer"'));
    expectThrows(() => pool.wrap(new Int32Array(shared) as never), unsupported('got "Int32Array"'));
    expectThrows(
      () => pool.wrap(new Uint16Array(shared) as never),
      unsupported("float16 or bfloat16 for a Uint16Array"),
    );
    expectThrows(() => pool.wrap(new Float32Array(shared), [12], "float64" as never), unsupported("float32"));
  });
});

test("an out that has a part of an input's memory is refused; all of it is in place", async () => {
  const buffer = new SharedArrayBuffer(4096);
  const at = (byteOffset: number) => pool.wrap(new Float32Array(buffer, byteOffset, 100), [10, 10]);
  const layer = new LayerNorm(10);
  const words = "expected exactly an input's memory, or none of it for out but got an overlap";
  const [input, gradOutput] = [at(400), at(1200)];
  for (const out of [at(4), at(796)]) {
    await expectRejects(() => pool.forward(layer, input, { out }), {
      ...badArgument("out", words),
      operation: "LayerNorm",
    });
    await expectRejects(() => pool.backward(layer, { input, gradOutput, out }), badArgument("out", words));
  }
  await expectRejects(() => pool.backward(layer, { input, gradOutput, out: at(1000) }), badArgument("out", words));
  for (const out of [at(0), at(800), at(400)]) await pool.forward(layer, input, { out });
  // A view of a tensor of the pool is memory of the pool's, which the tensor has too.
  const x = pool.tensor("float32", [20, 10]);
  const half = pool.wrap(x.data.subarray(0, 100), [10, 10]);
  const other = pool.wrap(x.data.subarray(50, 150), [10, 10]);
  await expectRejects(() => pool.forward(layer, half, { out: other }), badArgument("out", words));
});

// 6 GiB of memory, and a quarter of a minute to touch it: npm test has it with NORMPOOL_TEST_LARGE=1.
const { NORMPOOL_TEST_LARGE } = process.env;
test.runIf(NORMPOOL_TEST_LARGE)("a tensor of 6 GiB, as rows and as one row", async () => {
  const pattern = normal(1 << 20, 1, 5, 2);
  const cells = 1.5 * 2 ** 30;
  const data = new Float32Array(new SharedArrayBuffer(4 * cells));
  for (let at = 0; at < cells; at += pattern.length) data.set(pattern, at);
  const part = await pool.moments(pool.from(pattern));
  const found = await pool.moments(pool.wrap(data));
  expect(found.count).toBe(cells);
  expect(found.mean).toBeCloseTo(part.mean, 12);
  expect(found.m2 / cells).toBeCloseTo(part.m2 / part.count, 12);

  const x = pool.wrap(data, [cells / 1024, 1024]);
  expect(await pool.forward(new LayerNorm(1024), x, { out: x })).toBe(x);
  const rows = pool.from(pattern, [1024, 1024]);
  await pool.forward(new LayerNorm(1024), rows, { out: rows });
  const row = new LayerNorm(cells, { elementwiseAffine: false });
  const last = data.subarray(cells - pattern.length);
  expect(Buffer.compare(byteArray(last), byteArray(rows.data))).toBe(0);

  const whole = pool.wrap(data);
  await pool.forward(row, whole, { out: whole });
  const { mean, m2, count } = await pool.moments(whole);
  expect([mean, m2 / count, last[0]]).toEqual([
    expect.closeTo(0, 6),
    expect.closeTo(1, 4),
    expect.closeTo(rows.data[0] as number, 4),
  ]);
});
