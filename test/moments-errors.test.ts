// Moments and sums where none are taken, or that are not the input's: refused by name, and nothing else has happened.
import { afterAll, describe, expect, test } from "vitest";
import {
  addGradientSums,
  BatchNorm1d,
  GroupNorm,
  InstanceNorm1d,
  type Layer,
  LayerNorm,
  LocalResponseNorm,
  mergeMoments,
  NormPool,
  RMSNorm,
  SyncBatchNorm,
} from "../src/index.js";
import { badArgument, expectRejects, expectThrows, keptBy } from "./refusal.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

/** Four samples of two channels of three: sets of 12 cells for BatchNorm. */
const input = pool.tensor("float32", [4, 2, 3]);
const gradOutput = pool.tensor("float32", [4, 2, 3]);
const momentsOf = (count: number, sets = 2) => ({ count, mean: new Float64Array(sets), m2: new Float64Array(sets) });
const sumsOf = (count: number, channels = 2) => ({
  count,
  sumDy: new Float64Array(channels),
  sumDyXmu: new Float64Array(channels),
});
const GARBAGE = [
  null,
  0,
  "moments",
  [],
  {},
  { count: 12 },
  { ...momentsOf(12), count: 1.5 },
  { ...momentsOf(12), count: -1 },
];
const tracked = { affine: true, trackRunningStats: true };

const WITHOUT: readonly Layer[] = [
  new InstanceNorm1d(2, tracked).eval(),
  new BatchNorm1d(2).eval(),
  new LocalResponseNorm(2),
  new SyncBatchNorm(2).eval(),
];

describe("forward", () => {
  test.each(WITHOUT)("takes no moments: %s", async (layer) => {
    const kept = keptBy(layer);
    const words = `${layer.name}: expected none where the tensor's own are not used for moments but got some`;
    for (const moments of [momentsOf(12), null]) {
      await expectRejects(
        () => pool.forward(layer, input, { moments: moments as never }),
        badArgument("moments", words),
      );
    }
    expect(keptBy(layer)).toEqual(kept);
  });

  test("of SyncBatchNorm takes moments of a batch that the input is a part of", async () => {
    const layer = new SyncBatchNorm(2);
    const kept = keptBy(layer);
    const form = "expected moments { count, mean, m2 } with a Float64Array entry a set for moments but got ";
    for (const moments of [
      ...GARBAGE,
      { ...momentsOf(12), mean: new Float32Array(2) },
      { ...momentsOf(12), m2: new Float64Array(3) },
    ]) {
      await expectRejects(
        () => pool.forward(layer, input, { moments: moments as never }),
        badArgument("moments", form),
      );
    }
    await expectRejects(
      () => pool.forward(layer, input, { moments: momentsOf(12, 3) }),
      badArgument("moments", "moments of 2 sets for moments but got 3"),
    );
    const words =
      "moments of the whole batch, of which the input has 12 cells a channel, for moments but got those of 11";
    await expectRejects(() => pool.forward(layer, input, { moments: momentsOf(11) }), badArgument("moments", words));
    expect(keptBy(layer)).toEqual(kept);
  });
});

