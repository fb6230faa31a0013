// Every shape that PyTorch refuses, by the text of its error: ours has the same facts. Other refusals: of parameters and dtypes in
// parameter-errors.test.ts, of constructors' arguments in constructor-errors.test.ts, of calls' options in call-errors.test.ts.
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  type Layer,
  LayerNorm,
  LazyBatchNorm1d,
  LazyBatchNorm2d,
  LazyBatchNorm3d,
  LazyInstanceNorm1d,
  LazyInstanceNorm2d,
  LazyInstanceNorm3d,
  LocalResponseNorm,
  NormPool,
  RMSNorm,
  SyncBatchNorm,
} from "../src/index.js";
import { expectInputRefused, type InputOptions } from "./refusal.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

const AFFINE = { affine: true };
const TRACKED = { trackRunningStats: true };
const UNTRACKED = { trackRunningStats: false };

/** A test for each way to call, named after PyTorch's text. */
function refuses(text: string, layer: Layer, shape: number[], words: string, options: InputOptions = {}): void {
  test(`PyTorch: "${text}": ${layer}`, async () => {
    await expectInputRefused(pool, layer, shape, { code: "invalid-shape", shape, words }, options);
  });
}

describe("ranks", () => {
  for (const [wanted, layer, shape] of [
    ["2D or 3D", new BatchNorm1d(2), [1, 2, 3, 4]],
    ["2D or 3D", new BatchNorm1d(2), [2]],
    ["2D or 3D", new LazyBatchNorm1d(), [1, 2, 3, 4]],
    ["4D", new BatchNorm2d(2), [2, 2, 4]],
    ["4D", new BatchNorm2d(2), [2, 2, 1, 1, 4]],
    ["4D", new LazyBatchNorm2d(), [2, 2, 4]],
    ["5D", new BatchNorm3d(2), [1, 2, 3, 4]],
    ["5D", new LazyBatchNorm3d(), [1, 2, 3, 4]],
    ["at least 2D", new SyncBatchNorm(3), [3]],
    ["2D or 3D", new InstanceNorm1d(2), [2]],
    ["2D or 3D", new LazyInstanceNorm1d(), [1, 2, 3, 4]],
    ["3D or 4D", new InstanceNorm2d(2), [2, 2]],
    ["3D or 4D", new LazyInstanceNorm2d(), [1, 2, 3, 4, 5]],
    ["4D or 5D", new InstanceNorm3d(2), [2, 2, 2]],
    ["4D or 5D", new LazyInstanceNorm3d(), [1, 2, 1, 1, 1, 2]],
  ] as const) {
    const rank = shape.length;
    const words = `${layer.name}: expected ${wanted} input but got ${rank}D input of shape [${shape.join(", ")}]`;
    refuses(`expected ${wanted} input (got ${rank}D input)`, layer, [...shape], words);
  }

  const two = "GroupNorm: expected input of at least 2 dimensions but got 1D input of shape [2]";
  refuses("Expected at least 2 dimensions for input tensor but received 1", new GroupNorm(1, 2), [2], two);
  const three = "LocalResponseNorm: expected input of at least 3 dimensions but got 2D input of shape [2, 3]";
  refuses("Expected 3D or higher dimensionality input (got 2 dimensions)", new LocalResponseNorm(2), [2, 3], three);
  refuses("Expected 3D or higher dimensionality input (got 0 dimensions)", new LocalResponseNorm(2), [], "0D input");
});

