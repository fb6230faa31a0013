// The same call on 1 thread to all of them, in turn, and a model of it with constants that are measured apart.
import { BatchNorm1d, GroupNorm, LayerNorm } from "../src/index.js";
import { prepare } from "./call.js";
import type { Case } from "./cases.js";
import { Tensors } from "./cells.js";
import { Limit } from "./limit.js";
import { type Constants, errorOf, predict, threadCounts } from "./model.js";
import { BenchPool } from "./pool.js";
import { type Candidate, median, type Samples, sampleInTurn, sampleOne, type Timing, timingOf } from "./samples.js";
import type { SectionOptions } from "./section.js";
import { formatBytes, type SectionText } from "./text.js";
import { LIMIT_MOVES } from "./throughput.js";

const LARGEST = 256 << 20;
const SMALLEST = 1 << 20;
const CHANNELS = 64;
const SPACE = 16_384;
const WIDTH = 1024;
/** Threads that the model is asked about, in times of the cores. */
const BEYOND = 4;
/** A first call finds its threads asleep, and two that are woken may start on one core: the second one is timed. */
const CALLS_A_SAMPLE = 2;
const ROUNDS = 15;
const FEWEST_ROUNDS = 3;
/** What the rounds may take, in milliseconds. */
const BUDGET = 20_000;
const LIMIT = "limit: y = 2x";
const EMPTY_CELLS = 16;

interface ScalingPoint {
  readonly threads: number;
  readonly time: Timing;
  /** The model's, in milliseconds, and its error as a share of what was measured. */
  readonly predicted: number;
  readonly error: number;
}

export interface ScalingSeries {
  readonly name: string;
  readonly constants: Constants;
  readonly points: readonly ScalingPoint[];
  /** For more threads than there are. */
  readonly predictions: readonly { readonly threads: number; readonly predicted: number }[];
  /** All threads' time for y = 2x, by the bytes that this moves: what memory alone takes. */
  readonly memoryTime: number;
}

export interface ScalingResult {
  /** Of the input. */
  readonly bytes: number;
  readonly cores: number;
  readonly rounds: number;
  readonly limit: readonly { readonly threads: number; readonly time: Timing }[];
  /** Time of an empty phase, at all threads. */
  readonly handOver: Timing;
  readonly series: readonly ScalingSeries[];
}

interface Scaled extends Case {
  readonly moved: number;
  readonly phases: number;
}

/** In `bytes` bytes, a multiple of 4 MiB: rows of 1024, planes of 128 x 128. */
function casesOf(bytes: number): Scaled[] {
  const rows = [bytes / 4 / WIDTH, WIDTH];
  const space = Math.min(SPACE, bytes / 4 / CHANNELS);
  const planes = [bytes / 4 / CHANNELS / space, CHANNELS, space];
  return [
    { name: "LayerNorm", layer: new LayerNorm(WIDTH), shape: rows, moved: 3, phases: 1 },
    { name: "GroupNorm", layer: new GroupNorm(32, CHANNELS), shape: planes, moved: 3, phases: 1 },
    { name: "BatchNorm training", layer: new BatchNorm1d(CHANNELS), shape: planes, moved: 4, phases: 2 },
  ];
}

export async function measureScaling({
  threads,
  quick,
  memory,
  onShare,
  signal,
}: SectionOptions): Promise<ScalingResult> {
  // Rows and planes have an input and an output each, and half of that again for the constants.
  const largest = quick ? SMALLEST : Math.min(LARGEST, Math.max(SMALLEST, memory / 6));
  const bytes = 2 ** Math.floor(Math.log2(largest));
  const counts = threadCounts(threads);
  const pool = new BenchPool(threads);
  const tensors = new Tensors(pool.at());
  try {
    const cases = casesOf(bytes);
    const halves = casesOf(bytes / 2);
    const shape = (cases[0] as Scaled).shape;
    const limit = new Limit(pool, tensors.get("x", "float32", shape), tensors.get("y", "float32", shape));
    const candidates: Candidate[] = [];
    for (const count of counts) {
      candidates.push({ name: key(LIMIT, count), run: () => limit.outOfPlace(count) });
      for (const of of cases) {
        candidates.push({ ...(await prepare(pool.at(count), tensors, of)), name: key(of.name, count) });
      }
    }
    // One thread's work is measured on half the tensor, so that the model is not fitted to a point that it is compared with.
    for (const of of halves) candidates.push({ ...(await prepare(pool.at(1), tensors, of)), name: key(of.name, 0) });
    const nothing = pool.arena.take("bench", threads * EMPTY_CELLS * 4);
    const handOver = await sampleOne(
      { name: "hand-over", run: () => emptyPhase(pool, nothing, threads) },
      { milliseconds: quick ? 1 : 150, fewest: 10, batchMilliseconds: 0 },
    );
    const started = performance.now();
    const rounds = quick ? 1 : ROUNDS;
    const samples = await sampleInTurn(
      candidates,
      (round) => {
        signal?.throwIfAborted();
        const spent = performance.now() - started;
        onShare(Math.max(round / rounds, Math.min(1, spent / BUDGET)));
        return round >= rounds || (round >= FEWEST_ROUNDS && spent > BUDGET);
      },
      { calls: CALLS_A_SAMPLE },
    );
    const limits = counts.map((count) => ({ threads: count, time: timingOf(samples.get(key(LIMIT, count)) ?? []) }));
    const bandwidth = (bytes * LIMIT_MOVES) / Math.min(...limits.map(({ time }) => time.median));
    return {
      bytes,
      cores: threads,
      rounds: limits[0]?.time.samples.length ?? 0,
      limit: limits,
      handOver,
      series: cases.map((of) => seriesOf(of, { samples, counts, bytes, bandwidth, handOver: handOver.median })),
    };
  } finally {
    tensors.dispose();
    await pool.close();
  }
}

