// The time of one call, awaited before the next, by the size of its tensor: as a pool does it, on the calling thread, on the workers.
import { LayerNorm, type Shape, type Tensor } from "../src/index.js";
import { fill, reader, Tensors } from "./cells.js";
import { checkForward } from "./check.js";
import { Limit } from "./limit.js";
import { BenchPool, type Place } from "./pool.js";
import { quantile, type Sampling, sampleOne, type Timing, timingOf } from "./samples.js";
import type { SectionOptions } from "./section.js";
import { formatBytes, formatThreads, type SectionText } from "./text.js";

const WIDTH = 768;
const ROWS = [1, 4, 16, 64, 128, 256, 1024, 4096, 16_384];
const QUICK_ROWS = [1, 16, 256];
const SAMPLING: Sampling = { milliseconds: 150, fewest: 10, batchMilliseconds: 0 };
const QUICK_SAMPLING: Sampling = { milliseconds: 1, fewest: 2, batchMilliseconds: 0 };

/** Calls at once. */
const CALLS = 10;
const AT_ONCE_ROWS = 16_384;
const AT_ONCE_WIDTH = 1024;
const AT_ONCE_ROUNDS = 9;

export const SERIES = ["normpool", "calling thread", "workers", "limit: y = 2x on the workers"] as const;

export interface LatencyPoint {
  readonly shape: Shape;
  readonly bytes: number;
  readonly series: (typeof SERIES)[number];
  readonly time: Timing;
}

/** Calls that are made at once, in milliseconds from then until each resolves. */
interface AtOnce {
  readonly calls: number;
  readonly shape: Shape;
  /** One of them alone. */
  readonly alone: Timing;
  readonly first: Timing;
  readonly middle: Timing;
  readonly last: Timing;
}

export interface LatencyResult {
  readonly threads: number;
  readonly points: readonly LatencyPoint[];
  readonly atOnce: AtOnce;
}

export async function measureLatency({
  threads,
  quick,
  memory,
  onShare,
  signal,
}: SectionOptions): Promise<LatencyResult> {
  const pool = new BenchPool(threads);
  const layer = new LayerNorm(WIDTH);
  const points: LatencyPoint[] = [];
  const rows = (quick ? QUICK_ROWS : ROWS).filter((count) => 2 * count * WIDTH * 4 <= memory);
  try {
    for (const [i, count] of rows.entries()) {
      const shape = [count, WIDTH];
      const tensors = new Tensors(pool.at());
      const x = tensors.get("x", "float32", shape);
      const out = tensors.get("y", "float32", shape);
      const computation = layer.prepare(shape, { dtype: "float32", channelAxis: undefined, partOfBatch: false });
      const forward = (place: Place | undefined) => {
        const calls = pool.at(place);
        return () => calls.forward(layer, x, { out });
      };
      const limit = new Limit(pool, x, out);
      const runs = [forward(undefined), forward("calling thread"), forward(threads), () => limit.outOfPlace()];
      for (const [j, series] of SERIES.entries()) {
        signal?.throwIfAborted();
        const run = runs[j] as () => Promise<unknown>;
        if (j < 3) {
          out.data.fill(Number.NaN);
          await run();
          checkForward(`LayerNorm on ${series}`, computation, "float32", reader(x), reader(out));
        }
        const time = await sampleOne({ name: series, run }, quick ? QUICK_SAMPLING : SAMPLING);
        points.push({ shape, bytes: x.data.byteLength, series, time });
        onShare((i + (j + 1) / SERIES.length) / rows.length);
      }
      tensors.dispose();
    }
  } finally {
    await pool.close();
  }
  return { threads, points, atOnce: await measureAtOnce(threads, quick, memory, signal) };
}

async function measureAtOnce(
  threads: number,
  quick: boolean,
  memory: number,
  signal: AbortSignal | undefined,
): Promise<AtOnce> {
  const shape = [quick || 4 * CALLS * AT_ONCE_ROWS * AT_ONCE_WIDTH > memory ? 256 : AT_ONCE_ROWS, AT_ONCE_WIDTH];
  const pool = new BenchPool(threads);
  try {
    const calls = pool.at();
    const layer = new LayerNorm(AT_ONCE_WIDTH);
    const tensors = Array.from({ length: CALLS }, () => calls.tensor("float32", shape));
    for (const x of tensors) fill(x, 1);
    const one = () => calls.forward(layer, tensors[0] as Tensor<"float32">, { out: tensors[0] as Tensor<"float32"> });
    const alone = await sampleOne({ name: "alone", run: one }, quick ? QUICK_SAMPLING : SAMPLING);
    const ends: number[][] = tensors.map(() => []);
    for (let round = 0; round < (quick ? 1 : AT_ONCE_ROUNDS); round++) {
      signal?.throwIfAborted();
      const start = performance.now();
      const timed = tensors.map(async (x, i) => {
        await calls.forward(layer, x, { out: x });
        ends[i]?.push(performance.now() - start);
      });
      await Promise.all(timed);
    }
    const [first, middle, last] = [0, CALLS >> 1, CALLS - 1].map((call) => timingOf(ends[call] ?? []));
    return { calls: CALLS, shape, alone, first: first as Timing, middle: middle as Timing, last: last as Timing };
  } finally {
    await pool.close();
  }
}

/** normpool's time by the better of the calling thread alone and the limit. */
export function ratioToBest(points: readonly LatencyPoint[], bytes: number): number {
  const of = (series: LatencyPoint["series"]) =>
    points.find((point) => point.bytes === bytes && point.series === series)?.time.median ?? Number.NaN;
  return of("normpool") / Math.min(of("calling thread"), of("limit: y = 2x on the workers"));
}

function describeCalls({ calls, shape }: AtOnce): string {
  return `${calls} calls at once of [${shape.join(", ")}], in place: milliseconds until each resolves, and as a share of the last one's.`;
}

function rowsOf({ calls, alone, first, middle, last }: AtOnce): string[][] {
  const row = (name: string, { median }: Timing, share: number) => [
    name,
    median.toFixed(1),
    (median / last.median).toFixed(2),
    share.toFixed(2),
  ];
  return [
    ["", "ms", "share", "its own share"],
    row("one alone", alone, 1 / calls),
    row("the first", first, 1 / calls),
    row(`number ${(calls >> 1) + 1}`, middle, ((calls >> 1) + 1) / calls),
    row("the last", last, 1),
  ];
}

export function describeLatency({ threads, points, atOnce }: LatencyResult): SectionText {
  const us = (milliseconds: number) => (milliseconds * 1000).toFixed(1);
  const sizes = [...new Set(points.map(({ bytes }) => bytes))];
  const lines = sizes.map((bytes) => {
    const own = points.filter((point) => point.bytes === bytes);
    const time = (series: string) => own.find((point) => point.series === series)?.time;
    return [
      `[${own[0]?.shape.join(", ")}] ${formatBytes(bytes)}`,
      ...SERIES.map((series) => us(time(series)?.median ?? Number.NaN)),
      us(quantile(time("normpool")?.samples ?? [], 0.99)),
      ratioToBest(points, bytes).toFixed(2),
    ];
  });
  return {
    title: "Latency",
    notes: [
      `LayerNorm, microseconds of one call after another, up to ${formatThreads(threads)}; medians.`,
      "The ratio is normpool's to the better of the calling thread alone and the limit.",
    ],
    tables: [
      { rows: [["", ...SERIES, "normpool 99%", "ratio"], ...lines] },
      { note: describeCalls(atOnce), rows: rowsOf(atOnce) },
    ],
  };
}
