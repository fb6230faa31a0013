// The phases of a call computed in every way that the machinery has, the bits of the results, and which phases they were.
import { expect } from "vitest";
import { differentiate, fillStatistics, type ParameterGradients, reduce } from "../src/backward.js";
import { reducePhase } from "../src/backward-plan.js";
import type { GradientSums } from "../src/gradient-sums.js";
import type { Computation, Layer } from "../src/layers/layer.js";
import type { SetMoments } from "../src/moments.js";
import { normalize, type Run, type Start } from "../src/normalize.js";
import { CELLS, NONE, operandsOf, type Phase, sliceCount, stageBytesOf } from "../src/protocol.js";
import { respond } from "../src/respond.js";
import { ofMoments } from "../src/statistics.js";
import { drive } from "../src/steps.js";
import { Arena } from "../src/tensor/arena.js";
import type { Dtype } from "../src/tensor/dtype.js";
import { Threads } from "../src/threads.js";
import { Workspace } from "../src/workspace.js";
import { instantiate, kernelModule } from "../workers/kernels.js";
import { runInline, runSlice } from "../workers/phase.js";
import { bytesOf, type Cells } from "./cells.js";
import type { LayerCase } from "./layer-cases.js";
import { seeded } from "./support.js";

const arena = new Arena();
const kernels = instantiate(kernelModule(), arena.memory, 0);
const MOST_THREADS = 7;
const pools = [1, 2, 3, MOST_THREADS].map((count) => new Threads(count, arena.memory, kernelModule()));

export async function closeThreads(): Promise<void> {
  await Promise.all(pools.map((pool) => pool.close()));
}

/** Each phase's kind, and its layout where it has one. `double` is the bench's, of no layer. */
export type PhaseName = Exclude<NameOf<Phase>, "double">;
type NameOf<P extends Phase> = P extends { readonly layout: infer L extends string } ? `${P["kind"]} ${L}` : P["kind"];

/** The most slices that a phase was cut to, by its name. */
export type Seen = Map<string, number>;

export const onCallingThread: Run = (phase, operands) => runInline(kernels, phase, operands);

/** Slices so small that each of the threads gets some, where there are as many units. */
function onThreads(pool: Threads): Run {
  return (phase, operands) => {
    const unitsPerSlice = Math.min(phase.unitsPerSlice, Math.ceil(phase.units / (2 * MOST_THREADS)));
    return pool.run("test", { ...phase, unitsPerSlice }, operands, {});
  };
}