interface Measured {
  readonly samples: Samples;
  readonly counts: readonly number[];
  readonly bytes: number;
  readonly bandwidth: number;
  readonly handOver: number;
}

function seriesOf({ name, moved, phases }: Scaled, { samples, counts, ...measured }: Measured): ScalingSeries {
  const handOver = measured.handOver * phases;
  const bytes = measured.bytes * moved;
  const half = median(samples.get(key(name, 0)) ?? []);
  const constants: Constants = {
    work: Math.max(0, 2 * (half - handOver)),
    bytes,
    bandwidth: measured.bandwidth,
    handOver,
  };
  const points = counts.map((threads) => {
    const time = timingOf(samples.get(key(name, threads)) ?? []);
    return {
      threads,
      time,
      predicted: predict(constants, threads),
      error: errorOf(constants, threads, time.median),
    };
  });
  const cores = counts.at(-1) ?? 1;
  const beyond = Array.from({ length: BEYOND }, (_, i) => cores * (i + 1)).slice(1);
  const predictions = beyond.map((threads) => ({ threads, predicted: predict(constants, threads) }));
  return { name, constants, points, predictions, memoryTime: bytes / measured.bandwidth };
}

function key(name: string, threads: number): string {
  return `${name} ${threads}`;
}

/** A job of a slice for each thread, with next to nothing in it. */
function emptyPhase(pool: BenchPool, at: number, threads: number): Promise<void> {
  const slices = { from: 0, to: threads, perSlice: 1 };
  return pool.double({ x: at, y: at, length: EMPTY_CELLS, slices }, threads);
}

export function describeScaling({ bytes, rounds, limit, series }: ScalingResult): SectionText {
  const tables = series.map(({ name, points, predictions, constants, memoryTime }) => {
    const single = points[0]?.time.median ?? Number.NaN;
    const lines = points.map(({ threads, time, predicted, error }) => [
      String(threads),
      time.median.toFixed(1),
      `(${time.fastest.toFixed(1)} to ${time.slowest.toFixed(1)})`,
      (single / time.median).toFixed(2),
      predicted.toFixed(1),
      `${error < 0 ? "" : "+"}${(100 * error).toFixed(0)}%`,
    ]);
    const more = predictions.map(({ threads, predicted }) => [String(threads), "", "", "", predicted.toFixed(1), ""]);
    return {
      note: `${name}: work ${constants.work.toFixed(1)} ms, memory ${memoryTime.toFixed(1)} ms, hand-over ${microseconds(constants.handOver)} us`,
      rows: [["threads", "ms", "", "times 1 thread", "model: ms", "error"], ...lines, ...more],
    };
  });
  const limits = limit.map(({ threads, time }) => `${time.median.toFixed(1)} ms on ${threads}`).join(", ");
  return {
    title: "Scaling",
    notes: [
      `${formatBytes(bytes)} float32, medians of ${rounds} rounds. The model: max(work / threads, bytes / bandwidth) + hand-over.`,
      "Work is one thread's time for half the tensor, twice; the hand-over an empty phase's time, for each phase;",
      `bandwidth what y = 2x reached, which took ${limits}. Its error is to what was measured.`,
    ],
    tables,
  };
}

function microseconds(milliseconds: number): string {
  return (1000 * milliseconds).toFixed(0);
}
