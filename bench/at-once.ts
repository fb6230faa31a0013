// Calls that are made at once: when each of them resolves, beside one of them alone.
import { LayerNorm, type Shape, type Tensor } from "../src/index.js";
import { fill } from "./cells.js";
import { BenchPool } from "./pool.js";
import { medianRatio, type Timing, timingOf } from "./samples.js";
import type { SectionOptions } from "./section.js";
import type { TableText } from "./text.js";

const CALLS = 10;
const ROWS = 16_384;
const QUICK_ROWS = 256;
const WIDTH = 1024;
const ROUNDS = 9;

/** In milliseconds from when the calls are made until each resolves. All have one sample a round. */
export interface AtOnce {
  readonly calls: number;
  readonly shape: Shape;
  /** One of them alone. */
  readonly alone: Timing;
  readonly first: Timing;
  readonly middle: Timing;
  readonly last: Timing;
}

export async function measureAtOnce({ threads, quick, memory, signal }: SectionOptions): Promise<AtOnce> {
  const shape = [quick || 4 * CALLS * ROWS * WIDTH > memory ? QUICK_ROWS : ROWS, WIDTH];
  const pool = new BenchPool(threads);
  try {
    const calls = pool.at();
    const layer = new LayerNorm(WIDTH);
    const tensors = Array.from({ length: CALLS }, () => calls.tensor("float32", shape));
    for (const x of tensors) fill(x, "x");
    const alone: number[] = [];
    const ends: number[][] = tensors.map(() => []);
    /** Of so many calls, when each resolves. */
    const make = (count: number): Promise<number[]> => {
      const start = performance.now();
      const inPlace = async (x: Tensor<"float32">) => {
        await calls.forward(layer, x, { out: x });
        return performance.now() - start;
      };
      return Promise.all(tensors.slice(0, count).map(inPlace));
    };
    await make(CALLS);
    for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
      signal?.throwIfAborted();
      // The second call: a first one finds its threads asleep.
      await make(1);
      alone.push(...(await make(1)));
      for (const [i, end] of (await make(CALLS)).entries()) ends[i]?.push(end);
    }
    const of = (call: number) => timingOf(ends[call] ?? []);
    return { calls: CALLS, shape, alone: timingOf(alone), first: of(0), middle: of(CALLS >> 1), last: of(CALLS - 1) };
  } finally {
    await pool.close();
  }
}

/** When one resolves, as a share of when the last one does, and what its own share of the work is. */
export interface Resolved {
  readonly name: string;
  readonly time: Timing;
  readonly share: number;
  readonly ownShare: number;
}

export function resolvedOf({ calls, alone, first, middle, last }: AtOnce): Resolved[] {
  const row = (name: string, time: Timing, order: number) => ({
    name,
    time,
    share: medianRatio(time.samples, last.samples),
    ownShare: order / calls,
  });
  const number = (calls >> 1) + 1;
  return [
    row("one alone", alone, 1),
    row("the first", first, 1),
    row(`number ${number}`, middle, number),
    row("the last", last, calls),
  ];
}

export function describeAtOnce(atOnce: AtOnce): TableText {
  const { calls, shape } = atOnce;
  return {
    note: `${calls} calls at once of [${shape.join(", ")}], in place: milliseconds until each resolves, and as a share of the last one's in the same round.`,
    rows: [
      ["", "ms", "share", "its own share"],
      ...resolvedOf(atOnce).map(({ name, time, share, ownShare }) => [
        name,
        time.median.toFixed(1),
        share.toFixed(2),
        ownShare.toFixed(2),
      ]),
    ],
  };
}
