// Calls computed in every way that the machinery has, the bits of the results, and which phases they were.
import { expect } from "vitest";
import { backward as backwardCall, gradientSums } from "../src/calls/backward.js";
import { forward as forwardCall } from "../src/calls/forward.js";
import type { GradientSums, Layer, SetMoments, Tensor } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { resultDtype } from "../src/plan/cells.js";
import type { Phase } from "../src/plan/phase.js";
import { type Slices, sliceCount, slicesOf } from "../src/plan/slices.js";
import { Executor, type ExecutorOptions, type Jobs } from "../src/run/executor.js";
import { drive } from "../src/run/steps.js";
import type { Job } from "../src/run/work.js";
import type { Dtype } from "../src/tensor/dtype.js";
import type { Shape } from "../src/tensor/shape.js";
import { makeControl } from "../workers/control.js";
import { instantiate, kernelModule } from "../workers/kernels.js";
import { runSlice } from "../workers/phase.js";
import type { PhaseTask } from "../workers/task.js";
import { bytesOf, type Cells } from "./cells.js";
import type { LayerCase } from "./layer-cases.js";
import { seeded } from "./support.js";

const arena = new Arena();
const MOST_THREADS = 7;

/** Each phase's kind, and its layout where it has one. */
export type PhaseName = NameOf<Phase>;
type NameOf<P extends Phase> = P extends { readonly layout: infer L extends string } ? `${P["kind"]} ${L}` : P["kind"];

/** The most slices that a phase was cut to, by its name. */
export type Seen = Map<string, number>;

/** Computes jobs on the calling thread, their slices in an order of its own. */
class JobsHere implements Jobs {
  readonly #kernels = instantiate(kernelModule(), arena.memory, 0);
  readonly #order: (slices: number) => number[];

  constructor(order: (slices: number) => number[]) {
    this.#order = order;
  }

  ticket = () => 0;

  leave = () => {};

  stop = () => {};

  readonly stats = { threads: 0, running: 0, waiting: 0, threadsLost: 0, slicesLost: 0, waited: 0 };