describe("backward", () => {
  test("takes no moments where the tensor's own are not used", async () => {
    for (const layer of [
      new LocalResponseNorm(2),
      new BatchNorm1d(2).eval(),
      new SyncBatchNorm(2).eval(),
      new InstanceNorm1d(2, tracked).eval(),
    ]) {
      const words = `${layer.name}: expected none where the tensor's own are not used for moments but got some`;
      await expectRejects(
        () => pool.backward(layer, { input, gradOutput, moments: momentsOf(12) }),
        badArgument("moments", words),
      );
    }
  });

  test.each<[Layer, cells: number, sets: number]>([
    [new LayerNorm(3), 3, 8],
    [new RMSNorm(3), 3, 8],
    [new GroupNorm(1, 2), 6, 4],
    [new InstanceNorm1d(2), 3, 8],
    [new BatchNorm1d(2), 12, 2],
    [new SyncBatchNorm(2), 12, 2],
  ])("takes the input's own moments: %s", async (layer, cells, sets) => {
    const call = (moments: unknown) => () => pool.backward(layer, { input, gradOutput, moments: moments as never });
    for (const moments of GARBAGE)
      await expectRejects(call(moments), badArgument("moments", "with a Float64Array entry a set"));
    await expectRejects(
      call(momentsOf(cells, sets + 1)),
      badArgument("moments", `moments of ${sets} sets for moments but got ${sets + 1}`),
    );
    await expectRejects(call(momentsOf(cells - 1, sets)), badArgument("moments", `${cells} cells a `));
    expect((await call(momentsOf(cells, sets))()).gradInput.shape).toEqual([4, 2, 3]);
  });

  test("takes another count of BatchNorm's cells for a mistake, and of SyncBatchNorm's for a whole batch, whose sums it wants", async () => {
    const moments = momentsOf(20);
    const own = "BatchNorm1d: expected those of the input's 12 cells a set for moments but got those of 20";
    await expectRejects(
      () => pool.backward(new BatchNorm1d(2), { input, gradOutput, moments }),
      badArgument("moments", own),
    );
    const layer = new SyncBatchNorm(2);
    const whole =
      "the whole batch's sums beside moments of 20 cells a channel, of which the input has 12, for sums but got none";
    await expectRejects(() => pool.backward(layer, { input, gradOutput, moments }), badArgument("sums", whole));
    const other = "those of the moments' 20 cells a channel for sums but got those of 12";
    await expectRejects(
      () => pool.backward(layer, { input, gradOutput, moments, sums: sumsOf(12) }),
      badArgument("sums", other),
    );
  });

  test.each(WITHOUT)("takes no sums: %s", async (layer) => {
    for (const sums of [sumsOf(12), null]) {
      const words = `${layer.name}: expected none except for SyncBatchNorm in training for sums but got some`;
      await expectRejects(
        () => pool.backward(layer, { input, gradOutput, sums: sums as never }),
        badArgument("sums", words),
      );
    }
  });

  test("of SyncBatchNorm takes sums beside moments", async () => {
    const layer = new SyncBatchNorm(2);
    const alone = "expected moments beside the sums for moments but got none";
    await expectRejects(
      () => pool.backward(layer, { input, gradOutput, sums: sumsOf(12) }),
      badArgument("moments", alone),
    );
    const form = "expected sums { count, sumDy, sumDyXmu } with a Float64Array entry a channel for sums but got ";
    for (const sums of [
      null,
      0,
      {},
      [],
      { ...sumsOf(12), count: Number.NaN },
      { ...sumsOf(12), sumDy: new Float32Array(2) },
    ]) {
      const options = { input, gradOutput, moments: momentsOf(12), sums: sums as never };
      await expectRejects(() => pool.backward(layer, options), badArgument("sums", form));
    }
    const options = { input, gradOutput, moments: momentsOf(12), sums: sumsOf(12, 3) };
    await expectRejects(
      () => pool.backward(layer, options),
      badArgument("sums", "sums of 2 channels for sums but got 3"),
    );
  });
});

test.each(WITHOUT)("gradientSums is SyncBatchNorm's in training: not of %s", async (layer) => {
  const received = layer.training ? layer.name : `${layer.name} in evaluation`;
  const words = `${layer.name}: expected SyncBatchNorm in training for layer but got ${received}`;
  await expectRejects(
    () => pool.gradientSums(layer, { input, gradOutput, moments: momentsOf(12) }),
    badArgument("layer", words),
  );
});

test("gradientSums wants the whole batch's moments, and takes neither out nor sums", async () => {
  const layer = new SyncBatchNorm(2);
  const call = (more: object) => () => pool.gradientSums(layer, { input, gradOutput, ...more });
  await expectRejects(call({}), badArgument("moments", "expected the whole batch's moments for moments but got none"));
  await expectRejects(
    call({ moments: null }),
    badArgument("moments", "a Float64Array entry a set for moments but got null"),
  );
  await expectRejects(call({ moments: momentsOf(11) }), badArgument("moments", "but got those of 11"));
  for (const key of ["out", "sums"]) {
    await expectRejects(call({ moments: momentsOf(12), [key]: input }), badArgument("gradients", `but got "${key}"`));
  }
});

test("momentsOf is of layers whose cells share a mean: not of LocalResponseNorm", async () => {
  const words =
    "expected one whose cells share a mean (any but LocalResponseNorm) for layer but got LocalResponseNorm(2";
  await expectRejects(() => pool.momentsOf(new LocalResponseNorm(2), input), badArgument("layer", words));
});

test("mergeMoments and addGradientSums throw on what is not parts of one batch", () => {
  for (const parts of [[], undefined, momentsOf(1)]) {
    expectThrows(
      () => mergeMoments(parts as never),
      badArgument("parts", "mergeMoments: expected at least one part for parts but got "),
    );
    expectThrows(
      () => addGradientSums(parts as never),
      badArgument("parts", "addGradientSums: expected at least one part for parts but got "),
    );
  }
  for (const part of GARBAGE) {
    expectThrows(
      () => mergeMoments([momentsOf(12), part as never]),
      badArgument("parts", "mergeMoments: expected moments {"),
    );
    expectThrows(
      () => addGradientSums([sumsOf(12), part as never]),
      badArgument("parts", "addGradientSums: expected sums {"),
    );
  }
  expectThrows(
    () => mergeMoments([momentsOf(12), momentsOf(12, 3)]),
    badArgument("parts", "moments of 2 sets for parts but got 3"),
  );
  expectThrows(
    () => addGradientSums([sumsOf(12), sumsOf(12, 3)]),
    badArgument("parts", "sums of 2 channels for parts but got 3"),
  );
});
