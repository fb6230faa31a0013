// Cells and settings at the ends: NaN and Infinity, no variance and no eps, exponents of 0, windows longer than any tensor. What is NaN is the
// same NaN, whoever computes it.
import { afterAll, describe, expect, test } from "vitest";
import { backward as backwardCall } from "../src/calls/backward.js";
import { forward as forwardCall } from "../src/calls/forward.js";
import {
  type Dtype,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  type Layer,
  LayerNorm,
  LocalResponseNorm,
  mergeMoments,
  NormPool,
  RMSNorm,
  type SetMoments,
  type Tensor,
  UnitNorm,
} from "../src/index.js";
import { drive } from "../src/run/steps.js";
import { bytesOf, type Cells } from "./cells.js";
import { closeThreads, onCallingThread, WAYS } from "./every-way.js";
import { CASES, inputOf, layerFor } from "./same-bits-cases.js";
import { normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => Promise.all([pool.close(), closeThreads()]));

const INFINITY: Readonly<Record<Dtype, number>> = {
  float32: Number.POSITIVE_INFINITY,
  float64: Number.POSITIVE_INFINITY,
  float16: 0x7c00,
  bfloat16: 0x7f80,
  uint8: 0,
};
const NAN: Readonly<Record<Dtype, number>> = {
  ...INFINITY,
  float32: Number.NaN,
  float64: Number.NaN,
  float16: 0xfe01,
  bfloat16: 0xff81,
};

