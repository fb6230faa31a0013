// No assignment makes a call touch other cells than its tensors'.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  GroupNorm,
  InstanceNorm1d,
  InvalidArgumentError,
  type Layer,
  LayerNorm,
  LazyBatchNorm1d,
  LocalResponseNorm,
  NormPool,
  RMSNorm,
  type Shape,
  SyncBatchNorm,
  type Tensor,
  UnitNorm,
} from "../src/index.js";
import type { LayerCall } from "../src/layers/layer.js";
import { cellsOf } from "../src/tensor/shape.js";
import { badArgument, expectRejects, expectThrows } from "./refusal.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
const other = new NormPool({ threads: 1 });
afterAll(() => Promise.all([pool.close(), other.close()]));

const plain = new LayerNorm(4, { elementwiseAffine: false });

describe("a tensor", () => {
  test.each(["dtype", "shape", "data", "size", "dispose", "toBytes", "holding"])("has no %s to assign", (field) => {
    const x = pool.from(normal(16, 1), [4, 4]);
    const before = Reflect.get(x, field);
    expect(() => Object.assign(x, { [field]: [100, 4] })).toThrow(TypeError);
    expect(Reflect.defineProperty(x, field, { value: [100, 4] })).toBe(false);
    expect(Reflect.deleteProperty(x, field)).toBe(!Object.hasOwn(x, field));
    expect(Reflect.get(x, field)).toBe(before);
    expect(() => (x.shape as number[]).push(2)).toThrow(TypeError);
    expect(() => Object.assign(x.shape, { 0: 100 })).toThrow(TypeError);
  });

  test("is computed on where it is, whatever its array says of itself", async () => {
    const shared = new SharedArrayBuffer(4 * 64);
    const tensors: Record<string, Tensor<"float32">> = {
      own: pool.from(normal(16, 1), [4, 4]),
      ofAnotherPool: other.from(normal(16, 1), [4, 4]),
      wrapped: pool.wrap(new Float32Array(shared, 64, 16), [4, 4]),
    };
    new Float32Array(shared, 64, 16).set(normal(16, 1));
    const expected = (await pool.forward(plain, pool.from(normal(16, 1), [4, 4]))).data.slice();
    for (const x of Object.values(tensors)) {
      const { data } = x;
      const cells = new Float32Array(data.buffer, data.byteOffset, 16);
      Object.defineProperties(data, {
        byteOffset: { value: 128 },
        length: { value: 8 },
        byteLength: { value: 32 },
        buffer: { value: new SharedArrayBuffer(1024) },
      });
      await pool.forward(plain, x, { out: x });
      expectSameBits(cells.slice(), expected);
      expect(x.toBytes()).toEqual(new Uint8Array(expected.buffer));
    }
    expect([...new Float32Array(shared, 0, 16), ...new Float32Array(shared, 128)].every((cell) => cell === 0)).toBe(
      true,
    );
  });

  test("is no Proxy of one, nor what inherits from one", async () => {
    const x = pool.from(normal(16, 1), [4, 4]);
    for (const [value, words] of [
      [new Proxy(x, {}), "a tensor for x but got a Proxy"],
      [Object.create(x), "a tensor for x but got Tensor"],
    ] as const) {
      await expectRejects(() => pool.forward(plain, value as typeof x), badArgument("x", words));
      expectThrows(() => value.data, badArgument("this", "tensor.data: expected a tensor for this"));
      expectThrows(() => value.dispose(), badArgument("this", "tensor.dispose: expected a tensor for this"));
    }
    expect(x.data.length).toBe(16);
  });

  test.each(["calling thread", "workers"])(
    "that an option's getter disposes of is refused, not computed on: %s",
    async (where) => {
      const shape = where === "workers" ? [300_000, 4] : [4, 4];
      const x = pool.tensor("float32", shape);
      const out = pool.tensor("float32", shape);
      const options = {
        out,
        get onMoments() {
          out.dispose();
          return () => {};
        },
      };
      await expect(pool.forward(plain, x, options)).rejects.toThrow(InvalidArgumentError);
      const weighted = new LayerNorm(4);
      const { weight } = weighted;
      Object.defineProperty(weighted, "weight", {
        get() {
          x.dispose();
          return weight;
        },
      });
      await expect(pool.forward(weighted, x)).rejects.toThrow("expected a live tensor");
      const later = pool.tensor("float32", shape);
      expect(later.data.every((cell) => cell === 0)).toBe(true);
    },
  );
});

