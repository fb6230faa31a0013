// A batch in parts, through SyncBatchNorm as a program with a layer in each of several processes calls it; and whole, through BatchNorm.
import { expect } from "vitest";
import {
  addGradientSums,
  BatchNorm1d,
  BatchNorm2d,
  type Layer,
  mergeMoments,
  type NormPool,
  type SetMoments,
  type StateDict,
  SyncBatchNorm,
} from "../src/index.js";
import { normal } from "./support.js";

type Cells = Float32Array | Float64Array | Uint16Array;
type Dtype = "float32" | "float64" | "float16";

export interface Cut {
  readonly what: string;
  /** The first dimension is the batch, whose samples the parts have so many of each. */
  readonly shape: readonly number[];
  readonly samples: readonly number[];
  readonly channels: number;
  readonly channelAxis?: number;
}

/** Cells of a shape. */
export const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** A layer with weights of its own and running statistics that have seen something. */
export function stateOf(channels: number): StateDict {
  const vector = (seed: number, mean: number) => ({ shape: [channels], data: normal(channels, seed, mean, 0.3) });
  const counter = { num_batches_tracked: { shape: [], data: BigInt64Array.of(4n) } };
  return {
    weight: vector(7, 1),
    bias: vector(8, 0),
    running_mean: vector(9, 1),
    running_var: vector(10, 3),
    ...counter,
  };
}

interface Result {
  readonly y: Cells;
  readonly gradInput: Cells;
  readonly gradWeights: readonly ArrayLike<number>[];
  readonly gradBiases: readonly ArrayLike<number>[];
  readonly layers: readonly SyncBatchNorm[];
}

/** Forward and backward of the parts, on one pool after another. */
export async function inParts(
  data: Cells,
  gradient: Cells,
  cut: Cut,
  dtype: Dtype,
  on: readonly NormPool[],
): Promise<Result> {
  const { shape, samples, channels, channelAxis } = cut;
  const perSample = size(shape.slice(1));
  const parts = samples.map((count, part) => {
    const start = samples.slice(0, part).reduce((a, b) => a + b, 0) * perSample;
    const own = on[part % on.length] as NormPool;
    const tensor = (cells: Cells) =>
      own.from(cells.slice(start, start + count * perSample), [count, ...shape.slice(1)], dtype as never);
    const layer = new SyncBatchNorm(channels, { dtype: dtype === "float64" ? "float64" : "float32" });
    layer.loadStateDict(stateOf(channels));
    return { own, layer, input: tensor(data), gradOutput: tensor(gradient) };
  });
  const moments = mergeMoments(
    await Promise.all(parts.map(({ own, layer, input }) => own.momentsOf(layer, input, { channelAxis }))),
  );
  const told: SetMoments[] = [];
  const onMoments = (saved: SetMoments) => void told.push(saved);
  const outputs = await Promise.all(
    parts.map(({ own, layer, input }) => own.forward(layer, input, { moments, onMoments, channelAxis })),
  );
  // What is saved for backward is the whole batch's, whatever the part.
  expect(told).toEqual(parts.map(() => moments));
  const sums = addGradientSums(
    await Promise.all(
      parts.map(({ own, layer, ...tensors }) => own.gradientSums(layer, { ...tensors, moments, channelAxis })),
    ),
  );
  const gradients = await Promise.all(
    parts.map(({ own, layer, ...tensors }) => own.backward(layer, { ...tensors, moments, sums, channelAxis })),
  );
  return {
    y: join(outputs.map((y) => bitsOf(y.data))),
    gradInput: join(gradients.map(({ gradInput }) => bitsOf(gradInput.data))),
    gradWeights: gradients.map(({ gradWeight }) => gradWeight ?? []),
    gradBiases: gradients.map(({ gradBias }) => gradBias ?? []),
    layers: parts.map(({ layer }) => layer),
  };
}

/** A copy of cells; of float16 their bits, also where Node has a Float16Array for them. */
function bitsOf(data: Float32Array | Float64Array | Uint16Array | Uint8Array): Cells {
  if (data instanceof Float32Array || data instanceof Float64Array) return data.slice();
  return new Uint16Array(data.buffer, data.byteOffset, data.length).slice();
}

function join(parts: readonly Cells[]): Cells {
  const Class = (parts[0] as Cells).constructor as new (length: number) => Cells;
  const joined = new Class(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Forward and backward of all at once. */
export async function whole(
  pool: NormPool,
  data: Cells,
  gradient: Cells,
  { shape, channels, channelAxis }: Cut,
  dtype: Dtype,
) {
  const Class = shape.length < 4 ? BatchNorm1d : BatchNorm2d;
  const layer = new Class(channels, { dtype: dtype === "float64" ? "float64" : "float32" });
  layer.loadStateDict(stateOf(channels));
  const input = pool.from(data, shape, dtype as never);
  const gradOutput = pool.from(gradient, shape, dtype as never);
  const y = await pool.forward(layer as Layer, input, { channelAxis });
  const gradients = await pool.backward(layer, { input, gradOutput, channelAxis });
  return { y: bitsOf(y.data), ...gradients, gradInput: bitsOf(gradients.gradInput.data), layer };
}
