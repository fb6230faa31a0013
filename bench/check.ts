// No timing before the result is right: some sets of a result against plain float64 loops.
import type { Geometry } from "../src/geometry.js";
import type { Dtype } from "../src/index.js";
import type { Computation, Normalization } from "../src/layers/layer.js";

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
  for (const { cells, mean, rstd } of sampleSets(computation, x)) {
    for (const { index, affine } of cells) {
      const expected = (x(index) - mean) * rstd * (weight?.[affine] ?? 1) + (bias?.[affine] ?? 0);
      compare(name, index, y(index), expected, Math.abs(expected), dtype);
    }
  }
}

/** Throws unless the gradients of sets spread over the tensor are within 3 ulp of the terms that they are made of. */
export function checkBackward(name: string, computation: Computation, dtype: Dtype, x: Read, g: Read, y: Read): void {
  if (computation.kind === "response") return; // the tests compare every cell; here its time is all that is asked
  const { weight, centred } = computation;
  for (const { cells, mean, rstd } of sampleSets(computation, x)) {
    const gw = ({ index, affine }: Cell) => g(index) * (weight?.[affine] ?? 1);
    const xhat = ({ index }: Cell) => (x(index) - mean) * rstd;
    const a = centred ? cells.reduce((sum, cell) => sum + gw(cell), 0) / cells.length : 0;
    const b = cells.reduce((sum, cell) => sum + gw(cell) * xhat(cell), 0) / cells.length;
    for (const cell of cells) {
      const expected = rstd * (gw(cell) - a - xhat(cell) * b);
      const scale = rstd * (Math.abs(gw(cell)) + Math.abs(a) + Math.abs(xhat(cell) * b));
      compare(name, cell.index, y(cell.index), expected, scale, dtype);
    }
  }
}

interface Cell {
  readonly index: number;
  readonly affine: number;
}

/** The first, a middle and the last group of the middle sample. */
function sampleSets({ geometry, eps, centred, given }: Normalization, x: Read) {
  const { n, g } = geometry;
  return [...new Set([0, g >> 1, g - 1])].map((group) => {
    const cells = cellsOf(geometry, n >> 1, group);
    const own = cells.reduce((sum, { index }) => sum + x(index), 0) / cells.length;
    const mean = given ? (given.mean[group] as number) : centred ? own : 0;
    const squares = cells.reduce((sum, { index }) => sum + (x(index) - mean) ** 2, 0);
    const variance = given ? (given.variance[group] as number) : squares / cells.length;
    return { cells, mean, rstd: 1 / Math.sqrt(variance + eps) };
  });
}

function cellsOf({ r, g, k, s }: Geometry, sample: number, group: number): Cell[] {
  const cells: Cell[] = [];
  for (let row = 0; row < r; row++) {
    const start = ((sample * r + row) * g + group) * k * s;
    for (let i = 0; i < k * s; i++) cells.push({ index: start + i, affine: group * k + Math.floor(i / s) });
  }
  return cells;
}

function compare(name: string, index: number, actual: number, expected: number, scale: number, dtype: Dtype): void {
  // float64's own sums here are plain ones: allow for their rounding too.
  const ulps = dtype === "float64" ? 512 : 3;
  const bound = ulps * 2 ** (Math.floor(Math.log2(Math.max(1, scale))) - DIGITS[dtype] + 1);
  if (Math.abs(actual - expected) <= bound) return;
  throw new Error(`${name}: cell ${index} is ${actual}, expected ${expected} within ${bound}`);
}