/** The bits of the one NaN that results have, by its lowest byte first. */
const SETTLED = {
  float32: [0, 0, 0xc0, 0x7f],
  float64: [0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
  float16: [0, 0x7e],
  bfloat16: [0xc0, 0x7f],
} as const;

type FloatDtype = keyof typeof SETTLED;

/** How many NaN there are, and how many of them have other bits. */
function countNaN(dtype: FloatDtype, bytes: Uint8Array): { nan: number; other: number } {
  const settled = SETTLED[dtype];
  let nan = 0;
  let other = 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isNaNAt = (at: number): boolean => {
    if (dtype === "float32") return Number.isNaN(view.getFloat32(at, true));
    if (dtype === "float64") return Number.isNaN(view.getFloat64(at, true));
    const bits = view.getUint16(at, true);
    const infinity = INFINITY[dtype];
    return (bits & 0x7fff) > infinity;
  };
  for (let at = 0; at < bytes.length; at += settled.length) {
    if (!isNaNAt(at)) continue;
    nan++;
    if (!settled.every((byte, i) => bytes[at + i] === byte)) other++;
  }
  return { nan, other };
}

const OWN = CASES.filter(([, { mean }]) => mean !== "running");
const ORDER = ["calling thread", "calling thread again", ...WAYS.map(([what]) => what)] as const;
const EXECUTORS = [onCallingThread, onCallingThread, ...WAYS.map(([, executor]) => executor)];

describe.each(Object.keys(SETTLED) as FloatDtype[])("%s: NaN is one NaN", (dtype) => {
  test.each(OWN.map(([why, layerCase]) => [why, layerCase.name, layerCase] as const))(
    "%s: %s",
    async (_, _name, layerCase) => {
      const { shape, channelAxis } = layerCase;
      const layer = layerFor(layerCase, dtype);
      const cells = inputOf(layerCase, dtype).slice() as Cells;
      const gradients = inputOf(layerCase, dtype, 12).slice() as Cells;
      cells[3] = INFINITY[dtype];
      cells[cells.length >> 1] = NAN[dtype];
      gradients[(cells.length >> 1) + 1] = INFINITY[dtype];
      gradients[cells.length - 2] = NAN[dtype];
      const make = (on: (typeof EXECUTORS)[number], from: Cells): Tensor => {
        const tensor = on.allocate("test", dtype, shape, false);
        const { buffer, byteOffset, byteLength } = tensor.data;
        new Uint8Array(buffer, byteOffset, byteLength).set(bytesOf(from));
        return tensor;
      };
      let first: Uint8Array[] | undefined;
      for (const [i, on] of EXECUTORS.entries()) {
        using x = make(on, cells);
        using g = make(on, gradients);
        let told: SetMoments | undefined;
        const onMoments = (found: SetMoments) => {
          told = found;
        };
        using y = await forwardCall(on, layer, x, { channelAxis, onMoments });
        const found = await drive(backwardCall(on, layer, { input: x, gradOutput: g, channelAxis }));
        using gradInput = found.gradInput;
        const results = [y.data, gradInput.data, found.gradWeight, found.gradBias, told?.mean, told?.m2].map((array) =>
          array ? bytesOf(array) : new Uint8Array(),
        );
        for (const [which, bytes] of results.slice(0, 2).entries()) {
          const { nan, other } = countNaN(dtype, bytes);
          expect([nan > 0, other], `${ORDER[i]}, ${["output", "gradient"][which]}`).toEqual([true, 0]);
        }
        first ??= results;
        for (const [which, bytes] of results.entries()) {
          expect(Buffer.compare(bytes, first[which] as Uint8Array), `${ORDER[i]}, result ${which}`).toBe(0);
        }
      }
    },
  );
});

test.each<Layer>([new RMSNorm(300_001), new RMSNorm(300_001, { elementwiseAffine: false }), new UnitNorm(300_001)])(
  "an Infinity alone in a long row is the one NaN, the row's other cells are 0: %s",
  async (layer) => {
    using x = pool.from(normal(300_001, 1), [1, 300_001]);
    x.data[77] = Number.NEGATIVE_INFINITY;
    using y = await pool.forward(layer, x);
    expect(countNaN("float32", bytesOf(y.data))).toEqual({ nan: 1, other: 0 });
    expect(y.data.every((cell, i) => (i === 77 ? Number.isNaN(cell) : cell === 0))).toBe(true);
  },
);

async function forward(layer: Layer, data: Float32Array | Float64Array, shape: readonly number[]): Promise<number[]> {
  using x = pool.from(data, shape);
  using y = await pool.forward(layer, x);
  return [...(y as Tensor<"float32">).data];
}

describe("cells that are all alike, with an eps of 0", () => {
  const plain = { eps: 0 } as const;
  test.each([4, 300, 20_000, 300_000])(
    "InstanceNorm of %i gives them its bias, as PyTorch; gradients are 0",
    async (length) => {
      const layer = new InstanceNorm1d(1, { ...plain, affine: true });
      layer.weight?.fill(2);
      layer.bias?.fill(0.25);
      const x = pool.from(new Float32Array(length).fill(3.1), [1, 1, length]);
      const y = await pool.forward(layer, x);
      expect(new Set(y.data)).toEqual(new Set([0.25]));
      const gradOutput = pool.from(normal(length, 1), [1, 1, length]);
      const { gradInput, gradWeight } = await pool.backward(layer, { input: x, gradOutput });
      expect(gradInput.data.every((gradient) => gradient === 0)).toBe(true);
      expect([...(gradWeight ?? [])]).toEqual([0]);
      for (const tensor of [x, y, gradOutput, gradInput]) tensor.dispose();
    },
  );

  test("InstanceNorm, channels last and of halves, gives 0 too", async () => {
    const layer = new InstanceNorm2d(3, plain);
    const x = pool.from(new Float32Array(2 * 5 * 7 * 3).fill(-0.7), [2, 5, 7, 3]);
    const y = await pool.forward(layer, x, { channelAxis: -1 });
    expect(y.data.every((cell) => cell === 0)).toBe(true);
    const half = pool.from(new Uint16Array(700).fill(0x4200), [1, 1, 700], "float16");
    const z = await pool.forward(new InstanceNorm1d(1, plain), half);
    expect(new Uint16Array(z.data.buffer, z.data.byteOffset, 700).every((bits) => (bits & 0x7fff) === 0)).toBe(true);
  });

  test("LayerNorm and GroupNorm give NaN, as PyTorch", async () => {
    const same = new Float32Array(8).fill(3);
    expect(await forward(new LayerNorm(8, plain), same, [1, 8])).toEqual(new Array(8).fill(Number.NaN));
    expect(await forward(new GroupNorm(1, 2, plain), same, [1, 2, 4])).toEqual(new Array(8).fill(Number.NaN));
  });
});

describe("float64 cells whose squares are beyond float64", () => {
  test("have results of 0, since their variance is Infinity; just below they are right", async () => {
    const scaled = (scale: number) => Float64Array.of(1, 2, 3, 4).map((value) => value * scale);
    const layer = new LayerNorm(4, { dtype: "float64" });
    const right = await forward(layer, scaled(1e150), [1, 4]);
    expect(right[3]).toBeCloseTo(1.3416407864998738, 14);
    expect((await forward(layer, scaled(1e160), [1, 4])).map(Math.abs)).toEqual([0, 0, 0, 0]);
    expect(await forward(new RMSNorm(4, { dtype: "float64" }), scaled(1e160), [1, 4])).toEqual([0, 0, 0, 0]);
  });

  test("have moments with the mean that they have, and an M2 of Infinity", () => {
    const part = (count: number, mean: number) => ({ count, mean: Float64Array.of(mean), m2: Float64Array.of(0) });
    expect(mergeMoments([part(1, 1.5e308), part(3, -1.5e308)])).toEqual({
      count: 4,
      mean: Float64Array.of(-0.75e308),
      m2: Float64Array.of(Number.POSITIVE_INFINITY),
    });
    const infinite = mergeMoments([part(1, Number.POSITIVE_INFINITY), part(1, 0)]);
    expect(infinite).toEqual({
      count: 2,
      mean: Float64Array.of(Number.POSITIVE_INFINITY),
      m2: Float64Array.of(Number.NaN),
    });
  });
});

describe("LocalResponseNorm", () => {
  const shape = [2, 5, 30];
  const length = 300;

  test("with a beta or an alpha of 0 has its gradient alone, also beside Infinity", async () => {
    const g = normal(length, 2);
    for (const [options, factor, other] of [
      [{ beta: 0 }, 1, Number.POSITIVE_INFINITY],
      // 0 times Infinity is what the sum is then, in PyTorch too.
      [{ alpha: 0, k: 4, beta: 0.5 }, 0.5, 1e30],
    ] as const) {
      const data = normal(length, 1);
      data[31] = other;
      using input = pool.from(data, shape);
      using gradOutput = pool.from(g, shape);
      const { gradInput } = await pool.backward(new LocalResponseNorm(3, options), { input, gradOutput });
      for (const [i, gradient] of gradInput.data.entries()) {
        expect(gradient).toBe(Math.fround((g[i] as number) * factor));
      }
    }
  });

  test("of a size beyond 2^32 sums all channels, and divides by it", async () => {
    const size = 2 ** 33 + 1;
    const data = normal(length, 1);
    const found = await forward(new LocalResponseNorm(size, { alpha: size, beta: 1, k: 0 }), data, shape);
    for (let sample = 0; sample < 2; sample++) {
      for (let at = 0; at < 30; at++) {
        const cells = Array.from({ length: 5 }, (_, c) => data[(sample * 5 + c) * 30 + at] as number);
        const sum = cells.reduce((total, cell) => total + cell * cell, 0);
        for (const [c, cell] of cells.entries()) expect(found[(sample * 5 + c) * 30 + at]).toBeCloseTo(cell / sum, 5);
      }
    }
  });

  test("costs the same however long its window is: 65,536 channels are computed in time", async () => {
    const x = pool.from(normal(65_536, 1), [1, 65_536, 1]);
    const y = await pool.forward(new LocalResponseNorm(65_536, { alpha: 65_536, beta: 1, k: 0 }), x);
    // The window of the first channel: itself and those up to the middle.
    const sum = x.data.subarray(0, 32_768).reduce((total, cell) => total + cell * cell, 0);
    expect(y.data[0]).toBeCloseTo((x.data[0] as number) / sum, 8);
  });
});

test("float16 cells as small as float16 has them are normalised as others", async () => {
  // Normal numbers times 1e-6: a few of float16's smallest, of which the mean in float16's own arithmetic is a subnormal float32.
  const { toHalf, fromHalf } = await import("./half.js");
  const { nearest } = await import("./rounding.js");
  const shape = [11, 1, 5346];
  const numbers = Float64Array.from(normal(11 * 5346, 1), (value) => nearest("float16", value * 1e-6));
  const eps = 1e-12;
  using x = pool.from(toHalf("float16", numbers), shape, "float16");
  using y = await pool.forward(new GroupNorm(1, 1, { eps }), x);
  const found = fromHalf("float16", new Uint16Array(y.data.buffer, y.data.byteOffset, y.data.length));
  for (let sample = 0; sample < 11; sample++) {
    const cells = numbers.subarray(sample * 5346, (sample + 1) * 5346);
    const mean = cells.reduce((a, b) => a + b) / 5346;
    const variance = cells.reduce((a, b) => a + (b - mean) ** 2, 0) / 5346;
    for (const [i, cell] of cells.entries()) {
      const expected = (cell - mean) / Math.sqrt(variance + eps);
      // 2 ulp of float32 at max(1, |y|), then float16's own rounding.
      const bound =
        2 * 2 ** -23 * Math.max(1, Math.abs(expected)) * 2 + 2 ** (Math.floor(Math.log2(Math.abs(expected))) - 11);
      expect(Math.abs((found[sample * 5346 + i] as number) - expected)).toBeLessThanOrEqual(bound);
    }
  }
});
