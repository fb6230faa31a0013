// No timing before the result is right: some sets of a result against plain float64 loops.

import type { Dtype } from "../src/index.js";
import type { Computation, Normalization } from "../src/layers/layer.js";
import { cellsPerSet, type Geometry } from "../src/plan/geometry.js";

/** Digits of a result: 2^-DIGITS is half the distance of neighbours at 1. */
const DIGITS: Readonly<Record<Dtype, number>> = { float32: 24, float64: 53, float16: 11, bfloat16: 8, uint8: 24 };

type Read = (index: number) => number;

/** Throws unless sets spread over the tensor are within 3 ulp of max(1, |y|). LocalResponseNorm: unless cells are. */
export function checkForward(name: string, computation: Computation, dtype: Dtype, x: Read, y: Read): void {
  if (computation.kind === "response") {
    const { channels, space, size, alpha, beta, k } = computation;
    for (const channel of [0, channels >> 1, channels - 1]) {
      let sum = 0;
      const end = Math.min(channels, channel + Math.floor((size - 1) / 2) + 1);
      for (let c = Math.max(0, channel - Math.floor(size / 2)); c < end; c++) sum += x(c * space) ** 2;
      const expected = x(channel * space) / (k + (alpha / size) * sum) ** beta;
      compare(name, channel * space, y(channel * space), expected, Math.abs(expected), dtype);
    }
    return;
  }
  const { weight, bias } = computation;
  for (const { each, mean, rstd } of sampleSets(computation, x)) {
    each((index, affine) => {
      const expected = (x(index) - mean) * rstd * (weight?.[affine] ?? 1) + (bias?.[affine] ?? 0);
      compare(name, index, y(index), expected, Math.abs(expected), dtype);
    });
  }
}

/** Throws unless the gradients of sets spread over the tensor are within 3 ulp of the terms that they are made of. */
export function checkBackward(name: string, computation: Computation, dtype: Dtype, x: Read, g: Read, y: Read): void {
  if (computation.kind === "response") return; // the tests compare every cell; here its time is all that is asked
  const { weight, measure } = computation;
  for (const { each, count, mean, rstd } of sampleSets(computation, x)) {
    const gw = (index: number, affine: number) => g(index) * (weight?.[affine] ?? 1);
    const xhat = (index: number) => (x(index) - mean) * rstd;
    let a = 0;
    let b = 0;
    each((index, affine) => {
      a += measure === "deviation" ? gw(index, affine) / count : 0;
      b += (gw(index, affine) * xhat(index)) / count;
    });
    each((index, affine) => {
      const expected = rstd * (gw(index, affine) - a - xhat(index) * b);
      const scale = rstd * (Math.abs(gw(index, affine)) + Math.abs(a) + Math.abs(xhat(index) * b));
      compare(name, index, y(index), expected, scale, dtype);
    });
  }
}

type Visit = (index: number, affine: number) => void;

/** The first, a middle and the last group of the middle sample. */
function sampleSets({ geometry, eps, measure, running }: Normalization, x: Read) {
  const { n, g } = geometry;
  const count = cellsPerSet(geometry);
  return [...new Set([0, g >> 1, g - 1])].map((group) => {
    const each = (visit: Visit) => eachCell(geometry, n >> 1, group, visit);
    let sum = 0;
    each((index) => {
      sum += x(index);
    });
    const mean = running ? (running.mean[group] as number) : measure === "deviation" ? sum / count : 0;
    let squares = 0;
    each((index) => {
      squares += (x(index) - mean) ** 2;
    });
    const variance = running ? (running.variance[group] as number) : squares / count;
    return { each, count, mean, rstd: 1 / Math.sqrt(variance + eps) };
  });
}

function eachCell({ r, g, k, s }: Geometry, sample: number, group: number, visit: Visit): void {
  for (let row = 0; row < r; row++) {
    const start = ((sample * r + row) * g + group) * k * s;
    for (let i = 0; i < k * s; i++) visit(start + i, group * k + Math.floor(i / s));
  }
}

function compare(name: string, index: number, actual: number, expected: number, scale: number, dtype: Dtype): void {
  // float64's own sums here are plain ones: allow for their rounding too.
  const ulps = dtype === "float64" ? 512 : 3;
  const bound = ulps * 2 ** (Math.floor(Math.log2(Math.max(1, scale))) - DIGITS[dtype] + 1);
  if (Math.abs(actual - expected) <= bound) return;
  throw new Error(`${name}: cell ${index} is ${actual}, expected ${expected} within ${bound}`);
}
