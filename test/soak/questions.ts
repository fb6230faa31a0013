// What the soak asks of its pools, and what must come out: checksums of what the calling thread makes of it, once that is held against the
// float64 oracle.
import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { CallOptions, Dtype, Layer, NormPool, SetMoments, Tensor } from "../../src/index.js";
import { CELL_BYTES, resultDtype } from "../../src/plan/cells.js";
import { DTYPES } from "../../src/tensor/dtype.js";
import type { Parameter } from "../../src/tensor/parameter.js";
import { expectWithin } from "../accuracy-bounds.js";
import { expectGradients, expectOutput } from "../against-oracle.js";
import { bytesOf, type Cells, numbersOf } from "../cells.js";
import {
  axisNormCase,
  batchNormCase,
  groupNormCase,
  instanceNormCase,
  type LayerCase,
  layerNormCase,
  localResponseNormCase,
  rmsNormCase,
  unitNormCase,
} from "../layer-cases.js";
import type { FloatDtype } from "../rounding.js";
import { inputOf, layerFor } from "../same-bits-cases.js";

const KINDS = ["forward", "backward", "momentsOf", "moments"] as const;

export interface Question {
  readonly kind: (typeof KINDS)[number];
  readonly layerCase: LayerCase;
  readonly dtype: Dtype;
}

/** Where a result goes. */
export type Place = "apart" | "in place" | "in place, safe";

export interface Way {
  /** Whether tensors are on memory of the caller's. */
  readonly wrapped: boolean;
  readonly place: Place;
  readonly options: CallOptions;
}

export const PLAIN: Way = { wrapped: false, place: "apart", options: {} };

/** All that a call found. */
export interface Found {
  readonly output?: ArrayBufferView;
  readonly mean?: Float64Array;
  readonly m2?: Float64Array;
  readonly runningMean?: Parameter;
  readonly runningVar?: Parameter;
  readonly batches?: Float64Array;
  readonly gradInput?: ArrayBufferView;
  readonly gradWeight?: Parameter;
  readonly gradBias?: Parameter;
}
export type Checksums = Readonly<Record<string, string>>;

interface Stateful {
  readonly runningMean?: Parameter | null;
  readonly runningVar?: Parameter | null;
  readonly numBatchesTracked?: number;
}

/** A case of running statistics, in training: it updates them. */
function inTraining(layerCase: LayerCase): LayerCase {
  const name = `${layerCase.name.replace("evaluation", "training")}, tracked`;
  const make = (dtype: "float32" | "float64") => Object.assign(layerCase.make(dtype), { training: true });
  return { ...layerCase, name, mean: "own", make };
}

const CASES: readonly LayerCase[] = [
  // Such as the calling thread computes alone.
  layerNormCase([37], [1000]),
  rmsNormCase([16], [768]),
  groupNormCase(3, [2, 6, 77, 13]),
  inTraining(batchNormCase([64, 100], { runningMean: 1 })),
  localResponseNormCase(3, [2, 9, 50]),
  // Such as it shares with workers, or leaves to them where somebody watches.
  layerNormCase([301], [1000]),
  layerNormCase([2], [270_001]),
  layerNormCase([97], [5003], { affine: false }),
  axisNormCase([3, 40, 1111], 1),
  rmsNormCase([301], [1000]),
  unitNormCase([301], [1000]),
  groupNormCase(3, [5, 6, 77, 31]),
  groupNormCase(2, [3, 900, 80], { channelAxis: -1 }),
  instanceNormCase([4, 5, 131, 127]),
  inTraining(instanceNormCase([4, 5, 131, 127], { runningMean: 1 })),
  batchNormCase([3, 3, 181, 181]),
  inTraining(batchNormCase([1100, 130], { runningMean: 1 })),
  batchNormCase([301, 19, 7, 7], { runningMean: 1 }),
  localResponseNormCase(5, [5, 20, 37, 51]),
  // Such as it leaves to them.
  layerNormCase([1100], [1000]),
  inTraining(batchNormCase([9, 3, 211, 211], { runningMean: 1 })),
  groupNormCase(2, [2, 9000, 80], { channelAxis: -1 }),
];

const OTHERS: readonly Dtype[] = ["float64", "float16", "bfloat16", "uint8", "float64"];

/** Cells of a case that is asked about in one dtype only: the oracle takes long. */
const LARGE = 1_000_000;

/** Each case in float32 and one other dtype, in turn. */
export const QUESTIONS: readonly Question[] = CASES.flatMap((layerCase, i) => {
  const isLarge = layerCase.shape.reduce((a, b) => a * b, 1) > LARGE;
  // The bound of LocalResponseNorm in float64 is its own test's.
  const other = layerCase.name.startsWith("Local") ? "bfloat16" : (OTHERS[i % OTHERS.length] as Dtype);
  return (isLarge ? (["float32"] as const) : (["float32", other] as const)).flatMap((dtype) =>
    KINDS.map((kind) => ({ kind, layerCase, dtype })),
  );
}).filter(isTaken);

function isTaken({ kind, layerCase, dtype }: Question): boolean {
  if (kind === "backward") return dtype !== "uint8";
  if (kind === "momentsOf") return layerCase.mean === "own";
  return kind === "forward" || layerCase.name.startsWith("LayerNorm");
}

export function nameOf({ kind, layerCase, dtype }: Question, { wrapped, place, options } = PLAIN): string {
  const asked = Object.keys(options).map((option) => `, ${option}`);
  return `${kind} of ${layerCase.name}, ${dtype}, ${place}${wrapped ? ", wrapped" : ""}${asked.join("")}`;
}

const MEAN = 3;
const SEED_OF_GRADIENT = 12;