describe("a layer", () => {
  const layers: readonly [Layer, readonly number[], readonly string[]][] = [
    [new LayerNorm(4), [4, 4], ["normalizedShape", "eps", "dtype"]],
    [new RMSNorm(4), [4, 4], ["normalizedShape", "eps", "dtype"]],
    [new UnitNorm(4), [4, 4], ["normalizedShape", "eps"]],
    [new GroupNorm(2, 4), [4, 4], ["numGroups", "numChannels", "eps", "dtype"]],
    [new BatchNorm1d(4), [4, 4], ["numFeatures", "eps", "momentum", "trackRunningStats", "dtype", "ranks"]],
    [new SyncBatchNorm(4), [4, 4], ["numFeatures", "eps", "momentum", "trackRunningStats", "dtype"]],
    [new LazyBatchNorm1d(), [4, 4], ["numFeatures", "eps", "momentum", "trackRunningStats", "dtype"]],
    [new InstanceNorm1d(4), [4, 4, 2], ["numFeatures", "eps", "momentum", "trackRunningStats", "dtype", "rank"]],
    [new LocalResponseNorm(2), [4, 4, 2], ["size", "alpha", "beta", "k"]],
  ];

  test.each(layers)("computes as it was made, whatever is assigned: %s", async (layer, shape, fields) => {
    const x = pool.from(normal(cellsOf(shape), 1), shape);
    const expected = (await pool.forward(layer, x)).data.slice();
    for (const field of ["name", ...fields]) {
      for (const value of [Number.NaN, 0, 0.5, 2 ** 31, [2, 2 ** 31], "float64", null]) {
        const before = Reflect.get(layer, field);
        try {
          Object.assign(layer, { [field]: value });
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
        }
        if (Object.hasOwn(layer, field) && before === undefined) Reflect.deleteProperty(layer, field);
        else expect(Reflect.get(layer, field)).toBe(before);
      }
    }
    expectSameBits((await pool.forward(layer, x)).data.slice(), expected);
  });

  test("whose prepare is another's is held to the input's cells", async () => {
    const x = pool.from(normal(32, 1), [4, 4, 2]);
    for (const [layer, prepare] of [
      [new LayerNorm([4, 2]), new LayerNorm([400, 2])],
      [new LocalResponseNorm(2), new LocalResponseNorm(2)],
    ] as const) {
      Object.assign(layer, { prepare: (_: Shape, call: LayerCall) => prepare.prepare([100, 400, 2], call) });
      const refusal = badArgument("layer", `${layer.name}: expected one whose prepare is of the input's cells`);
      await expectRejects(() => pool.forward(layer, x), refusal);
      await expectRejects(() => pool.backward(layer, { input: x, gradOutput: x }), refusal);
      await expectRejects(() => pool.momentsOf(layer, x), refusal);
    }
  });

  test("is no Proxy of one, and no object with a prepare", async () => {
    const x = pool.from(normal(16, 1), [4, 4]);
    for (const layer of [
      new Proxy(plain, {}),
      { name: "LayerNorm", training: true, prepare: () => ({}) },
      Object.create(plain),
    ]) {
      await expectRejects(
        () => pool.forward(layer, x),
        badArgument("layer", "pool.forward: expected a layer for layer"),
      );
    }
  });
});
