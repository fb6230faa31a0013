// What the first call of a process takes, when its threads start and its output's pages are new, and what the second one does: in
// processes of their own, beside y = 2x in as many.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { LayerNorm, NormPool } from "../src/index.js";
import { fill } from "./cells.js";
import { Limit } from "./limit.js";
import { BenchPool } from "./pool.js";
import { type Timing, timingOf } from "./samples.js";
import type { SectionOptions } from "./section.js";
import { formatThreads, type SectionText } from "./text.js";

const SHAPE = [100_000, 768] as const;
const CELLS = SHAPE[0] * SHAPE[1];
/** The limit's cells come in units. */
const LIMIT_CELLS = Math.ceil(CELLS / 16_384) * 16_384;
/** Of each kind, in turn. */
const PROCESSES = 7;

const KINDS = ["limit", "LayerNorm"] as const;
type Kind = (typeof KINDS)[number];

interface ColdRow {
  readonly kind: Kind;
  /** Into memory that nobody has touched. */
  readonly first: Timing;
  /** Into the same memory, on threads that run. */
  readonly second: Timing;
}

export interface ColdResult {
  readonly shape: readonly number[];
  readonly threads: number;
  readonly processes: number;
  readonly rows: readonly ColdRow[];
}

export function measureCold({ threads, quick, onShare, signal }: SectionOptions): ColdResult {
  const processes = quick ? 1 : PROCESSES;
  const script = fileURLToPath(import.meta.url);
  const samples = KINDS.map((kind) => ({ kind, first: [] as number[], second: [] as number[] }));
  for (let i = 0; i < processes; i++) {
    for (const { kind, first, second } of samples) {
      signal?.throwIfAborted();
      const text = execFileSync(process.execPath, [script, kind, String(threads)], { encoding: "utf8" });
      const times = JSON.parse(text) as [number, number];
      first.push(times[0]);
      second.push(times[1]);
    }
    onShare((i + 1) / processes);
  }
  const rows = samples.map(({ kind, first, second }) => ({ kind, first: timingOf(first), second: timingOf(second) }));
  return { shape: SHAPE, threads, processes, rows };
}

export function describeCold({ shape, threads, processes, rows }: ColdResult): SectionText {
  const range = ({ fastest, slowest }: Timing) => `(${fastest.toFixed(0)} to ${slowest.toFixed(0)})`;
  return {
    title: "Cold",
    notes: [
      `a process's first call on [${shape.join(", ")}], into a new output, and its second, with \`out\`: milliseconds on ${formatThreads(threads)},`,
      `medians of ${processes} processes each. In the first, threads start, and each page of the output is new.`,
    ],
    tables: [
      {
        rows: [
          ["", "first", "", "second", ""],
          ...rows.map(({ kind, first, second }) => [
            kind === "limit" ? "limit: y = 2x" : kind,
            first.median.toFixed(0),
            range(first),
            second.median.toFixed(0),
            range(second),
          ]),
        ],
      },
    ],
  };
}

/** The times of two calls. */
async function timeBoth(call: () => Promise<unknown>): Promise<[number, number]> {
  const start = performance.now();
  await call();
  const middle = performance.now();
  await call();
  return [middle - start, performance.now() - middle];
}

async function coldLayerNorm(threads: number): Promise<[number, number]> {
  const pool = new NormPool({ threads });
  const layer = new LayerNorm(SHAPE[1]);
  const x = pool.tensor("float32", SHAPE);
  fill(x, "x");
  let out: typeof x | undefined;
  const times = await timeBoth(async () => {
    out = await pool.forward(layer, x, { out });
  });
  await pool.close();
  return times;
}

async function coldLimit(threads: number): Promise<[number, number]> {
  const pool = new BenchPool(threads);
  const x = pool.at().tensor("float32", [LIMIT_CELLS]);
  fill(x, "x");
  const limit = new Limit(pool, x, pool.at().tensor("float32", [LIMIT_CELLS]));
  const times = await timeBoth(() => limit.outOfPlace());
  await pool.close();
  return times;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const threads = Number(process.argv[3]);
  console.log(JSON.stringify(await (process.argv[2] === "limit" ? coldLimit(threads) : coldLayerNorm(threads))));
}