/** Slices in a seeded random order, cut to `unitsPerSlice` units. */
function shuffled(unitsPerSlice: number): Run {
  const random = seeded(unitsPerSlice);
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

export const WAYS: readonly (readonly [what: string, run: Run])[] = [
  ...[1, 2, 3, MOST_THREADS].map((count, i) => [`${count} threads`, onThreads(pools[i] as Threads)] as const),
  ...[1, 2, 5].map((units) => [`shuffled slices of ${units} units`, shuffled(units)] as const),
];

/** The results' bytes by what they are. */
export type Bits = Readonly<Record<string, Uint8Array>>;

interface Call {
  readonly layerCase: LayerCase;
  /** Which the case made for the dtype. */
  readonly layer: Layer;
  readonly dtype: Dtype;
  readonly x: Cells;
  readonly run: Run;
  /** Told of the call's phases. */
  readonly seen?: Seen;
  /** The whole batch's, for SyncBatchNorm; for backward those of the forward pass. */
  readonly moments?: SetMoments | undefined;
}

export interface ForwardCall extends Call {
  readonly inPlace?: boolean;
  /** Whether the moments are asked for. Default true. */
  readonly wanted?: boolean;
}

/** Output and moments of a forward call. */
export async function forward(call: ForwardCall): Promise<{ bits: Bits; moments: SetMoments | undefined }> {
  const { dtype, x, inPlace = false, wanted = true } = call;
  const outputBytes = dtype === "uint8" ? 4 * x.length : x.byteLength;
  return inMemory([x], inPlace ? 0 : outputBytes, async ([from = 0, fresh = 0], workspace) => {
    const to = inPlace ? from : fresh;
    const operands = operandsOf(CELLS[dtype], from, to);
    const computation = prepare(call);
    const start = startOf(call, workspace);
    let moments: SetMoments | undefined;
    if (computation.kind === "response") await drive(respond(computation, operands, start));
    else moments = await drive(normalize(computation, operands, call.moments, wanted, workspace, start));
    const output = new Uint8Array(arena.memory.buffer, to, outputBytes).slice();
    return { bits: { output, ...(moments && { mean: bytesOf(moments.mean), m2: bytesOf(moments.m2) }) }, moments };
  });
}

export interface BackwardCall extends Call {
  readonly g: Cells;
  readonly sums?: GradientSums;
  /** Whose place the input's gradient takes. Default: its own. */
  readonly over?: "x" | "g";
}

/** The gradients of a backward call, those of parameters in float64. */
export async function backward(call: BackwardCall): Promise<Bits> {
  const { dtype, x, g, over, moments, sums } = call;
  return inMemory(
    [x, g],
    over === undefined ? x.byteLength : 0,
    async ([from = 0, beside = 0, fresh = 0], workspace) => {
      const to = over === "x" ? from : over === "g" ? beside : fresh;
      const operands = { ...operandsOf(CELLS[dtype], from, to), g: beside };
      const computation = prepare(call);
      const start = startOf(call, workspace);
      let parameters: ParameterGradients | null = null;
      if (computation.kind === "response") await drive(respond(computation, operands, start));
      else parameters = await drive(differentiate(computation, operands, { moments, sums }, workspace, start));
      const gradInput = new Uint8Array(arena.memory.buffer, to, x.byteLength).slice();
      if (parameters === null) return { gradInput };
      return { gradInput, gradWeight: bytesOf(parameters.weight), gradBias: bytesOf(parameters.bias) };
    },
  );
}

/** SyncBatchNorm's sums of a part of a batch, as `pool.gradientSums` finds them. */
export async function sumsOfPart(call: BackwardCall & { readonly moments: SetMoments }): Promise<Bits> {
  const { dtype, x, g, moments } = call;
  return inMemory([x, g], 0, async ([from = 0, beside = 0], workspace) => {
    const computation = prepare(call);
    if (computation.kind !== "normalization") throw new Error("expected a normalization");
    const { geometry, eps } = computation;
    const phase = reducePhase(geometry, false);
    const statistics = ofMoments(moments, eps);
    const table = fillStatistics(statistics, geometry, workspace);
    const operands = { ...operandsOf(CELLS[dtype], from, NONE), g: beside, statistics: table };
    const run = startOf(call, workspace)([phase]);
    const { products, gradients } = await drive(reduce(phase, operands, NONE, geometry, statistics, workspace, run));
    return { products: bytesOf(products), gradients: bytesOf(gradients) };
  });
}

/** Copies of `inputs` and `freshBytes` more in the arena while `work` runs, which gets their addresses. */
async function inMemory<T>(
  inputs: readonly Cells[],
  freshBytes: number,
  work: (addresses: readonly number[], workspace: Workspace) => Promise<T>,
): Promise<T> {
  const workspace = new Workspace(arena, "test");
  try {
    const addresses = [...inputs.map(({ byteLength }) => byteLength), freshBytes].map((bytes) =>
      workspace.bytes(bytes),
    );
    for (const [i, cells] of inputs.entries()) {
      new Uint8Array(arena.memory.buffer, addresses[i], cells.byteLength).set(bytesOf(cells));
    }
    return await work(addresses, workspace);
  } finally {
    workspace.giveBack();
  }
}

function prepare({ layer, layerCase, dtype, moments }: Call): Computation {
  const { shape, channelAxis } = layerCase;
  return layer.prepare(shape, { dtype, channelAxis, partOfBatch: moments !== undefined });
}

/** Each thread has a stage, as the executor gives it one. */
function startOf({ dtype, run, seen }: Call, workspace: Workspace): Start {
  return (phases) => {
    const stageBytes = Math.max(...phases.map((phase) => stageBytesOf(phase, CELLS[dtype])));
    const stage = stageBytes === 0 ? NONE : workspace.bytes(MOST_THREADS * stageBytes);
    return (phase, operands) => {
      const name = "layout" in phase ? `${phase.kind} ${phase.layout}` : phase.kind;
      seen?.set(name, Math.max(sliceCount(phase), seen.get(name) ?? 0));
      return run(phase, { ...operands, stage, stageBytes });
    };
  };
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
