// LayerNorm along an axis that is not the last, as a user meets it; accuracy, dtypes, backward and bits are in the tests that walk all layers.
import { afterAll, describe, expect, test } from "vitest";
import { GroupNorm, LayerNorm, NormPool, type SetMoments } from "../src/index.js";
import { badArgument, expectRejects } from "./refusal.js";
import { normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

const [N, C, S] = [3, 40, 35];

/** [N, C, S] as [N, S, C], or back. */
function transposed(cells: Float32Array, rows: number, columns: number): Float32Array {
  const area = rows * columns;
  return cells.map((_, i) => {
    const [row, column] = [i % rows, Math.floor((i % area) / rows)];
    return cells[i - (i % area) + row * columns + column] as number;
  });
}

function layer(): LayerNorm {
  const made = new LayerNorm(C);
  made.weight.set(normal(C, 2));
  made.bias.set(normal(C, 3));
  return made;
}

/** Room for another order of the same sums: some ulp of float32, as float64 sums differ by far less. */
const TOLERANCE = 4e-7;

function expectClose(found: Float32Array, expected: Float32Array, scale: number): void {
  for (const [i, value] of expected.entries()) {
    expect(Math.abs((found[i] as number) - value)).toBeLessThanOrEqual(TOLERANCE * Math.max(scale, Math.abs(value)));
  }
}

test("has the results, gradients and moments of a LayerNorm of the last dimension of the transposed cells", async () => {
  const [cells, gradients] = [normal(N * C * S, 1, 2), normal(N * C * S, 4)];
  const told: SetMoments[] = [];
  const onMoments = (moments: SetMoments) => told.push(moments);
  const options = { channelAxis: 1, onMoments };
  const [input, gradOutput] = [pool.from(cells, [N, C, S]), pool.from(gradients, [N, C, S])];
  const last = pool.from(transposed(cells, C, S), [N, S, C]);
  const lastGrad = pool.from(transposed(gradients, C, S), [N, S, C]);
  const y = await pool.forward(layer(), input, options);
  const expected = await pool.forward(layer(), last, { onMoments });
  expectClose(y.data, transposed(expected.data, S, C), 4);
  const [moments, lastMoments] = told as [SetMoments, SetMoments];
  expect(moments.count).toBe(C);
  for (const field of ["mean", "m2"] as const) {
    for (const [i, value] of lastMoments[field].entries()) expect(moments[field][i]).toBeCloseTo(value, 12);
  }
  expect(await pool.momentsOf(layer(), input, { channelAxis: 1 })).toEqual(moments);
  const found = await pool.backward(layer(), { input, gradOutput, channelAxis: 1 });
  const wanted = await pool.backward(layer(), { input: last, gradOutput: lastGrad });
  expectClose(found.gradInput.data, transposed(wanted.gradInput.data, S, C), 4);
  expectClose(found.gradWeight as Float32Array, wanted.gradWeight as Float32Array, N * S);
  expectClose(found.gradBias as Float32Array, wanted.gradBias as Float32Array, N * S);
});

test("takes the moments of an earlier call, forward and backward, with the bits of its own", async () => {
  const [input, gradOutput] = [pool.from(normal(N * C * S, 1), [N, C, S]), pool.from(normal(N * C * S, 4), [N, C, S])];
  const moments = await pool.momentsOf(layer(), input, { channelAxis: 1 });
  const own = await pool.forward(layer(), input, { channelAxis: 1 });
  expect((await pool.forward(layer(), input, { channelAxis: 1, moments })).data).toEqual(own.data);
  const gradients = await pool.backward(layer(), { input, gradOutput, channelAxis: 1 });
  const given = await pool.backward(layer(), { input, gradOutput, channelAxis: 1, moments });
  expect(given.gradInput.data).toEqual(gradients.gradInput.data);
  expect(given.gradWeight).toEqual(gradients.gradWeight);
});

describe("of the last axis, by name", () => {
  test("is the layer without it", async () => {
    const x = pool.from(normal(N * S * C, 1), [N, S, C]);
    const plain = await pool.forward(layer(), x);
    for (const channelAxis of [2, -1]) {
      expect((await pool.forward(layer(), x, { channelAxis })).data).toEqual(plain.data);
    }
  });
});

test("with a weight and no bias, and without either", async () => {
  const x = pool.from(normal(N * C * S, 1), [N, C, S]);
  const plain = await pool.forward(new LayerNorm(C, { elementwiseAffine: false }), x, { channelAxis: 1 });
  const weighted = new LayerNorm(C, { bias: false });
  weighted.weight.set(normal(C, 2));
  const y = await pool.forward(weighted, x, { channelAxis: 1 });
  const scaled = plain.data.map((cell, i) => cell * (weighted.weight[Math.floor(i / S) % C] as number));
  expectClose(y.data, scaled, 1);
  const { gradWeight, gradBias } = await pool.backward(weighted, { input: x, gradOutput: x, channelAxis: 1 });
  expect(gradWeight).toHaveLength(C);
  expect(gradBias).toBeNull();
});

test("of one place only is GroupNorm of one group, bit for bit", async () => {
  const x = pool.from(normal(N * C, 1), [N, C, 1, 1]);
  const group = new GroupNorm(1, C);
  group.weight.set(normal(C, 2));
  group.bias.set(normal(C, 3));
  const y = await pool.forward(layer(), x, { channelAxis: 1 });
  expect(y.data).toEqual((await pool.forward(group, x)).data);
});

describe("a set with a cell that is no number", () => {
  test("is NaN as a whole, and no other is, whatever the weights are", async () => {
    const cells = normal(N * C * S, 1);
    cells[5 * S + 7] = Number.POSITIVE_INFINITY;
    const [input, gradOutput] = [pool.from(cells, [N, C, S]), pool.from(normal(N * C * S, 4), [N, C, S])];
    const isOfSet = (i: number) => i < C * S && i % S === 7;
    const y = await pool.forward(layer(), input, { channelAxis: 1 });
    expect([...y.data].every((cell, i) => Number.isNaN(cell) === isOfSet(i))).toBe(true);
    const { gradInput } = await pool.backward(layer(), { input, gradOutput, channelAxis: 1 });
    expect([...gradInput.data].every((cell, i) => Number.isNaN(cell) === isOfSet(i))).toBe(true);
  });
});

test("an axis of another size, and more dimensions than one, are refused by name", async () => {
  const input = pool.tensor("float32", [N, C, S]);
  const words = "LayerNorm: given normalizedShape [35], expected 35 at dimension 1 of the input but got [3, 40, 35]";
  await expectRejects(() => pool.forward(new LayerNorm(S), input, { channelAxis: 1 }), {
    code: "invalid-shape",
    shape: [N, C, S],
    words,
  });
  const several =
    "LayerNorm: expected none with a normalizedShape of more than one dimension for channelAxis but got 1";
  await expectRejects(
    () => pool.forward(new LayerNorm([C, S]), input, { channelAxis: 1 }),
    badArgument("channelAxis", several),
  );
});

test("of an empty tensor is empty, with gradients of 0", async () => {
  const input = pool.tensor("float32", [0, C, S]);
  const { gradWeight } = await pool.backward(layer(), { input, gradOutput: input, channelAxis: 1 });
  expect(gradWeight).toEqual(new Float32Array(C));
});
