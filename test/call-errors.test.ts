// Options of calls that are wrong: each call rejects, never throws, by the option's name, and leaves tensors and layers as they were.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  type Layer,
  LayerNorm,
  LocalResponseNorm,
  NormPool,
  RMSNorm,
  SyncBatchNorm,
  type Tensor,
  UnitNorm,
} from "../src/index.js";
import { badArgument, expectRejects, keptBy, type Refusal } from "./refusal.js";
import { normal } from "./support.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

const SHAPE = [4, 2, 3];
const zeros = (dtype: "float32" | "float64" | "uint8" = "float32", shape = SHAPE) => pool.tensor(dtype, shape);
const disposed = zeros();
disposed.dispose();
const layers = {
  LayerNorm: () => new LayerNorm(3),
  RMSNorm: () => new RMSNorm(3),
  UnitNorm: () => new UnitNorm(3),
  GroupNorm: () => new GroupNorm(1, 2),
  BatchNorm1d: () => new BatchNorm1d(2),
  SyncBatchNorm: () => new SyncBatchNorm(2),
  InstanceNorm1d: () => new InstanceNorm1d(2, { affine: true, trackRunningStats: true }),
  LocalResponseNorm: () => new LocalResponseNorm(2),
} as const;
const ALL = Object.entries(layers);

/** What was said of a call that leaves no trace, with the tensors that it is given. */
async function expectRefused(
  layer: Layer,
  call: (tensors: {
    input: Tensor<"float32">;
    gradOutput: Tensor<"float32">;
    out: Tensor<"float32">;
  }) => Promise<unknown>,
  refusal: Refusal,
) {
  const data = normal(24, 1);
  const tensors = { input: pool.from(data, SHAPE), gradOutput: pool.from(data, SHAPE), out: pool.from(data, SHAPE) };
  const kept = keptBy(layer);
  await expectRejects(() => call(tensors), refusal);
  expect(keptBy(layer)).toEqual(kept);
  for (const tensor of Object.values(tensors)) expect(tensor.data).toEqual(data);
}

/** Holds every call that takes `options` to refuse them. */
async function expectOptionsRefused(layer: Layer, options: object, refusal: Refusal) {
  await expectRefused(layer, ({ input, out }) => pool.forward(layer, input, { out, ...options }), refusal);
  await expectRefused(layer, (tensors) => pool.backward(layer, { ...tensors, ...options }), refusal);
  await expectRefused(layer, ({ input }) => pool.momentsOf(layer, input, options), refusal);
}

describe("channelAxis", () => {
  test.each(ALL)("is a safe integer for %s", async (name, make) => {
    for (const channelAxis of [1.5, Number.NaN, Infinity, "1", null, true, 2 ** 53, [1]]) {
      const words = `${name}: expected a safe integer for channelAxis but got `;
      await expectOptionsRefused(make(), { channelAxis }, badArgument("channelAxis", words));
    }
  });

  test.each(["LayerNorm", "GroupNorm", "BatchNorm1d", "SyncBatchNorm", "InstanceNorm1d"] as const)(
    "is one of the dimensions for %s",
    async (name) => {
      for (const channelAxis of [3, -4, 100]) {
        const words = `${name}: expected a dimension of 3D input for channelAxis but got ${channelAxis}`;
        await expectOptionsRefused(layers[name](), { channelAxis }, badArgument("channelAxis", words));
      }
    },
  );

  test.each(["GroupNorm", "InstanceNorm1d"] as const)("is not the samples' for %s", async (name) => {
    for (const channelAxis of [0, -3]) {
      const words = `${name}: expected another dimension than the samples' for channelAxis but got `;
      await expectOptionsRefused(layers[name](), { channelAxis }, badArgument("channelAxis", words));
    }
  });

  test.each(["RMSNorm", "UnitNorm", "LocalResponseNorm"] as const)("is nothing that %s takes", async (name) => {
    for (const channelAxis of [1, -1, 0]) {
      const words = `${name}: expected none (BatchNorm, InstanceNorm, GroupNorm and LayerNorm take one) for channelAxis but got ${channelAxis}`;
      await expectOptionsRefused(layers[name](), { channelAxis }, badArgument("channelAxis", words));
    }
  });

  test("may be the first where there are no samples before it: BatchNorm's, and an unbatched InstanceNorm's", async () => {
    const y = await pool.forward(new BatchNorm2d(4), pool.tensor("float32", [4, 2, 3, 1]), { channelAxis: 0 });
    expect(y.shape).toEqual([4, 2, 3, 1]);
    for (const channelAxis of [0, -3, 2]) {
      const x = pool.tensor("float32", [2, 3, 2]);
      expect((await pool.forward(new InstanceNorm2d(2, { affine: true }), x, { channelAxis })).shape).toEqual([
        2, 3, 2,
      ]);
    }
  });
});

describe("out", () => {
  const wrong = {
    code: "invalid-shape",
    shape: [4, 6],
    words: "expected out of the input's shape [4, 2, 3] but got [4, 6]",
  } as const;
  test.each<[string, unknown, Refusal]>([
    ["of another dtype", zeros("float64"), badArgument("out", "expected dtype float32 for out but got float64")],
    ["of uint8", zeros("uint8"), badArgument("out", "expected dtype float32 for out but got uint8")],
    ["of another shape", zeros("float32", [4, 6]), wrong],
    ["that is disposed", disposed, badArgument("out", "a live tensor for out but got a disposed one")],
    ["that is an array", new Float32Array(24), badArgument("out", "a tensor for out but got Float32Array")],
    ["that is null", null, badArgument("out", "a tensor for out but got null")],
  ])("%s is refused by every layer", async (_, out, refusal) => {
    for (const [name, make] of ALL) {
      const layer = make();
      const named = { ...refusal, operation: name };
      await expectRefused(layer, ({ input }) => pool.forward(layer, input, { out } as object), named);
      await expectRefused(
        layer,
        ({ input, gradOutput }) => pool.backward(layer, { input, gradOutput, out } as never),
        named,
      );
    }
  });
});

