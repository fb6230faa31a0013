// What is worth a warning and no error: numFeatures that is not the input's where it is not used. Once a layer.
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  LazyInstanceNorm1d,
  NormPool,
} from "../src/index.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

let warnings: (Error & { code?: string })[] = [];
const onWarning = (warning: Error) => void warnings.push(warning);
beforeEach(() => {
  warnings = [];
  process.on("warning", onWarning);
});
afterEach(() => void process.off("warning", onWarning));

/** What was warned of until now: a process tells it in a later turn. */
async function warned(): Promise<string[]> {
  await new Promise(setImmediate);
  for (const { name, code } of warnings)
    expect({ name, code }).toEqual({ name: "Warning", code: "NORMPOOL_NUM_FEATURES" });
  return warnings.map(({ message }) => message);
}

const inputOf = (...shape: number[]) =>
  pool.from(
    normal(
      shape.reduce((a, b) => a * b, 1),
      1,
      3,
    ),
    shape,
  );

describe("an InstanceNorm without affine, of another number of channels,", () => {
  test.each([
    [InstanceNorm1d, [2, 4, 6]],
    [InstanceNorm2d, [2, 4, 3, 2]],
    [InstanceNorm3d, [2, 4, 3, 2, 2]],
  ] as const)("warns once, and computes: %o", async (Class, shape) => {
    const [layer, right] = [new Class(3), new Class(4)];
    const x = inputOf(...shape);
    const y = await pool.forward(layer, x);
    const message = `${Class.name}: input has 4 channels at dimension 1 where numFeatures is 3; numFeatures is not used because affine is false`;
    expect(await warned()).toEqual([message]);
    expectSameBits(y.data, (await pool.forward(right, x)).data);
    const { gradInput } = await pool.backward(layer, { input: x, gradOutput: x });
    expectSameBits(gradInput.data, (await pool.backward(right, { input: x, gradOutput: x })).gradInput.data);
    await pool.momentsOf(layer, x);
    await pool.forward(layer.eval(), inputOf(...shape.slice(0, 1), 5, ...shape.slice(2)));
    expect(await warned()).toEqual([message]);
  });

  test("warns for each layer, from whichever call comes first, with the channels' dimension", async () => {
    const x = inputOf(2, 6);
    await pool.forward(new InstanceNorm1d(3), x);
    await pool.backward(new InstanceNorm1d(3), { input: x, gradOutput: x });
    await pool.momentsOf(new InstanceNorm1d(3), inputOf(2, 5, 4), { channelAxis: -1 });
    expect((await warned()).map((message) => message.slice(0, 53))).toEqual([
      "InstanceNorm1d: input has 2 channels at dimension 0 w",
      "InstanceNorm1d: input has 2 channels at dimension 0 w",
      "InstanceNorm1d: input has 4 channels at dimension 2 w",
    ]);
  });

  test("warns after it was lazy", async () => {
    const layer = new LazyInstanceNorm1d({ affine: false, trackRunningStats: false });
    await pool.forward(layer, inputOf(2, 3, 4));
    expect(await warned()).toEqual([]);
    await pool.forward(layer, inputOf(2, 5, 4));
    expect(await warned()).toEqual([
      expect.stringContaining("input has 5 channels at dimension 1 where numFeatures is 3"),
    ]);
  });
});

test.each([{ affine: true }, { trackRunningStats: true }])(
  "with %o it is an error, and no warning",
  async (options) => {
    for (const layer of [new InstanceNorm1d(3, options), new InstanceNorm1d(3, options).eval()]) {
      const words = "expected 3 channels (numFeatures) at dimension 1 but got 4";
      await expect(pool.forward(layer, inputOf(2, 4, 6))).rejects.toThrow(words);
    }
    expect(await warned()).toEqual([]);
  },
);

test("PyTorch warns of no other layer, nor do we", async () => {
  await pool.forward(new InstanceNorm1d(3), inputOf(2, 3, 6));
  await pool.forward(new BatchNorm1d(3, { affine: false, trackRunningStats: false }), inputOf(2, 4));
  await pool.forward(new GroupNorm(2, 6, { affine: false }), inputOf(2, 4, 6));
  expect(await warned()).toEqual([]);
});
