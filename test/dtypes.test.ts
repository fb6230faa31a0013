// Dtypes as callers meet them: tensors of each, and what comes out of what goes in.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  type Dtype,
  GroupNorm,
  InstanceNorm1d,
  type Layer,
  LayerNorm,
  LocalResponseNorm,
  NormPool,
  RMSNorm,
  SyncBatchNorm,
} from "../src/index.js";
import { expectThrows, type Refusal } from "./refusal.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

type ArrayClass = new (values: Iterable<number>) => Uint16Array;
/** Of Node 24 and later. */
const Float16: ArrayClass | undefined = Reflect.get(globalThis, "Float16Array");
const ALL: readonly Dtype[] = ["float32", "float64", "float16", "bfloat16", "uint8"];
const BYTES = { float32: 4, float64: 8, float16: 2, bfloat16: 2, uint8: 1 } as const;
const ARRAYS = {
  float32: "Float32Array",
  float64: "Float64Array",
  float16: Float16 === undefined ? "Uint16Array" : "Float16Array",
  bfloat16: "Uint16Array",
  uint8: "Uint8Array",
} as const;
/** 1.5, -2 and 0.5, as float16 and as bfloat16. */
const HALVES = Uint16Array.of(0x3e00, 0xc000, 0x3800);
const BRAINS = Uint16Array.of(0x3fc0, 0xc000, 0x3f00);
const bits = (data: ArrayBufferView) => [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)];