describe("numbers of channels", () => {
  for (const [text, layer, shape, dimension, channelAxis] of [
    ["running_mean should contain 2 elements not 3", new BatchNorm1d(3), [4, 2], 1],
    ["running_mean should contain 2 elements not 3", new BatchNorm2d(3).eval(), [4, 2, 1, 5], 1],
    ["running_mean should contain 2 elements not 3", new BatchNorm3d(3), [3, 1, 3, 5, 2], 4, -1],
    ["running_mean should contain 2 elements not 3", new SyncBatchNorm(3), [2, 4], 0, 0],
    ["weight should contain 2 elements not 3", new BatchNorm1d(3, UNTRACKED), [4, 2], 1],
    ["size at dim=1 to match num_features (3), but got: 2.", new InstanceNorm1d(3, AFFINE), [4, 2, 5], 1],
    ["size at dim=0 to match num_features (3), but got: 2.", new InstanceNorm1d(3, AFFINE), [2, 5], 0],
    ["size at dim=1 to match num_features (3), but got: 2.", new InstanceNorm2d(3, AFFINE).eval(), [1, 5, 4, 2], 3, -1],
    ["running_mean should contain 8 elements not 12", new InstanceNorm3d(3, TRACKED), [4, 2, 5, 1, 1], 1],
  ] as const) {
    const found = `but got 2 in input of shape [${shape.join(", ")}]`;
    const words = `${layer.name}: expected 3 channels (numFeatures) at dimension ${dimension} ${found}`;
    refuses(text, layer, [...shape], words, { channelAxis });
  }

  refuses(
    "number of channels in input to be divisible by num_groups, but got input of shape [2, 7, 4] and num_groups=2",
    new GroupNorm(2, 4),
    [2, 7, 4],
    "GroupNorm: expected the number of channels to be divisible by numGroups but got input of shape [2, 7, 4] and numGroups=2",
  );
  refuses(
    "size equal to the number of channels in input, but got weight of shape [6] and input of shape [2, 4, 3]",
    new GroupNorm(2, 6),
    [2, 4, 3],
    "an entry for each channel of the input but got weight of shape [6] and input of shape [2, 4, 3]",
  );
});

describe.each([
  ["LayerNorm", LayerNorm],
  ["RMSNorm", RMSNorm],
] as const)("the last dimensions of %s", (_, Class) => {
  for (const [normalized, shape] of [
    [[3], [2, 4]],
    [[3], []],
    [[2, 3], [3]],
    [
      [2, 3],
      [3, 2],
    ],
    [
      [2, 3],
      [4, 6],
    ],
  ] as const) {
    const [wanted, got] = [normalized.join(", "), shape.join(", ")];
    const text = `normalized_shape=[${wanted}], expected input with shape [*, ${wanted}], but got input of size[${got}]`;
    const words = `given normalizedShape [${wanted}], expected input of shape [*, ${wanted}] but got [${got}]`;
    refuses(`Given ${text}`, Reflect.construct(Class, [[...normalized]]), [...shape], `${Class.name}: ${words}`);
  }
});

