// Threads that fail in the middle of calls: whatever the fault and wherever it strikes, the call has the same bits, or the error that is
// documented; the pool goes on, and nothing is left behind.
import type { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { backward as backwardCall } from "../../src/calls/backward.js";
import { forward as forwardCall } from "../../src/calls/forward.js";
import { type Dtype, type Layer, type SetMoments, type Tensor, WorkerFailedError } from "../../src/index.js";
import { Arena } from "../../src/memory/arena.js";
import { CELL_BYTES, resultDtype } from "../../src/plan/cells.js";
import { columnTilesOf } from "../../src/plan/grid.js";
import type { Phase } from "../../src/plan/phase.js";
import { slicesOf } from "../../src/plan/slices.js";
import { Executor } from "../../src/run/executor.js";
import { drive } from "../../src/run/steps.js";
import { ATTEMPTS } from "../../src/run/work.js";
import { DTYPES } from "../../src/tensor/dtype.js";
import { holdingOf } from "../../src/tensor/sources.js";
import { Tensor as TensorClass } from "../../src/tensor/tensor.js";
import { bytesOf, type Cells } from "../cells.js";
import { onCallingThread, type PhaseName, type Seen, watched } from "../every-way.js";
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
import { inputOf, layerFor } from "../same-bits-cases.js";
import { seeded } from "../support.js";
import { type Fault, INJECTOR, type Injection, Injections, KINDS, POINTS, type Point } from "./injector.js";
import { expectOthersWhole } from "./whole.js";

const { NORMPOOL_FAULTS = "7", NORMPOOL_FAULTS_SEED = "20261125", NORMPOOL_STRESS } = process.env;
const SEED = Number(NORMPOOL_FAULTS_SEED);
/** Scenarios of each phase, fault, and number of threads; where all is done many times over, others each time. */
const SCENARIOS = NORMPOOL_STRESS === undefined ? Number(NORMPOOL_FAULTS) : 1;

/** Every layer, and together every phase; of several tiles each. */
const CASES: readonly LayerCase[] = [
  layerNormCase([301], [1000]),
  layerNormCase([2], [270_001]),
  layerNormCase([97], [5003], { affine: false }),
  axisNormCase([3, 40, 1111], 1),
  rmsNormCase([301], [1000]),
  unitNormCase([301], [1000]),
  groupNormCase(3, [5, 6, 77, 31]),
  groupNormCase(2, [3, 900, 80], { channelAxis: -1 }),
  instanceNormCase([4, 5, 131, 127]),
  batchNormCase([3, 3, 181, 181]),
  batchNormCase([1100, 130]),
  batchNormCase([301, 19, 7, 7], { runningMean: 1 }),
  localResponseNormCase(5, [5, 20, 37, 51]),
];

type Direction = "forward" | "backward";
type Place = "apart" | "in place" | "in place, safe";

interface Scenario {
  readonly layerCase: LayerCase;
  readonly dtype: Dtype;
  readonly direction: Direction;
  readonly place: Place;
  /** Whether tensors are on memory of the caller's. */
  readonly wrapped: boolean;
  /** Bytes of tables: few, so that there are stripes; null: as many as a pool has. */
  readonly stripeBytes: number | null;
  readonly threads: number;
  readonly injection: Injection;
}

interface Outcome {
  readonly bits: Readonly<Record<string, Uint8Array>>;
  /** Bytes of the output, also of a call that failed. */
  readonly output: Uint8Array;
  readonly original: Uint8Array;
  readonly error: unknown;
}

const arena = new Arena();
const born: Worker[] = [];
const onWorker = (worker: Worker) => void born.push(worker);
const injections = new Injections();
const executors = new Map<string, Executor>();
const counts = { scenarios: 0, faults: 0, "same bits": 0, "documented error": 0 };

beforeAll(() => void process.on("worker", onWorker));

afterAll(async () => {
  await Promise.all([...executors.values()].map((executor) => executor.close()));
  process.off("worker", onWorker);
  console.log(`faults: seed ${SEED}, ${born.length} threads started; ${JSON.stringify(counts)}`);
  // A thread that has ended has no id any more.
  expect(born.filter(({ threadId }) => threadId !== -1)).toEqual([]);
});

/** Slices so small that there are some for each thread; no more, since a fault that never ends ends as many threads. */
function slicerFor(threads: number) {
  return (phase: Phase, from: number, to: number) => {
    const slices = slicesOf(phase, from, to);
    return { ...slices, perSlice: Math.min(slices.perSlice, Math.ceil((to - from) / (3 * threads))) };
  };
}

function executorOf(threads: number, stripeBytes: number | null, sliceTimeout: number): Executor {
  const key = `${threads} ${stripeBytes} ${sliceTimeout}`;
  let executor = executors.get(key);
  if (executor === undefined) {
    executor = new Executor(threads, arena, {
      placer: () => "workers",
      slicer: slicerFor(threads),
      modules: [INJECTOR],
      queue: { sliceTimeout },
      ...(stripeBytes !== null && { stripeBytes }),
    });
    executors.set(key, executor);
  }
  return executor;
}

function tensorOf(on: Executor, dtype: Dtype, shape: readonly number[], cells: Cells | null, wrapped: boolean): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const tensor = wrapped
    ? new TensorClass(
        holdingOf(DTYPES[dtype].view(new SharedArrayBuffer(size * CELL_BYTES[dtype]), 0, size)),
        dtype,
        shape,
      )
    : on.allocate("test", dtype, shape, true);
  if (cells !== null) {
    const { buffer, byteOffset, byteLength } = tensor.data;
    new Uint8Array(buffer, byteOffset, byteLength).set(bytesOf(cells));
  }
  return tensor;
}

