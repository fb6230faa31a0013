// Sampling. `sampleInTurn` is for calls of tens of milliseconds that are compared with each other: all candidates in turn, round
// after round, so that drift of a shared machine falls on each alike, and ratios are taken within a round. Shorter calls are compared
// by `sampleTurns`, in turns.ts. `sampleOne` is tinybench's: one candidate for so long.
import { Bench } from "tinybench";

export interface Candidate {
  readonly name: string;
  /** May return a number: the milliseconds that it took, where it knows better. */
  run(): Promise<unknown>;
}

/** Times in milliseconds. */
export interface Timing {
  readonly median: number;
  readonly fastest: number;
  readonly slowest: number;
  /** In the order of the rounds; those of `sampleOne` sorted. */
  readonly samples: readonly number[];
}

/** By candidate. */
export type Samples = ReadonlyMap<string, readonly number[]>;

/** Rounds that are not counted: the first calls fault in pages and run V8's baseline code. */
const WARM_UP = 2;

/**
 * @param enough told after each round how many are counted; returns true after the last.
 * @param options.calls so many in a row for a sample, which is the last one's time.
 * @param options.warmUp rounds that are not counted.
 */
export async function sampleInTurn(
  candidates: readonly Candidate[],
  enough: (rounds: number) => boolean,
  { calls = 1, warmUp = WARM_UP } = {},
): Promise<Samples> {
  const samples = new Map<string, number[]>(candidates.map(({ name }) => [name, []]));
  for (let round = 1 - warmUp; ; round++) {
    for (const { name, run } of candidates) {
      for (let call = 1; call < calls; call++) await run();
      const start = performance.now();
      const own = await run();
      const milliseconds = typeof own === "number" ? own : performance.now() - start;
      if (round > 0) samples.get(name)?.push(milliseconds);
    }
    if (round > 0 && enough(round)) return samples;
  }
}

export interface Sampling {
  /** How long. */
  readonly milliseconds: number;
  /** Samples at least, however long they take. */
  readonly fewest: number;
  /** A sample is the mean of as many calls in a row as take so long; 0 for one call. */
  readonly batchMilliseconds: number;
}

/** Samples are bounded where calls are short: a few thousand say all there is to say. */
export const MOST = 2000;

export async function sampleOne({ name, run }: Candidate, sampling: Sampling): Promise<Timing> {
  const { milliseconds, fewest, batchMilliseconds } = sampling;
  const call = await warmUp(run, milliseconds / 4);
  const calls = Math.max(1, Math.floor(batchMilliseconds / call));
  const bench = new Bench({
    iterations: fewest,
    time: Math.min(milliseconds, MOST * calls * call),
    warmup: false,
    retainSamples: true,
    throws: true,
  });
  bench.add(
    name,
    async () => {
      const start = bench.now();
      for (let i = 0; i < calls; i++) await run();
      const duration = bench.now() - start;
      return { overriddenDuration: duration / calls, overriddenIterationCost: duration };
    },
    { async: true },
  );
  const [task] = await bench.run();
  if (task?.result.state !== "completed") throw new Error(`${name}: ${task?.result.state}`);
  return timingOf(task.result.latency.samples ?? []);
}

/** Calls for so long, at least once. Returns what the last ones took. */
export async function warmUp(run: () => Promise<unknown>, milliseconds: number): Promise<number> {
  const start = performance.now();
  for (let calls = 1; ; calls *= 2) {
    const before = performance.now();
    for (let i = 0; i < calls; i++) await run();
    const now = performance.now();
    if (now - start >= milliseconds) return Math.max(1e-4, (now - before) / calls);
  }
}

export function timingOf(samples: readonly number[]): Timing {
  const kept = samples.map((milliseconds) => Number(milliseconds.toPrecision(5)));
  return { median: median(kept), fastest: Math.min(...kept), slowest: Math.max(...kept), samples: kept };
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Between neighbours, linear. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** The median of the rounds' own ratios of one to another. */
export function medianRatio(values: readonly number[], base: readonly number[]): number {
  return median(values.map((value, round) => value / (base[round] ?? Number.NaN)));
}