test.each<[string, unknown, string]>([
  ["that is disposed", disposed, "a disposed one"],
  ["that is an array", new Float32Array(24), "Float32Array"],
  ["that is missing", undefined, "undefined"],
])("an input or gradOutput %s is refused", async (_, given, received) => {
  const tensor = given as Tensor<"float32">;
  for (const [name, make] of ALL) {
    const layer = make();
    const refusal = (argument: string) => ({
      ...badArgument(argument, `for ${argument} but got ${received}`),
      operation: name,
    });
    await expectRefused(layer, () => pool.forward(layer, tensor), refusal("x"));
    await expectRefused(layer, () => pool.momentsOf(layer, tensor), refusal("x"));
    await expectRefused(
      layer,
      ({ gradOutput }) => pool.backward(layer, { gradOutput, input: tensor }),
      refusal("input"),
    );
    await expectRefused(
      layer,
      ({ input }) => pool.backward(layer, { input, gradOutput: tensor }),
      refusal("gradOutput"),
    );
  }
  const refusal = badArgument("x", `for x but got ${received}`);
  await expectRejects(() => pool.moments(tensor), { ...refusal, operation: "pool.moments" });
});

test.each(ALL)("backward of %s wants gradOutput like the input, which has a gradient", async (name, make) => {
  const layer = make();
  const dtype = badArgument("gradOutput", `${name}: expected dtype float32 for gradOutput but got float64`);
  await expectRefused(
    layer,
    ({ input, out }) => pool.backward(layer, { input, out, gradOutput: zeros("float64") as never }),
    dtype,
  );
  const words = "expected gradOutput of the input's shape [4, 2, 3] but got [4, 3, 2]";
  const shape: Refusal = { code: "invalid-shape", shape: [4, 3, 2], words };
  await expectRefused(
    layer,
    ({ input, out }) => pool.backward(layer, { input, out, gradOutput: zeros("float32", [4, 3, 2]) }),
    shape,
  );
  const bytes = zeros("uint8");
  const uint8: Refusal = { code: "unsupported-dtype", dtype: "uint8", words: "of floating point for input but got" };
  await expectRefused(layer, () => pool.backward(layer, { input: bytes, gradOutput: bytes }), uint8);
});

test.each(ALL)("%s names options that no call knows, and what is no options", async (name, make) => {
  const layer = make();
  for (const key of ["inPlace", "channel_axis", "memory_format", "gradInput"]) {
    const refusal = (argument: string) => badArgument(argument, `for ${argument} but got ${JSON.stringify(key)}`);
    await expectRefused(layer, ({ input, out }) => pool.forward(layer, input, { out, [key]: 1 }), refusal("options"));
    await expectRefused(layer, ({ input }) => pool.momentsOf(layer, input, { [key]: 1 }), refusal("options"));
    await expectRefused(layer, (tensors) => pool.backward(layer, { ...tensors, [key]: 1 }), refusal("gradients"));
  }
  const only =
    "expected only input, gradOutput, moments, out, inPlaceSafe, sums, channelAxis, signal, timeout, onProgress for gradients";
  await expectRefused(
    layer,
    ({ input: grad_output, out }) => pool.backward(layer, { out, grad_output } as never),
    badArgument("gradients", only),
  );
  for (const options of [1, "out", null, []]) {
    const words = `${name}: expected an object for options but got `;
    await expectRefused(
      layer,
      ({ input }) => pool.forward(layer, input, options as object),
      badArgument("options", words),
    );
  }
  await expectRefused(layer, () => pool.backward(layer, undefined as never), badArgument("input", "but got undefined"));
  await expectOptionsRefused(layer, { signal: {} }, badArgument("signal", "an AbortSignal for signal but got Object"));
  await expectOptionsRefused(
    layer,
    { onProgress: 1 },
    badArgument("onProgress", "a function for onProgress but got 1"),
  );
  for (const onMoments of [1, {}, null]) {
    const words = "expected a function for onMoments but got ";
    await expectRefused(
      layer,
      ({ input }) => pool.forward(layer, input, { onMoments } as object),
      badArgument("onMoments", words),
    );
  }
});

test("what is no layer is refused by every call, also a layer's class", async () => {
  const input = zeros();
  for (const [layer, received] of [
    [LayerNorm, "the function LayerNorm"],
    [{}, "Object"],
    [null, "null"],
    [undefined, "undefined"],
  ] as const) {
    const given = layer as unknown as Layer;
    const refusal = badArgument("layer", `expected a layer for layer but got ${received}`);
    await expectRejects(() => pool.forward(given, input), { ...refusal, operation: "pool.forward" });
    await expectRejects(() => pool.backward(given, { input, gradOutput: input }), {
      ...refusal,
      operation: "pool.backward",
    });
    await expectRejects(() => pool.momentsOf(given, input), { ...refusal, operation: "pool.momentsOf" });
    await expectRejects(() => pool.gradientSums(given, { input, gradOutput: input }), {
      ...refusal,
      operation: "pool.gradientSums",
    });
  }
});