const layers = new Map<string, Layer>();

/** No call changes it. Drawing its parameters would take longer than the call. */
function layerOf(layerCase: LayerCase, dtype: Dtype): Layer {
  const key = `${layerCase.name} ${dtype}`;
  const layer = layers.get(key) ?? layerFor(layerCase, dtype);
  layers.set(key, layer);
  return layer;
}

async function outcomeOf(
  on: Executor,
  scenario: Omit<Scenario, "injection" | "threads" | "stripeBytes">,
): Promise<Outcome> {
  const { layerCase, dtype, direction, place, wrapped } = scenario;
  const { shape, channelAxis } = layerCase;
  const layer = layerOf(layerCase, dtype);
  const inPlaceSafe = place === "in place, safe";
  using x = tensorOf(on, dtype, shape, inputOf(layerCase, dtype), wrapped);
  using g = tensorOf(
    on,
    dtype,
    direction === "forward" ? [0] : shape,
    direction === "forward" ? null : inputOf(layerCase, dtype, 12),
    wrapped,
  );
  const over = direction === "forward" ? x : g;
  using fresh = tensorOf(on, resultDtype(dtype), place === "apart" ? shape : [0], null, wrapped);
  const out = place === "apart" ? fresh : over;
  const original = bytesOf(out.data).slice();
  const bits: { [role: string]: Uint8Array } & { gradWeight?: Uint8Array; gradBias?: Uint8Array; output?: Uint8Array } =
    {};
  let error: unknown;
  try {
    if (direction === "forward") {
      let told: SetMoments | undefined;
      const onMoments = (moments: SetMoments) => {
        told = moments;
      };
      await forwardCall(on, layer, x, { out, channelAxis, inPlaceSafe, onMoments });
      if (told !== undefined) Object.assign(bits, { mean: bytesOf(told.mean), m2: bytesOf(told.m2) });
      const { runningMean, runningVar } = layer as Layer & {
        runningMean?: Float32Array | null;
        runningVar?: Float32Array;
      };
      if (runningMean && runningVar)
        Object.assign(bits, { runningMean: bytesOf(runningMean), runningVar: bytesOf(runningVar) });
    } else {
      const call = { input: x, gradOutput: g, out, channelAxis, inPlaceSafe };
      const { gradWeight, gradBias } = await drive(backwardCall(on, layer, call));
      if (gradWeight) bits.gradWeight = bytesOf(gradWeight);
      if (gradBias) bits.gradBias = bytesOf(gradBias);
    }
  } catch (thrown) {
    error = thrown;
  }
  const output = bytesOf(out.data).slice();
  if (error === undefined) bits.output = output;
  return { bits, output, original, error };
}

const expectedOutcomes = new Map<string, Promise<Outcome>>();

/** What the calling thread alone makes of it. */
function expectedOf(scenario: Scenario): Promise<Outcome> {
  const { layerCase, dtype, direction, place } = scenario;
  const key = `${layerCase.name} ${dtype} ${direction} ${place}`;
  let outcome = expectedOutcomes.get(key);
  if (outcome === undefined) {
    outcome = outcomeOf(onCallingThread, { ...scenario, wrapped: false });
    expectedOutcomes.set(key, outcome);
  }
  return outcome;
}

const WRITING: ReadonlySet<Phase["kind"]> = new Set(["normalize", "apply", "propagate", "differentiate", "response"]);

async function play(scenario: Scenario, sliceTimeout = 60_000): Promise<void> {
  const { dtype, place, threads, stripeBytes, injection } = scenario;
  const on = executorOf(threads, stripeBytes, sliceTimeout);
  const expected = await expectedOf(scenario);
  const inUse = arena.inUse;
  injections.set(injection);
  const outcome = await outcomeOf(on, scenario);
  const injected = injections.end();
  const { layerCase, ...rest } = scenario;
  const what = `${layerCase.name} ${JSON.stringify(rest)}`;
  counts.scenarios++;
  counts.faults += injected;
  const isWritten = place !== "apart" && WRITING.has(injection.phase as Phase["kind"]);
  const { error } = outcome;
  if (error === undefined) {
    counts["same bits"]++;
    for (const [role, bytes] of Object.entries(expected.bits)) {
      expect(Buffer.compare(outcome.bits[role] as Uint8Array, bytes), `${what}: ${role}`).toBe(0);
    }
    // Not by luck: a fault that cannot be mended is not passed over. But a tile that was computed is stored, and not begun again.
    const mends = place === "in place, safe" && injection.point === "storing";
    expect(injected >= ATTEMPTS && !mends, what).toBe(false);
  } else {
    counts["documented error"]++;
    expect(error, what).toBeInstanceOf(WorkerFailedError);
    const { lost, undefinedCells } = error as WorkerFailedError;
    expect(lost?.phase, what).toBe(injection.phase);
    const spoilt = isWritten && place === "in place" && injection.point !== "claimed";
    expect(spoilt || injection.times >= ATTEMPTS, `${what}: ${error}`).toBe(true);
    if (!spoilt) expect(lost?.attempt, what).toBe(ATTEMPTS);
    if (place !== "apart") {
      expectOthersWhole({ ...outcome, whole: expected.output, bytesPerCell: CELL_BYTES[dtype] }, undefinedCells);
    }
    if (spoilt) expect(undefinedCells.length, what).toBeGreaterThan(0);
  }
  expect(arena.inUse, what).toBe(inUse);
}

