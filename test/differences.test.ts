// What docs/pytorch.md lists as different from PyTorch, where no other file holds it: refusals that are not shared, printing, and tensors
// outside of calls.
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  GroupNorm,
  InstanceNorm1d,
  type Layer,
  LayerNorm,
  LazyBatchNorm1d,
  LazyInstanceNorm1d,
  NormPool,
  RMSNorm,
} from "../src/index.js";
import { badArgument, expectInputRefused, expectRejects, keptBy } from "./refusal.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

describe("an empty input is checked as any other", () => {
  test.each([[[0, 7]], [[0, 0]], [[4, 7, 0]]])("BatchNorm refuses another number of channels: %o", async (shape) => {
    const words = `expected 3 channels (numFeatures) at dimension 1 but got ${shape[1]}`;
    await expectInputRefused(pool, new BatchNorm1d(3), shape, { code: "invalid-shape", shape, words });
  });

  test("BatchNorm refuses a parameter's size and another dtype", async () => {
    const layer = new BatchNorm1d(2);
    layer.weight = new Float32Array(3);
    await expectInputRefused(pool, layer, [0, 2], badArgument("weight", "expected 2 elements for weight but got 3"));
    const dtype = { code: "unsupported-dtype", dtype: "float32", words: "expected dtype float64" } as const;
    await expectInputRefused(pool, new BatchNorm1d(2, { dtype: "float64" }), [0, 2], dtype);
  });

  test.each([
    [new LazyBatchNorm1d(), [2, 0]],
    [new LazyInstanceNorm1d(), [2, 0, 3]],
  ])("%s wants some channels", async (layer, shape) => {
    const words = "expected some channels (numFeatures) at dimension 1 but got 0";
    await expectInputRefused(pool, layer, shape, { code: "invalid-shape", shape, words });
  });
});

describe.each(["runningMean", "runningVar"] as const)("without %s alone", (missing) => {
  const TRACKED = { trackRunningStats: true };
  test.each([
    [new BatchNorm1d(2), new BatchNorm1d(2)],
    [new BatchNorm1d(2).eval(), new BatchNorm1d(2)],
    [new InstanceNorm1d(2, TRACKED), new InstanceNorm1d(2)],
    [new InstanceNorm1d(2, TRACKED).eval(), new InstanceNorm1d(2)],
  ])("a layer normalises with the input's own statistics, and updates nothing: %s", async (layer, own) => {
    Object.assign(layer, { [missing]: null });
    const kept = keptBy(layer);
    const x = pool.from(normal(30, 1, 5), [3, 2, 5]);
    const [y, expected] = [await pool.forward(layer, x), await pool.forward(own, x)];
    expectSameBits(y.data, expected.data);
    expect(keptBy(layer)).toEqual(kept);
  });
});

test("GroupNorm with a bias and no weight has gradients: those of a weight of ones", async () => {
  const [layer, ones] = [Object.assign(new GroupNorm(1, 2), { weight: null }), new GroupNorm(1, 2)];
  const options = { input: pool.from(normal(24, 1), [4, 2, 3]), gradOutput: pool.from(normal(24, 2), [4, 2, 3]) };
  const { gradInput, gradWeight, gradBias } = await pool.backward(layer, options);
  const expected = await pool.backward(ones, options);
  expectSameBits(gradInput.data, expected.gradInput.data);
  expect([gradWeight, gradBias]).toEqual([null, expected.gradBias]);
});

test.each<[Layer & { weight: unknown; bias?: unknown }, string, string]>([
  [new LayerNorm(2), "LayerNorm((2,), eps=1e-05, elementwise_affine=True, bias=False)", "elementwise_affine=False)"],
  [new RMSNorm(2), "RMSNorm((2,), eps=None, elementwise_affine=True)", "elementwise_affine=False)"],
  [new GroupNorm(1, 2), "GroupNorm(1, 2, eps=1e-05, affine=True, bias=False)", "affine=False)"],
  [new BatchNorm1d(2), "affine=True, track_running_stats=True)", "affine=True, track_running_stats=True)"],
])(
  "%s prints what it computes without bias, then without weight; BatchNorm what it was made with",
  (layer, bias, weight) => {
    layer.bias = null;
    expect(String(layer)).toContain(bias);
    layer.weight = null;
    expect(String(layer)).toContain(weight);
  },
);

