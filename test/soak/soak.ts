// The soak: pools that are asked, aborted, closed and opened again for minutes, while their threads fail at random. Every result is what the
// calling thread makes of it alone, every failure one that is documented, and nothing is left behind. `npm run soak -- --minutes 10`
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { collectGarbage } from "../../src/memory/collect.js";
import { Faults } from "./faults.js";
import { type Counts, Life, prepare } from "./life.js";
import { expectExact, QUESTIONS } from "./questions.js";
import { randomOf } from "./random.js";

const { values: given } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    threads: { type: "string", default: "4" },
  },
});
const [minutes, seed, threads] = [given.minutes, given.seed, given.threads].map(Number) as [number, number, number];
if (![minutes, seed, threads].every((number) => number > 0))
  throw new Error("expected numbers above 0 for --minutes, --seed, --threads");

const ROUND = Math.min(15_000, minutes * 6000);
/** The share of the time in which memory may grow to what it needs. */
const WARM_UP = 0.25;
/** Pools at once. */
const POOLS = 2;
/** A call that takes so long hangs: threads that are stuck are ended after 3 s, three times in a row at most. */
const HANG = 120_000;

/** What must not grow. */
interface Held {
  readonly rss: number;
  readonly heap: number;
  readonly threads: number;
  readonly files: number;
  readonly resources: string;
}

const counts: Counts = {
  pools: 0,
  calls: 0,
  compared: 0,
  arrays: 0,
  aborted: 0,
  errors: {},
  threadsLost: 0,
  slicesLost: 0,
};
const faults = new Faults(randomOf(seed, 1));
const turn = () => new Promise((resolve) => setTimeout(resolve, 50));

/** What the process holds when nothing runs. */
async function held(): Promise<Held> {
  for (let i = 0; i < 100 && faults.threads.alive > 0; i++) await turn();
  for (let i = 0; i < 4; i++) {
    collectGarbage();
    await turn();
  }
  return {
    rss: process.memoryUsage.rss(),
    heap: process.memoryUsage().heapUsed,
    threads: entriesOf("/proc/self/task"),
    files: entriesOf("/proc/self/fd"),
    resources: process.getActiveResourcesInfo().sort().join(" "),
  };
}

/** 0 where the system has no such folder. */
function entriesOf(folder: string): number {
  try {
    return readdirSync(folder).length;
  } catch {
    return 0;
  }
}

async function round(number: number, end: number): Promise<void> {
  faults.begin();
  const pools = Array.from({ length: POOLS }, async (_, pool) => {
    for (let life = 0; Date.now() < end; life++) {
      await new Life(randomOf(seed, 2, number, pool, life), threads, faults, counts).run(end);
    }
  });
  let watch: NodeJS.Timeout | undefined;
  const hangs = new Promise((_, reject) => {
    watch = setTimeout(
      () => reject(new Error(`calls that do not end: ${HANG} ms after the last was to begin`)),
      end - Date.now() + HANG,
    );
  });
  await Promise.race([Promise.all(pools), hangs]);
  clearTimeout(watch);
  faults.end();
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const seconds = (since: number) => `${Math.round((Date.now() - since) / 1000)} s`;
const listed = (numbers: Readonly<Record<string, number>>) =>
  Object.entries(numbers)
    .map(([what, number]) => `${number} ${what}`)
    .join(", ") || "none";

/**
 * Bytes by which the process may be larger at the end: those of one thread, whose heap and stack are some 8 MiB or more, and 1 KiB a call, as much as the
 * smallest tensor that is asked about has. A thread in a hundred that stayed, or a tensor in a hundred, would be far more.
 */
const allowed = () => 2 ** 23 + 2 ** 10 * counts.calls;

function expectFlat(first: Held, last: Held): void {
  const grown = (["threads", "files", "resources"] as const).filter((what) => last[what] > first[what]);
  for (const what of grown) throw new Error(`${what} at the end: expected ${first[what]} but got ${last[what]}`);
  for (const what of ["rss", "heap"] as const) {
    if (last[what] - first[what] <= allowed()) continue;
    throw new Error(
      `${what} at the end: expected ${mib(first[what])} and ${mib(allowed())} more at most, but got ${mib(last[what])}`,
    );
  }
}

async function soak(): Promise<void> {
  console.log(
    `soak: seed ${seed}, ${minutes} min, up to ${threads} threads in each of ${POOLS} pools, Node ${process.version}`,
  );
  const began = Date.now();
  await prepare(expectExact);
  console.log(
    `${QUESTIONS.length} questions, each within its bound of float64 on the calling thread: ${seconds(began)}`,
  );
  const since = Date.now();
  const until = since + minutes * 60_000;
  let [first, last]: (Held | undefined)[] = [];
  for (let number = 1; Date.now() < until; number++) {
    await round(number, Math.min(until, Date.now() + ROUND));
    last = await held();
    if (Date.now() - since > WARM_UP * minutes * 60_000) first ??= last;
    console.log(
      `${seconds(since)}: ${counts.calls} calls, ${counts.compared} compared, ${faults.count} faults, RSS ${mib(last.rss)}, heap ${mib(last.heap)}, ${last.threads} threads`,
    );
  }
  if (first === undefined || last === undefined) return;
  console.log(`
soak of ${seconds(since)}, seed ${seed}
calls              ${counts.calls} of ${counts.pools} pools
results compared   ${counts.compared}, ${counts.arrays} arrays: all the same bits
documented errors  ${listed(counts.errors)} (signals fired: ${counts.aborted})
faults             ${listed(faults.counts)}
threads            ${faults.threads.started} started, ${counts.threadsLost} lost with ${counts.slicesLost} slices, ${faults.threads.alive} left
memory             RSS ${mib(first.rss)} after a quarter of the time, ${mib(last.rss)} at the end; heap ${mib(first.heap)}, ${mib(last.heap)}; 0 bytes of any arena in use
handles            ${first.files} files, ${last.files} at the end; ${first.threads} threads of the process, ${last.threads} at the end; ${last.resources || "nothing"} active`);
  expectFlat(first, last);
  console.log("nothing lost");
}

try {
  await soak();
} catch (error) {
  console.error(`soak: seed ${seed}, ${minutes} min, ${threads} threads: something is wrong\n`, error);
  process.exit(1);
}