// Its moments are to be had all the same: it may be a part of a batch.
describe("a single value to normalise", () => {
  for (const [layer, shape, channelAxis] of [
    [new BatchNorm1d(2), [1, 2]],
    [new BatchNorm2d(2), [1, 2, 1, 1]],
    [new BatchNorm3d(2), [1, 1, 1, 1, 2], -1],
    [new LazyBatchNorm1d(), [1, 2]],
    // Without buffers in evaluation too.
    [new BatchNorm1d(2, UNTRACKED).eval(), [1, 2]],
    [new SyncBatchNorm(2, UNTRACKED).eval(), [1, 2]],
  ] as const) {
    const text = "Expected more than 1 value per channel when training, got input size";
    const words = `expected more than 1 value per channel when training but got input of shape [${shape.join(", ")}]`;
    refuses(`${text} torch.Size([${shape.join(", ")}])`, layer, [...shape], words, { channelAxis, momentsToo: false });
  }

  for (const [layer, shape, channelAxis] of [
    [new InstanceNorm1d(2), [3, 2, 1]],
    [new InstanceNorm1d(2), [2, 1]],
    [new InstanceNorm2d(2, TRACKED), [3, 1, 1, 2], 3],
    [new LazyInstanceNorm2d(), [3, 2, 1, 1]],
    // Without buffers in evaluation too.
    [new InstanceNorm3d(2).eval(), [3, 2, 1, 1, 1]],
  ] as const) {
    const text = "Expected more than 1 spatial element when training, got input size";
    const words = `expected more than 1 spatial element when training but got input of shape [${shape.join(", ")}]`;
    refuses(`${text} torch.Size([${shape.join(", ")}])`, layer, [...shape], words, { channelAxis, momentsToo: false });
  }

  for (const [layer, shape] of [
    [new GroupNorm(2, 2), [1, 2]],
    [new GroupNorm(4, 4, { affine: false }).eval(), [1, 4, 1]],
  ] as const) {
    const text = `Expected more than 1 value per channel when training, got input size [${shape.join(", ")}]`;
    const words = `expected more than 1 value per group but got input of shape [${shape.join(", ")}]`;
    refuses(text, layer, [...shape], words, { momentsToo: false });
  }

  test("is SyncBatchNorm's too, except in momentsOf: there it is a part of a batch", async () => {
    const layer = new SyncBatchNorm(2);
    const input = pool.from(Float32Array.of(3, 4), [1, 2]);
    const words = "expected more than 1 value per channel when training but got input of shape [1, 2]";
    await expect(pool.forward(layer, input)).rejects.toThrow(words);
    await expect(pool.backward(layer, { input, gradOutput: input })).rejects.toThrow(words);
    const moments = await pool.momentsOf(layer, input);
    expect(moments).toEqual({ count: 1, mean: Float64Array.of(3, 4), m2: new Float64Array(2) });
    await expect(pool.forward(layer, input, { moments })).rejects.toThrow(words);
    await expect(pool.backward(layer, { input, gradOutput: input, moments })).rejects.toThrow(words);
    expect(layer.numBatchesTracked).toBe(0);
  });

  test("is no error in evaluation, nor where the whole batch has more of them", async () => {
    for (const [layer, shape] of [
      [new BatchNorm1d(2).eval(), [1, 2]],
      [new InstanceNorm1d(2, TRACKED).eval(), [3, 2, 1]],
      [new GroupNorm(2, 2), [2, 2]],
    ] as const) {
      expect((await pool.forward(layer, pool.tensor("float32", shape))).shape).toEqual(shape);
    }
  });
});

describe("channels that are where the layer does not look", () => {
  test.each<[Layer, number[]]>([
    [new BatchNorm2d(64), [2, 7, 7, 64]],
    [new InstanceNorm2d(64, AFFINE), [2, 7, 7, 64]],
    [new GroupNorm(8, 64), [2, 16, 16, 64]],
    [new GroupNorm(8, 64), [2, 7, 7, 64]],
  ])("last: the message of %s says channelAxis: -1, and it is right", async (layer, shape) => {
    const x = pool.tensor("float32", shape);
    const hint = "; where the channels come last, give the call channelAxis: -1";
    await expect(pool.forward(layer, x)).rejects.toThrow(hint);
    await pool.forward(layer, x, { channelAxis: -1 });
    // And nothing where that would be no remedy.
    const other = pool.tensor("float32", [2, 7, 7, 63]);
    await expect(pool.forward(layer, other)).rejects.toThrow(/of shape \[2, 7, 7, 63\]( and numGroups=8)?$/);
  });

  test("first: the message of LayerNorm says along which", async () => {
    const x = pool.tensor("float32", [2, 96, 7, 7]);
    await expect(pool.forward(new LayerNorm(96), x)).rejects.toThrow(
      "but got [2, 96, 7, 7]; to normalise along dimension 1, give the call channelAxis: 1",
    );
    await pool.forward(new LayerNorm(96), x, { channelAxis: 1 });
    await expect(pool.forward(new LayerNorm(95), x)).rejects.toThrow(/but got \[2, 96, 7, 7\]$/);
  });
});

test("any number of channels will do where nothing is kept by channel", async () => {
  for (const [layer, shape] of [
    [new BatchNorm1d(3, { affine: false, ...UNTRACKED }), [4, 2]],
    [new GroupNorm(2, 6, { affine: false }), [2, 4, 3]],
  ] as const) {
    expect((await pool.forward(layer, pool.tensor("float32", shape))).shape).toEqual(shape);
  }
});