test("an instance of seven float64 cells of 0.1 is 0 with an eps of 0, where PyTorch's mean is not exact", async () => {
  const x = pool.from(new Float64Array(7).fill(0.1), [1, 1, 7]);
  const y = await pool.forward(new InstanceNorm1d(1, { eps: 0, dtype: "float64" }), x);
  expect([...y.data]).toEqual(new Array(7).fill(0));
});

test.each([1e155, 1e200, 1e300])("float64 cells of %s are 0 or NaN, never a wrong number", async (scale) => {
  const x = pool.from(
    Float64Array.of(1, 2, 3, 4).map((value) => value * scale),
    [1, 2, 2],
  );
  const layers = [
    new LayerNorm(2, { dtype: "float64" }),
    new RMSNorm(2, { dtype: "float64" }),
    new GroupNorm(1, 2, { dtype: "float64" }),
    new BatchNorm1d(2, { dtype: "float64" }),
  ];
  for (const layer of layers) {
    const { data } = await pool.forward(layer, x);
    expect(
      data.every((cell) => cell === 0 || Number.isNaN(cell)),
      layer.name,
    ).toBe(true);
  }
});

describe("outside of calls", () => {
  const values = Float32Array.of(1.5, 300, -2, 0.25);

  test("a Buffer goes in as bytes, and a tensor's memory comes out as one", () => {
    const bytes = pool.from(Buffer.from([0, 64, 255]));
    expect([bytes.dtype, [...bytes.data]]).toEqual(["uint8", [0, 64, 255]]);
    const x = pool.from(values);
    const { data } = x;
    const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    data[0] = 2.5;
    expect(buffer.readFloatLE(0)).toBe(2.5);
    expect(Buffer.from(x.toBytes()).readFloatLE(0)).toBe(2.5);
    expect([...Buffer.from(data)]).toEqual([2, 300 % 256, 254, 0]);
  });

  test("a clone of a tensor or of a layer is none", async () => {
    const x = pool.from(values);
    const clone = structuredClone(x);
    expect(clone).toEqual({ dtype: "float32", shape: [4] });
    const layer = new LayerNorm(4);
    await expectRejects(() => pool.forward(layer, clone), badArgument("x", "expected a tensor for x but got Object"));
    const other = structuredClone(layer);
    await expectRejects(
      () => pool.forward(other, x),
      badArgument("layer", "expected a layer for layer but got Object"),
    );
    new LayerNorm(4).loadStateDict(structuredClone(layer.stateDict()));
  });

  test("another thread that data was posted to writes into the tensor", async () => {
    const x = pool.from(values);
    const source = `
      const { parentPort, workerData } = require("node:worker_threads");
      workerData[1] = 42;
      parentPort.postMessage("done");
    `;
    const worker = new Worker(source, { eval: true, workerData: x.data });
    await once(worker, "message");
    expect([...x.data]).toEqual([1.5, 42, -2, 0.25]);
    await worker.terminate();
  });

  test("fetch takes a copy, and before Node.js 24 refuses shared memory", async () => {
    const { data } = pool.from(values);
    // The types know it too.
    const request = (body: Float32Array) =>
      new Request("http://localhost", { method: "POST", body: body as Float32Array<ArrayBuffer> });
    if (Number(process.versions.node.split(".")[0]) < 24) expect(() => request(data)).toThrow(TypeError);
    expect(new Float32Array(await request(data.slice()).arrayBuffer())).toEqual(values);
  });
});
