// The time of one call, awaited before the next, by the size of its tensor: as a pool does it, on the calling thread, on the workers,
// in turn.
import { LayerNorm, type Shape } from "../src/index.js";
import { type AtOnce, describeAtOnce, measureAtOnce } from "./at-once.js";
import { reader, Tensors } from "./cells.js";
import { checkForward } from "./check.js";
import { Limit } from "./limit.js";
import { BenchPool, type Place } from "./pool.js";
import { type Candidate, medianRatio, quantile, type Timing, timingOf } from "./samples.js";
import type { SectionOptions } from "./section.js";
import { formatBytes, formatThreads, type SectionText } from "./text.js";
import { mediansOfRounds, sampleTurns, type Turns } from "./turns.js";

const WIDTH = 768;
const ROWS = [1, 4, 16, 64, 128, 256, 1024, 4096, 16_384];
const QUICK_ROWS = [1, 16, 256];
/** A sample is a call: the slowest of them are shown too. */
const TURNS: Turns = { rounds: 10, milliseconds: 150, batchMilliseconds: 0 };
const QUICK_TURNS: Turns = { rounds: 2, milliseconds: 1, batchMilliseconds: 0 };

export const SERIES = ["normpool", "calling thread", "workers", "limit: y = 2x on the workers"] as const;

interface LatencyPoint {
  readonly shape: Shape;
  readonly bytes: number;
  readonly series: (typeof SERIES)[number];
  readonly time: Timing;
}

export interface LatencyResult {
  readonly threads: number;
  /** Of each size. Each has as many samples of a series. */
  readonly rounds: number;
  readonly points: readonly LatencyPoint[];
  readonly atOnce: AtOnce;
}

export async function measureLatency(options: SectionOptions): Promise<LatencyResult> {
  const { threads, quick, memory, onShare, signal } = options;
  const turns = quick ? QUICK_TURNS : TURNS;
  const pool = new BenchPool(threads);
  const points: LatencyPoint[] = [];
  const rows = (quick ? QUICK_ROWS : ROWS).filter((count) => 2 * count * WIDTH * 4 <= memory);
  try {
    for (const [i, count] of rows.entries()) {
      const shape = [count, WIDTH];
      const tensors = new Tensors(pool.at());
      const samples = await sampleTurns(await prepareCalls(pool, tensors, shape), turns, (round) => {
        signal?.throwIfAborted();
        onShare((i + round / turns.rounds) / rows.length);
      });
      for (const series of SERIES) {
        points.push({ shape, bytes: count * WIDTH * 4, series, time: timingOf(samples.get(series) ?? []) });
      }
      tensors.dispose();
    }
  } finally {
    await pool.close();
  }
  return { threads, rounds: turns.rounds, points, atOnce: await measureAtOnce(options) };
}

/** Checked, one a series. */
async function prepareCalls(pool: BenchPool, tensors: Tensors, shape: Shape): Promise<Candidate[]> {
  const layer = new LayerNorm(WIDTH);
  const x = tensors.get("x", "float32", shape);
  const out = tensors.get("y", "float32", shape);
  const computation = layer.prepare(shape, { dtype: "float32", channelAxis: undefined, partOfBatch: false });
  const [own, callingThread, workers, limit] = SERIES;
  const places: [series: string, place: Place | undefined][] = [
    [own, undefined],
    [callingThread, "calling thread"],
    [workers, pool.threads],
  ];
  const candidates: Candidate[] = [];
  for (const [name, place] of places) {
    const calls = pool.at(place);
    const run = () => calls.forward(layer, x, { out });
    out.data.fill(Number.NaN);
    await run();
    checkForward(`LayerNorm on ${name}`, computation, "float32", reader(x), reader(out));
    candidates.push({ name, run });
  }
  const doubling = new Limit(pool, x, out);
  return [...candidates, { name: limit, run: () => doubling.outOfPlace() }];
}

/** normpool's time by that of the calling thread alone or the limit, whichever is better, in the same round; the rounds' median. */
export function ratioToBest({ points, rounds }: Pick<LatencyResult, "points" | "rounds">, bytes: number): number {
  const of = (series: LatencyPoint["series"]) =>
    mediansOfRounds(
      points.find((point) => point.bytes === bytes && point.series === series)?.time.samples ?? [],
      rounds,
    );
  const own = of("normpool");
  return Math.max(medianRatio(own, of("calling thread")), medianRatio(own, of("limit: y = 2x on the workers")));
}

export function describeLatency({ threads, rounds, points, atOnce }: LatencyResult): SectionText {
  const us = (milliseconds: number) => (milliseconds * 1000).toFixed(1);
  const sizes = [...new Set(points.map(({ bytes }) => bytes))];
  const lines = sizes.map((bytes) => {
    const own = points.filter((point) => point.bytes === bytes);
    const time = (series: string) => own.find((point) => point.series === series)?.time;
    return [
      `[${own[0]?.shape.join(", ")}] ${formatBytes(bytes)}`,
      ...SERIES.map((series) => us(time(series)?.median ?? Number.NaN)),
      us(quantile(time("normpool")?.samples ?? [], 0.99)),
      ratioToBest({ points, rounds }, bytes).toFixed(2),
    ];
  });
  return {
    title: "Latency",
    notes: [
      `LayerNorm, microseconds of one call after another, up to ${formatThreads(threads)}; medians of ${rounds} rounds in which each series has its turn.`,
      "The ratio is normpool's to the better of the calling thread alone and the limit: the median of the rounds' own.",
    ],
    tables: [{ rows: [["", ...SERIES, "normpool 99%", "ratio"], ...lines] }, describeAtOnce(atOnce)],
  };
}