/** Which phases each call has. */
const phasesOf = new Map<Phase["kind"], { readonly layerCase: LayerCase; readonly direction: Direction }[]>();

beforeAll(async () => {
  for (const layerCase of CASES) {
    for (const direction of ["forward", "backward"] as const) {
      const seen: Seen = new Map<PhaseName, number>();
      await outcomeOf(watched(seen), { layerCase, dtype: "float32", direction, place: "apart", wrapped: false });
      for (const kind of new Set([...seen.keys()].map((name) => name.split(" ")[0] as Phase["kind"]))) {
        phasesOf.set(kind, [...(phasesOf.get(kind) ?? []), { layerCase, direction }]);
      }
    }
  }
});

const random = seeded(SEED);

function pick<T>(all: readonly T[]): T {
  return all[Math.floor(random() * all.length)] as T;
}

function scenarioOf(kind: Phase["kind"], fault: Fault, threads: number): Scenario {
  const { layerCase, direction } = pick(phasesOf.get(kind) ?? []);
  const forwardDtypes = ["float32", "float32", "float64", "float16", "bfloat16", "uint8"] as const;
  const dtype = pick(
    direction === "forward" ? forwardDtypes : (["float32", "float32", "float64", "bfloat16"] as const),
  );
  const places: readonly Place[] = ["apart", "in place", "in place, safe", "in place, safe"];
  return {
    layerCase,
    dtype,
    direction,
    place: dtype === "uint8" ? "apart" : pick(places),
    wrapped: random() < 0.4,
    stripeBytes: random() < 0.3 ? 60_000 : null,
    threads,
    injection: {
      fault,
      point: pick(POINTS) as Point,
      phase: kind,
      before: Math.floor(random() ** 2 * 20),
      // A thread that exits has to be replaced, which takes longer than all else: few of them do so for ever.
      times: pick(fault === "exit" ? [1, 1, 1, 1, 2, 2, 2, 1_000_000] : [1, 1, 2, 1_000_000]),
    },
  };
}

const all = KINDS.flatMap((kind) => [1, 2, 4].map((threads) => ({ kind, threads })));

describe.each(all)("in phase $kind on $threads threads", ({ kind, threads }) => {
  test.each(["exit", "throw", "trap"] as const)("a thread that ends by %s costs time only", async (fault) => {
    for (let times = 0; times < SCENARIOS; times++) await play(scenarioOf(kind, fault, threads));
  });
});

describe.each(KINDS.map((kind) => ({ kind })))("in phase $kind", ({ kind }) => {
  test("a thread whose heap is full costs time only", async () => {
    await play(scenarioOf(kind, "heap", 2));
  });

  test.each(["wait", "spin"] as const)("a thread that is stuck in a %s costs time only", async (fault) => {
    const { injection, ...scenario } = scenarioOf(kind, fault, 2);
    await play({ ...scenario, injection: { ...injection, times: 1 } }, 1000);
  });
});

// Of a block of samples that is in several stripes, or is computed in several tiles, each but the first adds to the sums of those before it.
describe.each([
  // A unit for each tile of columns in the first stripe, which adds to nothing.
  {
    phase: "accumulate",
    layerCase: layerNormCase([40], [17_000]),
    stripeBytes: 400,
    before: columnTilesOf(17_000) + 2,
  },
  // The first block's second tile: 66 samples are more than fit.
  { phase: "differentiate", layerCase: layerNormCase([8400], [499]), stripeBytes: null, before: 1 },
] as const)("in phase $phase, where tiles add to sums", ({ phase, layerCase, stripeBytes, before }) => {
  test.each(["exit", "throw", "trap"] as const)(
    "what a thread added that ends by %s is not added twice",
    async (fault) => {
      const injection = { fault, phase, point: "computed", before, times: 1 } as const;
      const where = { place: "in place, safe", wrapped: false, stripeBytes, threads: 1 } as const;
      const { faults } = counts;
      await play({ layerCase, dtype: "float64", direction: "backward", ...where, injection });
      expect(counts.faults).toBe(faults + 1);
    },
  );
});
