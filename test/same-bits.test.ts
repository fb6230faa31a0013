// The bits of a result are a function of the tensor: not of threads, slices, their order, nor of where the result goes.
import { afterAll, beforeAll, describe, test } from "vitest";
import type { Parameter } from "../src/affine.js";
import {
  BatchNorm1d,
  BatchNorm2d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  type Layer,
  LayerNorm,
  RMSNorm,
} from "../src/index.js";
import { normalize, type Run } from "../src/normalize.js";
import { CELLS, operandsOf, type Phase, STAGE_BYTES, sliceCount } from "../src/protocol.js";
import { drive } from "../src/steps.js";
import { Arena } from "../src/tensor/arena.js";
import { Threads } from "../src/threads.js";
import { Workspace } from "../src/workspace.js";
import { instantiate, type Kernels, kernelModule } from "../workers/kernels.js";
import { runInline, runSlice } from "../workers/phase.js";
import { expectSameBits, normal, seeded } from "./support.js";

const arena = new Arena();
const threads = [1, 2, 3, 7].map((count) => ({ count, threads: new Threads(count, arena.memory, kernelModule()) }));
let kernels: Kernels;
beforeAll(() => {
  kernels = instantiate(kernelModule(), arena.memory, 0);
});
afterAll(() => Promise.all(threads.map((pool) => pool.threads.close())));

/** One call of `layer` on a copy of `data`, its phases computed by `run`. */
async function forward(layer: Layer, data: Float32Array, shape: readonly number[], run: Run, inPlace: boolean) {
  const x = arena.own("test", data.byteLength, false);
  const y = inPlace ? x : arena.own("test", data.byteLength, false);
  const workspace = new Workspace(arena, "test");
  new Float32Array(x.buffer, x.address, data.length).set(data);
  const computation = layer.prepare(shape, { dtype: "float32", channelAxis: undefined, partOfBatch: false });
  if (computation.kind !== "normalization") throw new Error("expected a normalization");
  const staging = { stage: workspace.bytes(7 * STAGE_BYTES), stageBytes: STAGE_BYTES };
  const operands = { ...operandsOf(CELLS.float32, x.address, y.address), ...staging };
  await drive(normalize(computation, operands, undefined, false, workspace, () => run));
  const result = new Float32Array(y.buffer, y.address, data.length).slice();
  workspace.giveBack();
  arena.free(x);
  if (!inPlace) arena.free(y);
  return result;
}

/** The slices of a phase in a seeded random order, cut to `unitsPerSlice` units. */
function shuffled(unitsPerSlice: number, seed: number): Run {
  const random = seeded(seed);
  return (planned, operands) => {
    const phase: Phase = { ...planned, unitsPerSlice };
    const order = Array.from({ length: sliceCount(phase) }, (_, slice) => slice);
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j] as number, order[i] as number];
    }
    for (const slice of order) runSlice(kernels, phase, operands, slice, 0);
  };
}

function withRandomAffine<L extends Layer & { weight: Parameter | null; bias: Parameter | null }>(layer: L): L {
  layer.weight?.set(normal(layer.weight.length, 5, 1, 0.5));
  layer.bias?.set(normal(layer.bias.length, 6));
  return layer;
}

const CASES: [string, () => Layer, number[]][] = [
  ["LayerNorm, many rows", () => withRandomAffine(new LayerNorm(1000)), [301, 1000]],
  ["LayerNorm without affine", () => new LayerNorm(1000, { elementwiseAffine: false }), [301, 1000]],
  ["LayerNorm, short rows", () => withRandomAffine(new LayerNorm(17)), [5003, 17]],
  ["LayerNorm, rows of several segments", () => withRandomAffine(new LayerNorm(40_001)), [7, 40_001]],
  ["LayerNorm, a row split across workers", () => withRandomAffine(new LayerNorm(400_003)), [2, 400_003]],
  ["RMSNorm, many rows", () => new RMSNorm(1000), [301, 1000]],
  ["RMSNorm, a row split across workers", () => new RMSNorm(400_003), [2, 400_003]],
  ["GroupNorm, runs of space", () => withRandomAffine(new GroupNorm(3, 6)), [5, 6, 77, 31]],
  ["GroupNorm, one group of one sample", () => withRandomAffine(new GroupNorm(1, 6)), [1, 6, 299, 301]],
  ["GroupNorm, little space", () => withRandomAffine(new GroupNorm(2, 6)), [900, 6, 5]],
  ["InstanceNorm2d", () => withRandomAffine(new InstanceNorm2d(5, { affine: true })), [9, 5, 131, 127]],
  ["InstanceNorm1d, one huge channel", () => new InstanceNorm1d(1), [1, 1, 700_001]],
  ["BatchNorm2d, planes of several segments", () => withRandomAffine(new BatchNorm2d(3)), [7, 3, 181, 181]],
  ["BatchNorm2d, small planes", () => withRandomAffine(new BatchNorm2d(19)), [301, 19, 7, 7]],
  ["BatchNorm1d, columns", () => withRandomAffine(new BatchNorm1d(700)), [1500, 700]],
  ["BatchNorm1d, little space", () => withRandomAffine(new BatchNorm1d(70)), [1500, 70, 3]],
  ["BatchNorm2d in evaluation", () => withRandomAffine(new BatchNorm2d(3)).eval(), [7, 3, 181, 181]],
];

describe.each(CASES)("%s", (_, make, shape) => {
  const data = normal(
    shape.reduce((a, b) => a * b, 1),
    11,
    40,
    3,
  );
  const inline: Run = (phase, operands) => runInline(kernels, phase, operands);

  test.each(threads)("$count threads give the bits of the calling thread", async (pool) => {
    const expected = await forward(make(), data, shape, inline, false);
    const run: Run = (phase, operands) => pool.threads.run("test", phase, operands, {});
    expectSameBits(await forward(make(), data, shape, run, false), expected);
  });

  test("in place gives the same bits", async () => {
    const expected = await forward(make(), data, shape, inline, false);
    expectSameBits(await forward(make(), data, shape, inline, true), expected);
    const run: Run = (phase, operands) => threads[2]?.threads.run("test", phase, operands, {});
    expectSameBits(await forward(make(), data, shape, run, true), expected);
  });

  test.each([1, 2, 5])("slices of %i units in any order give the same bits", async (unitsPerSlice) => {
    const expected = await forward(make(), data, shape, inline, false);
    expectSameBits(await forward(make(), data, shape, shuffled(unitsPerSlice, 3), false), expected);
    expectSameBits(await forward(make(), data, shape, shuffled(unitsPerSlice, 4), true), expected);
  });
});