function inputs({ layerCase, dtype }: Question): { readonly x: Cells; readonly g: Cells } {
  return { x: inputOf(layerCase, dtype), g: inputOf(layerCase, dtype, SEED_OF_GRADIENT) };
}

const layers = new Map<string, Layer>();

/** One for all calls at once, unless calls change it. */
function layerOf({ layerCase, dtype }: Question): Layer {
  const key = `${layerCase.name} ${dtype}`;
  const layer = layers.get(key) ?? layerFor(layerCase, dtype);
  if (!layerCase.name.endsWith("tracked")) layers.set(key, layer);
  return layer;
}

function tensorOf(pool: NormPool, wrapped: boolean, dtype: Dtype, shape: readonly number[], cells?: Cells): Tensor {
  const { view } = DTYPES[dtype];
  const size = shape.reduce((a, b) => a * b, 1);
  const tensor = wrapped
    ? pool.wrap(view(new SharedArrayBuffer(size * CELL_BYTES[dtype]), 0, size), shape, dtype)
    : pool.empty(dtype, shape);
  const { buffer, byteOffset, byteLength } = tensor.data;
  if (cells !== undefined) new Uint8Array(buffer, byteOffset, byteLength).set(bytesOf(cells));
  return tensor;
}

/** A call in place that failed. */
export interface Spoilt {
  readonly original: Uint8Array;
  readonly output: Uint8Array;
  readonly bytesPerCell: number;
}

/**
 * Asks a pool, and hands what it found to `look`, before its tensors are given back.
 * @param spoilt told what is left where a result was to take its input's place, if the call fails.
 */
export async function ask<T>(
  pool: NormPool,
  question: Question,
  { wrapped, place, options }: Way,
  look: (found: Found) => T,
  spoilt: (left: Spoilt) => void = () => {},
): Promise<T> {
  const { kind, layerCase, dtype } = question;
  const { shape, channelAxis } = layerCase;
  const layer = layerOf(question);
  const cells = inputs(question);
  using input = tensorOf(pool, wrapped, dtype, shape, cells.x);
  if (kind === "moments") {
    const { mean, m2 } = await pool.moments(input, options);
    return look({ mean: Float64Array.of(mean), m2: Float64Array.of(m2) });
  }
  if (kind === "momentsOf") {
    const { mean, m2 } = await pool.momentsOf(layer, input, { ...options, channelAxis });
    return look({ mean, m2 });
  }
  using gradOutput = tensorOf(
    pool,
    wrapped,
    dtype,
    kind === "backward" ? shape : [0],
    kind === "backward" ? cells.g : undefined,
  );
  const over = kind === "backward" ? gradOutput : input;
  // Wrapped, so that the result is too; else of the pool's making.
  using fresh = place === "apart" && wrapped ? tensorOf(pool, true, resultDtype(dtype), shape) : undefined;
  const out = place === "apart" ? fresh : over;
  const call = {
    ...options,
    channelAxis,
    out: out as Tensor<never> | undefined,
    inPlaceSafe: place === "in place, safe",
  };
  try {
    if (kind === "backward") {
      const { gradInput, gradWeight, gradBias } = await pool.backward(layer, { ...call, input, gradOutput });
      using made = gradInput;
      return look({ gradInput: made.data, ...(gradWeight && { gradWeight }), ...(gradBias && { gradBias }) });
    }
    let told: SetMoments | undefined;
    const onMoments = (moments: SetMoments) => {
      told = moments;
    };
    using output: Tensor = await pool.forward(layer, input, { ...call, onMoments });
    const { runningMean, runningVar, numBatchesTracked: batches = 0 } = layer as Stateful;
    return look({
      output: output.data,
      ...(told && { mean: told.mean, m2: told.m2 }),
      ...(runningMean && runningVar && { runningMean, runningVar, batches: Float64Array.of(batches) }),
    });
  } catch (error) {
    expect((layer as Stateful).numBatchesTracked ?? 0, "batches tracked by a call that failed").toBe(0);
    if (place !== "apart") {
      const [original, output] = [kind === "backward" ? cells.g : cells.x, over.data].map(bytesOf) as [
        Uint8Array,
        Uint8Array,
      ];
      spoilt({ original, output, bytesPerCell: CELL_BYTES[dtype] });
    }
    throw error;
  }
}

export function checksumsOf(found: Found): Checksums {
  const checksums: Record<string, string> = {};
  for (const [what, array] of Object.entries(found)) {
    checksums[what] = createHash("sha256").update(bytesOf(array)).digest("hex").slice(0, 16);
  }
  return checksums;
}

/** Holds what was found within its bound of float64. */
export function expectExact(question: Question, found: Found): void {
  const { kind, layerCase, dtype } = question;
  const { output, gradInput, gradWeight = null, gradBias = null, m2 } = found;
  const { x, g } = inputs(question);
  const given = { layerCase, layer: layerOf(question), mean: MEAN };
  if (output !== undefined) expectOutput({ ...given, dtype }, x, output);
  if (gradInput !== undefined) {
    expectGradients({ ...given, dtype: dtype as FloatDtype }, x, g, { gradInput, gradWeight, gradBias });
  }
  if (m2 === undefined || (kind !== "moments" && layerCase.mean !== "own")) return;
  const numbers = numbersOf(dtype, x);
  const count = numbers.length / m2.length;
  const variance = kind === "moments" ? varianceOf(numbers) : layerCase.forward(given.layer, numbers).variance;
  // accuracy.test.ts: a deviation is off by a share of 4 halves of a float32 ulp at most, so a variance by twice that.
  const bound = (expected: number) => 8 * 2 ** -24 * expected;
  expectWithin(
    "variance",
    m2.map((sum) => sum / count),
    variance ?? [],
    bound,
  );
}

function varianceOf(numbers: Float64Array): Float64Array {
  const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
  return Float64Array.of(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length);
}