  async run(job: Job): Promise<void> {
    const task = job.taskFor(makeControl(1, job.slices), 0) as PhaseTask;
    for (const slice of this.#order(job.slices)) runSlice(this.#kernels, task, slice);
  }

  share = (job: Job) => this.run(job);

  async close(): Promise<void> {}
}

/** Slices so small that each of the threads gets some, where there are as many units. */
function small(phase: Phase, from: number, to: number): Slices {
  const slices = slicesOf(phase, from, to);
  return { ...slices, perSlice: Math.min(slices.perSlice, Math.ceil((to - from) / (2 * MOST_THREADS))) };
}

function onThreads(count: number, stripeBytes?: number): Executor {
  const stripes = stripeBytes === undefined ? {} : { stripeBytes };
  return new Executor(count, arena, { placer: () => "workers", slicer: small, ...stripes });
}

/** Slices in a seeded random order, cut to `perSlice` units. */
function shuffled(perSlice: number): Executor {
  const random = seeded(perSlice);
  const order = (slices: number) => {
    const all = Array.from({ length: slices }, (_, slice) => slice);
    for (let i = all.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [all[i], all[j]] = [all[j] as number, all[i] as number];
    }
    return all;
  };
  const slicer = (_: Phase, from: number, to: number) => ({ from, to, perSlice });
  return new Executor(1, arena, { placer: () => "workers", slicer, jobs: new JobsHere(order) });
}

const here: ExecutorOptions = { placer: () => "calling thread" };

/** The calling thread, with so many bytes of tables at a time. */
export function onStripes(stripeBytes: number): Executor {
  return new Executor(1, arena, { ...here, stripeBytes });
}

export const onCallingThread = new Executor(1, arena, here);

/** So few bytes of tables that a stripe has a few sets, and a round a few segments. */
const STRIPE_BYTES = 3000;

export const WAYS: readonly (readonly [what: string, executor: Executor])[] = [
  ...[1, 2, 3, MOST_THREADS].map((count) => [`${count} threads`, onThreads(count)] as const),
  ...[1, 2, 5].map((units) => [`shuffled slices of ${units} units`, shuffled(units)] as const),
  ["stripes", onStripes(STRIPE_BYTES)],
  ["larger stripes on 2 threads", onThreads(2, 20 * STRIPE_BYTES)],
];

/** On 1, 2 and 7 threads, with slices for each. */
export const ON_THREADS: readonly (readonly [what: string, executor: Executor])[] = [WAYS[0], WAYS[1], WAYS[3]].map(
  (way) => way as (typeof WAYS)[number],
);

export async function closeThreads(): Promise<void> {
  await Promise.all(WAYS.map(([, executor]) => executor.close()));
}

/** An executor that tells `seen` what it computes. */
export function watched(seen: Seen): Executor {
  const slicer = (phase: Phase, from: number, to: number) => {
    const name = "layout" in phase ? `${phase.kind} ${phase.layout}` : phase.kind;
    const slices = slicesOf(phase, from, to);
    seen.set(name, Math.max(sliceCount(slices), seen.get(name) ?? 0));
    return slices;
  };
  const inOrder = (slices: number) => Array.from({ length: slices }, (_, slice) => slice);
  return new Executor(1, arena, { placer: () => "workers", slicer, jobs: new JobsHere(inOrder) });
}

/** The results' bytes by what they are. */
export type Bits = Readonly<Record<string, Uint8Array>>;

/** Makes a tensor, of `cells` if there are any. */
export type Place = (on: Executor, dtype: Dtype, shape: Shape, cells: Cells | null) => Promise<Tensor>;

interface Call {
  readonly layerCase: LayerCase;
  /** Which the case made for the dtype. */
  readonly layer: Layer;
  readonly dtype: Dtype;
  readonly x: Cells;
  readonly on: Executor;
  /** Where tensors are. Default: in the arena. */
  readonly place?: Place;
  /** The whole batch's, for SyncBatchNorm; for backward those of the forward pass. */
  readonly moments?: SetMoments | undefined;
}

export interface ForwardCall extends Call {
  readonly inPlace?: boolean;
  /** Whether the moments are asked for. Default true. */
  readonly wanted?: boolean;
}

const inArena: Place = async (on, dtype, shape, cells) => {
  const tensor = on.allocate("test", dtype, shape, false);
  const { buffer, byteOffset, byteLength } = tensor.data;
  if (cells !== null) new Uint8Array(buffer, byteOffset, byteLength).set(bytesOf(cells));
  return tensor;
};

/** Output and moments of a forward call. */
export async function forward(call: ForwardCall): Promise<{ bits: Bits; moments: SetMoments | undefined }> {
  const { on, layer, layerCase, dtype, place = inArena, inPlace = false, wanted = true } = call;
  const { shape, channelAxis } = layerCase;
  using x = await place(on, dtype, shape, call.x);
  using fresh = await place(on, resultDtype(dtype), inPlace ? [0] : shape, null);
  const out = inPlace ? x : fresh;
  let told: SetMoments | undefined;
  const onMoments = (found: SetMoments) => {
    told = found;
  };
  await forwardCall(on, layer, x, { out, channelAxis, moments: call.moments, ...(wanted && { onMoments }) });
  const output = bytesOf(await out.read());
  return { bits: { output, ...(told && { mean: bytesOf(told.mean), m2: bytesOf(told.m2) }) }, moments: told };
}

export interface BackwardCall extends Call {
  readonly g: Cells;
  readonly sums?: GradientSums;
  /** Whose place the input's gradient takes. Default: its own. */
  readonly over?: "x" | "g";
}

/** The gradients of a backward call. */
export async function backward(call: BackwardCall): Promise<Bits> {
  const { on, layer, layerCase, dtype, place = inArena, over, moments, sums } = call;
  const { channelAxis, shape } = layerCase;
  using input = await place(on, dtype, shape, call.x);
  using gradOutput = await place(on, dtype, shape, call.g);
  using fresh = await place(on, dtype, over === undefined ? shape : [0], null);
  const out = over === undefined ? fresh : over === "x" ? input : gradOutput;
  const options = { input, gradOutput, out, channelAxis, moments, sums };
  const { gradInput, gradWeight, gradBias } = await drive(backwardCall(on, layer, options));
  const bits = {
    gradInput: bytesOf(await gradInput.read()),
    ...(gradWeight && { gradWeight: bytesOf(gradWeight) }),
    ...(gradBias && { gradBias: bytesOf(gradBias) }),
  };
  return bits;
}

/** SyncBatchNorm's sums of a part of a batch, as `pool.gradientSums` finds them. */
export async function sumsOfPart(call: BackwardCall & { readonly moments: SetMoments }): Promise<Bits> {
  const { on, layer, layerCase, dtype, place = inArena, moments } = call;
  const { shape } = layerCase;
  using input = await place(on, dtype, shape, call.x);
  using gradOutput = await place(on, dtype, shape, call.g);
  const options = { input, gradOutput, moments, channelAxis: layerCase.channelAxis };
  const { sumDy, sumDyXmu } = await drive(gradientSums(on, layer, options));
  return { sumDy: bytesOf(sumDy), sumDyXmu: bytesOf(sumDyXmu) };
}

/** Holds all results equal byte by byte, NaNs and signs of zero too. */
export function expectSameBytes(actual: Bits, expected: Bits, way: string): void {
  expect(Object.keys(actual), way).toEqual(Object.keys(expected));
  for (const [what, bytes] of Object.entries(expected)) {
    const found = actual[what] as Uint8Array;
    if (Buffer.compare(found, bytes) === 0) continue;
    const at = bytes.findIndex((byte, i) => byte !== found[i]);
    expect.fail(`${way}: ${what} differs from byte ${at} on: got ${found[at]}, expected ${bytes[at]}`);
  }
}
