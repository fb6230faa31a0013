// What the compiler knows: each line compiles only if the type is what it says. Nothing here has to run, but it does.
import { expect, expectTypeOf, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  type ChannelNormOptions,
  GroupNorm,
  InstanceNorm1d,
  LayerNorm,
  NormPool,
  type Parameter,
  RMSNorm,
  type Tensor,
} from "../src/index.js";

test("what the defaults have is not possibly null", () => {
  const norm = new BatchNorm1d(3);
  expectTypeOf(norm.runningMean).toEqualTypeOf<Parameter>();
  expectTypeOf(norm.weight).toEqualTypeOf<Parameter>();
  expectTypeOf(norm.bias).toEqualTypeOf<Parameter>();
  expectTypeOf(norm.numBatchesTracked).toEqualTypeOf<number>();
  expect(norm.runningMean.length + norm.runningVar.length).toBe(6);
  expectTypeOf(new BatchNorm2d(3, { momentum: 0.5 }).runningVar).toEqualTypeOf<Parameter>();
  expectTypeOf(new LayerNorm(3).weight).toEqualTypeOf<Parameter>();
  expectTypeOf(new RMSNorm(3, { eps: 1 }).weight).toEqualTypeOf<Parameter>();
  expectTypeOf(new GroupNorm(1, 3).bias).toEqualTypeOf<Parameter>();
});

test("what an option leaves out is null, and what nobody can know may be", () => {
  const plain = new BatchNorm1d(3, { affine: false, trackRunningStats: false });
  expectTypeOf(plain.weight).toEqualTypeOf<null>();
  expectTypeOf(plain.bias).toEqualTypeOf<null>();
  expectTypeOf(plain.runningMean).toEqualTypeOf<null>();
  expect([plain.weight, plain.runningMean]).toEqual([null, null]);
  expectTypeOf(new LayerNorm(3, { bias: false }).bias).toEqualTypeOf<null>();
  expectTypeOf(new LayerNorm(3, { elementwiseAffine: false }).bias).toEqualTypeOf<null>();
  const instance = new InstanceNorm1d(3);
  expectTypeOf(instance.weight).toEqualTypeOf<null>();
  expectTypeOf(new InstanceNorm1d(3, { affine: true, trackRunningStats: true }).runningMean).toEqualTypeOf<Parameter>();
  const options: ChannelNormOptions = { affine: instance.weight !== null };
  expectTypeOf(new BatchNorm1d(3, options).weight).toEqualTypeOf<Parameter | null>();
});

test("tensors and results are typed by their dtype", async () => {
  await using pool = new NormPool({ threads: 1 });
  const x = pool.empty("float64", [2, 3]);
  expectTypeOf(x.data).toEqualTypeOf<Float64Array<SharedArrayBuffer>>();
  expectTypeOf(pool.forward(new LayerNorm(3), pool.tensor("uint8", [2, 3]))).toEqualTypeOf<
    Promise<Tensor<"float32">>
  >();
  expectTypeOf(x.toBytes()).toEqualTypeOf<Uint8Array<ArrayBuffer>>();
});
