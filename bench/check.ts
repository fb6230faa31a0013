// No timing before the result is right: some sets of a result against plain float64 loops.
import type { Computation } from "../src/layers/layer.js";

/** Throws unless sets spread over the tensor are within 3 float32 ulp of max(1, |y|). */
export function checkSets(name: string, computation: Computation, x: Float32Array, y: Float32Array) {
  if (computation.kind !== "normalization") throw new Error(`${name}: no check for this`);
  const { geometry, eps, weight, bias, given, centred } = computation;
  const { n, r, g, k, s } = geometry;
  const stretch = k * s;
  const rows = Array.from({ length: r }, (_, row) => (n >> 1) * r + row);
  for (const group of new Set([0, g >> 1, g - 1])) {
    const starts = rows.map((row) => (row * g + group) * stretch);
    const cells = (visit: (index: number) => number) => {
      let sum = 0;
      for (const start of starts) for (let i = start; i < start + stretch; i++) sum += visit(i);
      return sum;
    };
    const count = starts.length * stretch;
    const batchMean = centred ? cells((i) => x[i] as number) / count : 0;
    const mean = given ? (given.mean[group] as number) : batchMean;
    const variance = given ? (given.variance[group] as number) : cells((i) => ((x[i] as number) - mean) ** 2) / count;
    const rstd = 1 / Math.sqrt(variance + eps);
    cells((i) => {
      const affine = Math.floor(i / s) % (g * k);
      const expected = ((x[i] as number) - mean) * rstd * (weight?.[affine] ?? 1) + (bias?.[affine] ?? 0);
      const bound = 3 * 2 ** (Math.floor(Math.log2(Math.max(1, Math.abs(expected)))) - 23);
      if (!(Math.abs((y[i] as number) - expected) <= bound)) {
        throw new Error(`${name}: cell ${i} is ${y[i]}, expected ${expected} within ${bound}`);
      }
      return 0;
    });
  }
}
