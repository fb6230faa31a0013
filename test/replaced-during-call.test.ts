// What a program does to a layer, and to what it gave a call, while the call runs: the call uses what was there when it began, or fails by name.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  InstanceNorm1d,
  mergeMoments,
  NormPool,
  type SetMoments,
  SyncBatchNorm,
  type Tensor,
} from "../src/index.js";
import { badArgument, expectRejects } from "./refusal.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

/** Large enough to be left to the workers. */
const [ROWS, CHANNELS] = [1200, 1024];
let x: Tensor<"float32">;
beforeAll(() => {
  x = pool.from(normal(ROWS * CHANNELS, 1, 3, 2), [ROWS, CHANNELS]);
});

const detach = ({ buffer }: ArrayBufferView) => void structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
const bytes = (array: ArrayBufferView) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

const REPLACEMENTS = {
  longer: () => new Float32Array(2 * CHANNELS),
  shorter: () => new Float32Array(1),
  "of another type": () => new Float64Array(CHANNELS),
  "no array": () => [1, 2] as never,
  null: () => null as never,
};

describe.each(Object.entries(REPLACEMENTS))("replaced by one that is %s", (_, replacement) => {
  test.each(["runningMean", "runningVar"] as const)("%s: the one that was there is updated", async (field) => {
    const undisturbed = new BatchNorm1d(CHANNELS);
    const expected = await pool.forward(undisturbed, x);
    const layer = new BatchNorm1d(CHANNELS);
    const { runningMean, runningVar } = layer;
    const running = pool.forward(layer, x);
    const other = replacement();
    layer[field] = other;
    layer.weight = replacement();
    layer.bias = replacement();
    expectSameBits((await running).data, expected.data);
    expect(bytes(runningMean)).toEqual(bytes(undisturbed.runningMean));
    expect(bytes(runningVar)).toEqual(bytes(undisturbed.runningVar));
    expect(layer.numBatchesTracked).toBe(1);
    expect(layer[field]).toEqual(replacement());
  });

  test.each(["runningMean", "runningVar"] as const)("InstanceNorm's %s: the same", async (field) => {
    const image = pool.wrap(x.data, [ROWS / 8, 8, CHANNELS]);
    const undisturbed = new InstanceNorm1d(8, { trackRunningStats: true });
    await pool.forward(undisturbed, image);
    const layer = new InstanceNorm1d(8, { trackRunningStats: true });
    const { runningMean, runningVar } = layer;
    const running = pool.forward(layer, image);
    layer[field] = replacement();
    await running;
    expect(bytes(runningMean)).toEqual(bytes(undisturbed.runningMean));
    expect(bytes(runningVar)).toEqual(bytes(undisturbed.runningVar));
  });
});

describe("detached", () => {
  test.each(["runningMean", "runningVar"] as const)(
    "%s fails the call by name, and nothing is counted",
    async (field) => {
      const layer = new BatchNorm1d(CHANNELS);
      const running = pool.forward(layer, x);
      detach(layer[field]);
      await expectRejects(
        () => running,
        badArgument(field, `BatchNorm1d: expected ${CHANNELS} elements for ${field} but got 0`),
      );
      expect(layer.numBatchesTracked).toBe(0);
      expect((field === "runningMean" ? layer.runningVar : layer.runningMean).every(Number.isInteger)).toBe(true);
      await expectRejects(() => pool.forward(layer, x), badArgument(field, "but got 0"));
    },
  );

  test("InstanceNorm's running statistics fail the call by name", async () => {
    const layer = new InstanceNorm1d(8, { trackRunningStats: true });
    const running = pool.forward(layer, pool.wrap(x.data, [ROWS / 8, 8, CHANNELS]));
    detach(layer.runningVar);
    await expectRejects(() => running, badArgument("runningVar", "expected 8 elements for runningVar but got 0"));
    expect(layer.runningMean.every((mean) => mean === 0)).toBe(true);
  });

  test("moments and sums fail the call by name", async () => {
    const layer = new SyncBatchNorm(CHANNELS);
    const moments = async () => mergeMoments([await pool.momentsOf(layer, x)]);
    const options = { input: x, gradOutput: x };
    const words = (argument: string) =>
      `expected ${CHANNELS} elements until the call has ended for ${argument} but got 0`;
    for (const part of ["mean", "m2"] as const) {
      const given = await moments();
      const told: SetMoments[] = [];
      const running = pool.forward(layer, x, { moments: given, onMoments: (found) => told.push(found) });
      detach(given[part]);
      await expectRejects(() => running, badArgument("moments", `SyncBatchNorm: ${words("moments")}`));
      expect(told).toEqual([]);
    }
    expect(layer.numBatchesTracked).toBe(0);
    const given = await moments();
    const sums = await pool.gradientSums(layer, { ...options, moments: given });
    const running = pool.backward(layer, { ...options, moments: given, sums });
    detach(sums.sumDy);
    await expectRejects(() => running, badArgument("sums", words("sums")));
  });

  test("a weight that is read when the call comes to it fails the call by name", async () => {
    const channels = 1 << 20;
    const wide = pool.tensor("float32", [2, channels]);
    const layer = new BatchNorm1d(channels);
    layer.weight[0] = 2;
    const running = pool.forward(layer, wide);
    detach(layer.weight);
    await expectRejects(() => running, badArgument("weight", "elements until the call has ended for weight but got 0"));
  });
});

describe("numBatchesTracked", () => {
  test.each([Number.NaN, -1, 0.5, "5", Infinity, 2 ** 53, {}, undefined])("of %s is refused", async (count) => {
    const layer = new BatchNorm1d(CHANNELS, { momentum: null });
    const small = pool.tensor("float32", [4, CHANNELS]);
    const refusal = badArgument(
      "numBatchesTracked",
      "expected a safe integer, 0 or more for numBatchesTracked but got",
    );
    const running = pool.forward(layer, x);
    layer.numBatchesTracked = count as number;
    await expectRejects(() => running, refusal);
    await expectRejects(() => pool.forward(layer, small, { out: small }), refusal);
    expect(small.data.every((cell) => cell === 0)).toBe(true);
    expect(layer.runningMean.every((mean) => mean === 0)).toBe(true);
  });
});

test("a mode that is no boolean is refused", async () => {
  const layer = new BatchNorm1d(CHANNELS);
  layer.training = "false" as never;
  await expectRejects(() => pool.forward(layer, x), badArgument("training", "true or false for training but got"));
});
