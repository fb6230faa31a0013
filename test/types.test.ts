// What the compiler knows: each line compiles only if the type is what it says. Nothing here has to run, but it does.
import { expect, expectTypeOf, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  type ChannelNormOptions,
  GroupNorm,
  InstanceNorm1d,
  LayerNorm,
  LazyBatchNorm1d,
  LocalResponseNorm,
  NormPool,
  type Parameter,
  RMSNorm,
  type Tensor,
  UnitNorm,
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

test("a parameter and a running statistic may be set to null, as in PyTorch, and to another array", () => {
  const norm = new BatchNorm1d(3);
  norm.weight = null;
  norm.bias = new Float32Array(3);
  norm.runningMean = null;
  norm.runningVar = null;
  norm.numBatchesTracked = null;
  expect(Object.keys(norm.stateDict())).toEqual(["bias"]);
  const layers = [new LayerNorm(3), new RMSNorm(3), new GroupNorm(1, 3), new InstanceNorm1d(3, { affine: true })];
  for (const layer of layers) layer.weight = null;
  // @ts-expect-error: not an array of plain numbers
  norm.weight = [1, 2, 3];
});

test("an option that is undefined is as one that is not given", async () => {
  const some: { eps?: number | undefined; affine?: boolean | undefined } = {};
  const layers = [
    new LayerNorm(3, { eps: undefined, elementwiseAffine: undefined, bias: undefined, dtype: undefined }),
    new RMSNorm(3, { eps: undefined }),
    new GroupNorm(1, 3, { eps: some.eps }),
    new BatchNorm1d(3, { eps: some.eps, momentum: undefined, trackRunningStats: undefined }),
    new LazyBatchNorm1d({ eps: some.eps }),
    new UnitNorm(3, { eps: undefined }),
    new LocalResponseNorm(3, { alpha: undefined, beta: undefined, k: undefined }),
  ];
  expect(layers.map(String)).toEqual([
    String(new LayerNorm(3)),
    String(new RMSNorm(3)),
    String(new GroupNorm(1, 3)),
    String(new BatchNorm1d(3)),
    String(new LazyBatchNorm1d()),
    String(new UnitNorm(3)),
    String(new LocalResponseNorm(3)),
  ]);
  expectTypeOf(new LayerNorm(3, { elementwiseAffine: undefined }).weight).toEqualTypeOf<Parameter>();
  expectTypeOf(new BatchNorm1d(3, some).weight).toEqualTypeOf<Parameter | null>();
  const layer = new LayerNorm(3);
  layer.loadStateDict(layer.stateDict({ prefix: undefined }), { strict: undefined, prefix: undefined });
  const undefineds = { threads: 1, maxMemory: undefined, maxQueue: undefined, fallback: undefined };
  await new NormPool({ ...undefineds, sliceTimeout: undefined }).close({ abort: undefined });
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
