// UnitNorm as a user meets it; accuracy, dtypes, backward and bits are in the tests that walk all layers.
import { afterAll, describe, expect, test } from "vitest";
import { LayerNorm, NormPool, UnitNorm } from "../src/index.js";
import { badArgument, expectRejects, expectThrows } from "./refusal.js";
import { normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

test("gives rows the length of 1, so that a plain product compares them", async () => {
  const x = pool.from(normal(300 * 768, 1, 0.3), [300, 768]);
  const y = await pool.forward(new UnitNorm(768), x);
  for (let row = 0; row < 300; row++) {
    const cells = y.data.subarray(row * 768, (row + 1) * 768);
    expect(Math.hypot(...cells)).toBeCloseTo(1, 6);
  }
});

describe("a length counts as eps at least", () => {
  test("of rows of 0: they stay 0, and their gradient is that of a division by eps", async () => {
    const input = pool.tensor("float32", [2, 5]);
    const y = await pool.forward(new UnitNorm(5), input);
    expect([...y.data]).toEqual(new Array(10).fill(0));
    const gradOutput = pool.from(normal(10, 1), [2, 5]);
    const { gradInput } = await pool.backward(new UnitNorm(5, { eps: 0.5 }), { input, gradOutput });
    expect([...gradInput.data]).toEqual([...gradOutput.data].map((g) => 2 * g));
  });

  test("of short rows: in one piece, and where several threads share one", async () => {
    for (const length of [40, 300_000]) {
      const data = normal(length, 2).map((value) => value / length);
      const input = pool.from(data, [1, length]);
      const layer = new UnitNorm(length, { eps: 4 });
      const y = await pool.forward(layer, input);
      expect([...y.data.subarray(0, 9)]).toEqual([...data.subarray(0, 9)].map((value) => value / 4));
      const { gradInput } = await pool.backward(layer, { input, gradOutput: input });
      expect([...gradInput.data.subarray(0, 9)]).toEqual([...data.subarray(0, 9)].map((value) => value / 4));
    }
  });
});

test("prints as the others do, has no state, and takes the last dimensions", async () => {
  const layer = new UnitNorm([2, 3]);
  expect(String(layer)).toBe("UnitNorm((2, 3), eps=1e-12)");
  expect(layer.stateDict()).toEqual({});
  expect((await pool.forward(layer, pool.tensor("float64", [4, 2, 3]))).dtype).toBe("float64");
  const input = pool.tensor("float32", [4, 3]);
  const words = "UnitNorm: given normalizedShape [2, 3], expected input of shape [*, 2, 3] but got [4, 3]";
  await expectRejects(() => pool.forward(layer, input), { code: "invalid-shape", shape: [4, 3], words });
  expectThrows(() => new UnitNorm(3, { eps: -1 }), badArgument("eps", "a finite number, 0 or more for eps but got -1"));
});

test("moments of another tensor can take the place of a layer's own", async () => {
  const [a, b] = [pool.from(normal(12, 1, 3), [3, 4]), pool.from(normal(12, 2, 5), [3, 4])];
  const layer = new LayerNorm(4, { elementwiseAffine: false });
  const moments = await pool.momentsOf(layer, b);
  const y = await pool.forward(layer, a, { moments });
  for (const [i, cell] of y.data.entries()) {
    const row = Math.floor(i / 4);
    const rstd = 1 / Math.sqrt((moments.m2[row] as number) / 4 + 1e-5);
    expect(cell).toBeCloseTo(((a.data[i] as number) - (moments.mean[row] as number)) * rstd, 5);
  }
});
