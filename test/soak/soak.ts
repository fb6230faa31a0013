// The soak: pools that are asked, aborted, closed and opened again for minutes, while their threads fail at random. Every result is what the
// calling thread makes of it alone, every failure one that is documented, and nothing is left behind. `npm run soak -- --minutes 10`
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { Faults } from "./faults.js";
import { expectFlat, GIVES_BACK, type Held, held, mib, middleOf } from "./held.js";
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
if (![minutes, seed, threads].every((number) => number > 0)) {
  throw new Error("expected numbers above 0 for --minutes, --seed, --threads");
}

const ROUND = Math.min(15_000, minutes * 6000);
/** Pools at once. */
const POOLS = 2;
/** A call that takes so long hangs: threads that are stuck are ended after 3 s, three times in a row at most. */
const HANG = 120_000;

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

const seconds = (since: number) => `${Math.round((Date.now() - since) / 1000)} s`;
const listed = (numbers: Readonly<Record<string, number>>) =>
  Object.entries(numbers)
    .map(([what, number]) => `${number} ${what}`)
    .join(", ") || "none";

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
  const all: Held[] = [];
  for (let number = 1; Date.now() < until; number++) {
    await round(number, Math.min(until, Date.now() + ROUND));
    const now = await held(() => faults.threads.alive);
    all.push(now);
    console.log(
      `${seconds(since)}: ${counts.calls} calls, ${counts.compared} compared, ${faults.count} faults, RSS ${mib(now.rss)}, heap ${mib(now.heap)}, ${now.threads} threads`,
    );
  }
  // The first quarter warms up: what is held in the second is compared with the last one's.
  const quarter = Math.ceil(all.length / 4);
  const [first, last] = [middleOf(all.slice(quarter, 2 * quarter)), middleOf(all.slice(-quarter))];
  console.log(`
soak of ${seconds(since)}, seed ${seed}
calls              ${counts.calls} of ${counts.pools} pools
results compared   ${counts.compared}, ${counts.arrays} arrays: all the same bits
documented errors  ${listed(counts.errors)} (signals fired: ${counts.aborted})
faults             ${listed(faults.counts)}
threads            ${faults.threads.started} started, ${counts.threadsLost} lost with ${counts.slicesLost} slices, ${faults.threads.alive} left
memory             RSS ${mib(first.rss)} in the second quarter, ${mib(last.rss)} in the last; heap ${mib(first.heap)}, ${mib(last.heap)}; of the pools' 0 bytes in use
handles            ${first.files} files in the second quarter, ${last.files} in the last; ${first.threads} threads of the process, ${last.threads}; ${last.resources || "nothing"} active`);
  expectFlat(first, last, counts.calls, POOLS * threads);
  console.log("nothing lost");
}

// The allocator reads its settings when a process starts.
if (!("MALLOC_TRIM_THRESHOLD_" in process.env)) {
  const self = [...process.execArgv, ...process.argv.slice(1)];
  const { status } = spawnSync(process.execPath, self, { stdio: "inherit", env: { ...process.env, ...GIVES_BACK } });
  process.exit(status ?? 1);
}

try {
  await soak();
} catch (error) {
  console.error(`soak: seed ${seed}, ${minutes} min, ${threads} threads: something is wrong\n`, error);
  process.exit(1);
}