describe("pool.tensor", () => {
  test.each(ALL)("of %s is zeros in shared memory", (dtype) => {
    const { data, shape, ...x } = pool.tensor(dtype, [2, 3]);
    expect(x.dtype).toBe(dtype);
    expect(shape).toEqual([2, 3]);
    expect(data.constructor.name).toBe(ARRAYS[dtype]);
    expect([data.length, data.byteLength]).toEqual([6, 6 * BYTES[dtype]]);
    expect(data.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(bits(data).every((byte) => byte === 0)).toBe(true);
  });

  test("of other dtypes there are none, whatever Python calls them", () => {
    const names = [
      "float",
      "double",
      "half",
      "int8",
      "int64",
      "bool",
      "torch.float32",
      "Float32",
      "",
      null,
      undefined,
      32,
      Float32Array,
    ];
    for (const dtype of names) {
      const words = "pool.tensor: expected dtype float32, float64, float16, bfloat16, uint8 but got ";
      expectThrows(() => pool.tensor(dtype as never, [2]), { code: "unsupported-dtype", words });
    }
  });
});

describe("pool.from", () => {
  test.each<[string, ArrayBufferView & { length: number }, Dtype | undefined, Dtype]>([
    ["a Float32Array", Float32Array.of(1.5, -2, 0.5), undefined, "float32"],
    ["a Float32Array", Float32Array.of(1.5, -2, 0.5), "float32", "float32"],
    ["a Float64Array", Float64Array.of(1.5, -2, Number.MIN_VALUE), undefined, "float64"],
    ["a Uint16Array", HALVES, "float16", "float16"],
    ["a Uint16Array", BRAINS, "bfloat16", "bfloat16"],
    ["a Uint8Array", Uint8Array.of(0, 1, 255), undefined, "uint8"],
    ["a Uint8ClampedArray", Uint8ClampedArray.of(0, 1, 255), "uint8", "uint8"],
    ["a Buffer", Buffer.from([0, 1, 255]), undefined, "uint8"],
    ["a part of an array", new Float32Array([9, 1, 2, 3, 9]).subarray(1, 4), undefined, "float32"],
    ["shared memory", new Float64Array(new SharedArrayBuffer(24)), undefined, "float64"],
  ])("copies the bits of %s, %o said: %s", (_, array, said, dtype) => {
    const x = pool.from(array as Float32Array, [3], said as "float32");
    expect(x.dtype).toBe(dtype);
    expect(x.data.constructor.name).toBe(ARRAYS[dtype]);
    expect(bits(x.data)).toEqual(bits(array));
    expect(x.data.buffer).not.toBe(array.buffer);
  });

  test("without a shape has one dimension", () => {
    expect(pool.from(new Float32Array(3)).shape).toEqual([3]);
    expect(pool.from(HALVES as never, undefined, "float16" as never).shape).toEqual([3]);
  });

  test.skipIf(Float16 === undefined)("copies a Float16Array, which needs no dtype said", () => {
    const x = pool.from(new (Float16 as ArrayClass)([1.5, -2, 0.5]) as never);
    expect([x.dtype, ...x.data]).toEqual(["float16", 1.5, -2, 0.5]);
    expect([...pool.from(HALVES, [3], "float16").data]).toEqual([1.5, -2, 0.5]);
  });

  test.each<[string, unknown, unknown, string]>([
    [
      "a Uint16Array, which may be either half,",
      HALVES,
      undefined,
      "expected dtype float16 or bfloat16 for a Uint16Array but got undefined",
    ],
    ["a Uint16Array as float32", HALVES, "float32", 'float16 or bfloat16 for a Uint16Array but got "float32"'],
    [
      "a Float32Array as float64",
      new Float32Array(3),
      "float64",
      'expected dtype float32 for a Float32Array but got "float64"',
    ],
    [
      "a Float32Array as float16: nothing is rounded",
      new Float32Array(3),
      "float16",
      'float32 for a Float32Array but got "float16"',
    ],
    ["a Float64Array as float32", new Float64Array(3), "float32", 'float64 for a Float64Array but got "float32"'],
    ["a Uint8Array as float32", new Uint8Array(3), "float32", 'uint8 for a Uint8Array but got "float32"'],
    ["a Float32Array as what is no dtype", new Float32Array(3), "half", 'float32 for a Float32Array but got "half"'],
    [
      "an Int32Array",
      new Int32Array(3),
      undefined,
      'Float16Array, Uint16Array, Uint8Array, Uint8ClampedArray but got "Int32Array"',
    ],
    ["a BigInt64Array", new BigInt64Array(3), undefined, 'but got "BigInt64Array"'],
    ["a DataView", new DataView(new ArrayBuffer(12)), undefined, 'but got "DataView"'],
    ["a plain array", [1, 2, 3], undefined, 'but got "Array"'],
    ["a buffer", new ArrayBuffer(12), undefined, 'but got "ArrayBuffer"'],
    ["nothing", undefined, undefined, 'but got "undefined"'],
  ])("refuses %s", (_, array, dtype, words) => {
    const refusal: Refusal = { code: "unsupported-dtype", operation: "pool.from", words };
    expectThrows(() => pool.from(array as Float32Array, [3], dtype as "float32"), refusal);
  });
});

const LAYERS: readonly [string, (dtype: "float32" | "float64") => Layer, number[]][] = [
  ["LayerNorm", (dtype) => new LayerNorm(3, { dtype }), [4, 2, 3]],
  ["RMSNorm", (dtype) => new RMSNorm(3, { dtype }), [4, 2, 3]],
  ["GroupNorm", (dtype) => new GroupNorm(1, 2, { dtype }), [4, 2, 3]],
  ["BatchNorm1d", (dtype) => new BatchNorm1d(2, { dtype }), [4, 2, 3]],
  ["BatchNorm1d in evaluation", (dtype) => new BatchNorm1d(2, { dtype }).eval(), [4, 2, 3]],
  ["SyncBatchNorm", (dtype) => new SyncBatchNorm(2, { dtype }), [4, 2, 3]],
  ["InstanceNorm1d", (dtype) => new InstanceNorm1d(2, { dtype, affine: true, trackRunningStats: true }), [4, 2, 3]],
  ["LocalResponseNorm", () => new LocalResponseNorm(2), [4, 2, 3]],
];

describe.each(LAYERS)("%s", (_, make, shape) => {
  test.each(ALL)("returns the input's dtype, of uint8 float32, also in place or in out: %s", async (dtype) => {
    const layer = make(dtype === "float64" ? "float64" : "float32");
    const expected = dtype === "uint8" ? "float32" : dtype;
    const x = pool.tensor(dtype, shape);
    new Uint8Array(x.data.buffer, x.data.byteOffset, x.data.byteLength).fill(0x3c);
    const y = await pool.forward(layer, x);
    expect(y.dtype).toBe(expected);
    const out = pool.tensor(expected, shape);
    expect(await pool.forward(make(expected === "float64" ? "float64" : "float32"), x, { out: out as never })).toBe(
      out,
    );
    expect(out.data).toEqual(y.data);
    if (dtype === "uint8")
      await expect(pool.forward(layer, x, { out: x as never })).rejects.toThrow(
        "expected dtype float32 for out but got uint8",
      );
    else expect(await pool.forward(layer, x, { out: x as never })).toBe(x);
  });

  test.each(["float32", "float64", "float16", "bfloat16"] as const)(
    "has the input's gradient in its dtype, the parameters' in theirs: %s",
    async (dtype) => {
      const own = dtype === "float64" ? "float64" : "float32";
      const layer = make(own);
      const [input, gradOutput, out] = [
        pool.tensor(dtype, shape),
        pool.tensor(dtype, shape),
        pool.tensor(dtype, shape),
      ];
      const { gradInput, gradWeight, gradBias } = await pool.backward<typeof dtype>(layer, {
        input,
        gradOutput,
        out,
      } as never);
      expect(gradInput).toBe(out);
      expect(gradInput.dtype).toBe(dtype);
      const { weight = null, bias = null } = layer as { weight?: object | null; bias?: object | null };
      expect([gradWeight?.constructor, gradBias?.constructor]).toEqual([weight?.constructor, bias?.constructor]);
      for (const gradient of [gradWeight, gradBias]) if (gradient) expect(gradient.constructor.name).toBe(ARRAYS[own]);
    },
  );
});
