// Each case beside the machine's limit and plain JavaScript, at 1 thread and all. Every group has a pool of its own, and its memory.
import { NormPool } from "../src/index.js";
import { prepare } from "./call.js";
import type { Case, Group } from "./cases.js";
import { Tensors } from "./cells.js";
import { Limit } from "./limit.js";
import { plainLayerNorm } from "./plain.js";
import { type Candidate, median, medianRatio, type Samples, sampleInTurn, type Timing, timingOf } from "./samples.js";
import type { SectionOptions } from "./section.js";
import type { SectionText } from "./text.js";

const ROUNDS = 15;
const QUICK_ROUNDS = 2;
export const LIMIT = "limit: y = 2x";
export const LIMIT_IN_PLACE = "limit: x = 2x in place";
export const LIMIT_READ = "limit: one read";
export const PLAIN = "plain JavaScript LayerNorm";

/** Times that y = 2x moves its tensor's bytes; the other limits' bytes are counted as they are. */
export const LIMIT_MOVES = 3;
const MOVES: Readonly<Record<string, number>> = { [LIMIT_IN_PLACE]: 2, [LIMIT_READ]: 1 };

export interface ThroughputRow {
  readonly group: string;
  readonly name: string;
  readonly threads: number;
  readonly time: Timing;
  readonly gigabytesPerSecond: number;
  /** Milliseconds of what it is compared with: the limits for as many bytes, or another case. Of their medians. */
  readonly limit: number;
  /** To that, in the same round; the rounds' median. */
  readonly ratio: number;
  readonly atMost?: number;
}

export interface ThroughputResult {
  readonly rounds: number;
  readonly rows: readonly ThroughputRow[];
}

interface Measured {
  readonly samples: Samples;
  readonly bytes: ReadonlyMap<string, number>;
  readonly limitBytes: number;
}

async function measure(group: Group, threads: number, rounds: number): Promise<Measured> {
  const pool = new NormPool({ threads });
  const tensors = new Tensors(pool);
  const bytes = new Map(
    group.cases.map(({ name, dtype = "float32", shape }) => [name, tensors.get("x", dtype, shape).data.byteLength]),
  );
  const limitBytes = Math.min(256 << 20, Math.max(...bytes.values()));
  // The limit's slices are whole: a power of 2 of cells, at most those of the group's tensors.
  const limit = Limit.alone(threads, 2 ** Math.floor(Math.log2(limitBytes / 4)));
  const candidates: Candidate[] = [
    { name: LIMIT, run: () => limit.outOfPlace() },
    { name: LIMIT_IN_PLACE, run: () => limit.inPlace() },
    { name: LIMIT_READ, run: () => limit.read() },
  ];
  for (const of of group.cases) candidates.push(await prepare(pool, tensors, of));
  if (threads === 1 && group.name === "float32") {
    const { shape } = group.cases[0] as Case;
    const x = tensors.get("x", "float32", shape).data;
    const y = tensors.get("y", "float32", shape).data;
    candidates.push({ name: PLAIN, run: async () => plainLayerNorm(x, y, shape.at(-1) as number, 1e-5) });
    bytes.set(PLAIN, x.byteLength);
  }
  const samples = await sampleInTurn(candidates, (round) => round >= rounds);
  await Promise.all([pool.close(), limit.close()]);
  return { samples, bytes, limitBytes: limit.bytes };
}

function rowsOf(group: Group, threads: number, { samples, bytes, limitBytes }: Measured): ThroughputRow[] {
  return [...samples].map(([name, values]) => {
    const of = group.cases.find((one) => one.name === name);
    const size = bytes.get(name) ?? limitBytes;
    const moved = MOVES[name] ?? (of?.inPlace === true ? 2 : (of?.moved ?? LIMIT_MOVES) + (of?.reads ?? 0));
    const other = of?.to === undefined ? undefined : samples.get(of.to);
    const base = of?.inPlace === true ? LIMIT_IN_PLACE : name.startsWith("limit") ? name : LIMIT;
    const share = size / limitBytes;
    const moves = share * (of?.inPlace === true ? 1 : (of?.moved ?? LIMIT_MOVES) / LIMIT_MOVES);
    const reads = share * (of?.reads ?? 0);
    /** Of one round, or of medians: the limits' time for as many bytes as the case moves. */
    const limitOf = (limit: number, read: number) => limit * moves + read * reads;
    const [limits, allReads] = [samples.get(base) ?? [], samples.get(LIMIT_READ) ?? []];
    const ofRounds = limits.map((limit, round) => limitOf(limit, allReads[round] ?? 0));
    return {
      group: group.name,
      name,
      threads,
      time: timingOf(values),
      gigabytesPerSecond: (size * moved) / median(values) / 1e6,
      limit: other === undefined ? limitOf(median(limits), median(allReads)) : median(other),
      ratio: medianRatio(values, other ?? ofRounds),
      ...(of?.atMost !== undefined && { atMost: of.atMost }),
    };
  });
}

export async function measureThroughput(
  groups: readonly Group[],
  threadCounts: readonly number[],
  { onShare, quick }: Pick<SectionOptions, "onShare" | "quick">,
): Promise<ThroughputResult> {
  const rounds = quick ? QUICK_ROUNDS : ROUNDS;
  const rows: ThroughputRow[] = [];
  for (const [i, group] of groups.entries()) {
    for (const [j, threads] of threadCounts.entries()) {
      rows.push(...rowsOf(group, threads, await measure(group, threads, rounds)));
      onShare((i + (j + 1) / threadCounts.length) / groups.length);
    }
  }
  return { rounds, rows };
}

export function describeThroughput({ rounds, rows }: ThroughputResult): SectionText {
  const header = (group: string) => [
    group,
    "threads",
    "ms",
    "",
    "GB/s",
    "limit: ms",
    "ratio",
    "at most",
    "times 1 thread",
  ];
  const groups = [...new Set(rows.map(({ group }) => group))];
  const tables = groups.map((group) => {
    const own = rows.filter((row) => row.group === group);
    const lines = own.map(({ name, threads, time, gigabytesPerSecond, limit, ratio, atMost }) => {
      const single = own.find((row) => row.name === name && row.threads === 1);
      return [
        name,
        String(threads),
        time.median.toFixed(1),
        `(${time.fastest.toFixed(1)} to ${time.slowest.toFixed(1)})`,
        gigabytesPerSecond.toFixed(1),
        limit.toFixed(1),
        ratio.toFixed(2),
        atMost?.toFixed(2) ?? "",
        single === undefined || threads === 1 ? "" : (single.time.median / time.median).toFixed(2),
      ];
    });
    return { rows: [header(group), ...lines] };
  });
  return {
    title: "Throughput",
    notes: [
      `medians of ${rounds} rounds (fastest to slowest).`,
      "GB/s counts each read, each write and the reads for ownership. The limit is the limits' time for as many bytes, of wrapped",
      "tensors the time of the arena's; the ratio is the median of the rounds' own ratios to it.",
    ],
    tables,
  };
}
