// A layer over a file by processes that do a job's parts, and by one pool of as many threads: first compared, then timed in turn.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NormPool, planJob } from "../../src/index.js";
import type { JobsResult, JobTimes } from "../jobs.js";
import { roomFor } from "../room.js";
import { medianRatio, sampleInTurn, timingOf } from "../samples.js";
import type { SectionOptions } from "../section.js";
import { formatBytes } from "../text.js";
import { BATCH_NORM, compareFiles, type JobCase, LAYER_NORM, SAMPLE_CELLS, writeCells } from "./cases.js";
import { Workers } from "./workers.js";

const MIB = 1 << 20;
const BYTES = 1 << 30;
const QUICK_BYTES = 64 * MIB;
const STEP = 4 * SAMPLE_CELLS;
/** The default of jobs. */
const PART_BYTES = 256 * MIB;
const ROUNDS = 9;
/** The input, the job's and the pool's. */
const FILES = 3;
const AT_MOST = 1.3;

export async function measureJobs({ threads, quick, onShare, signal }: SectionOptions): Promise<JobsResult> {
  const rounds = quick ? 1 : ROUNDS;
  const folder = mkdtempSync(join(tmpdir(), "normpool-bench-"));
  const room = Math.min(quick ? QUICK_BYTES : BYTES, roomFor(FILES, folder));
  const bytes = Math.floor(room / STEP) * STEP;
  if (bytes === 0) throw new Error(`${folder}: expected room for ${FILES} files of ${formatBytes(STEP)}`);
  const partBytes = quick ? bytes / 4 : PART_BYTES;
  await using pool = new NormPool({ threads });
  const workers = await Workers.start(threads, 1);
  const input = join(folder, "x.raw");
  const [ofJob, ofPool] = [join(folder, "job.raw"), join(folder, "pool.raw")];

  const byJob = async ({ layer, shapeOf }: JobCase): Promise<JobTimes> => {
    const job = join(folder, "job");
    const start = performance.now();
    const source = { path: input, dtype: "float32", shape: shapeOf(bytes / 4) } as const;
    await planJob(layer, source, ofJob, { folder: job, partBytes });
    const plan = performance.now() - start;
    return { plan, ...(await workers.run(job)) };
  };
  const byPool = async ({ layer, shapeOf }: JobCase): Promise<void> => {
    const shape = shapeOf(bytes / 4);
    using x = await pool.open(input, { dtype: "float32", shape });
    using y = await pool.create(ofPool, "float32", shape);
    await pool.forward(layer, x, { out: y, ...(signal && { signal }) });
    await y.commit();
  };

  const measure = async (of: JobCase) => {
    await byJob(of);
    await byPool(of);
    await compareFiles(of.name, ofJob, ofPool);
    rmSync(ofJob);
    rmSync(ofPool);
    const times: JobTimes[] = [];
    const candidates = [
      {
        name: "job",
        async run() {
          signal?.throwIfAborted();
          const start = performance.now();
          times.push(await byJob(of));
          const taken = performance.now() - start;
          rmSync(ofJob);
          return taken;
        },
      },
      {
        name: "pool",
        async run() {
          const start = performance.now();
          await byPool(of);
          const taken = performance.now() - start;
          rmSync(ofPool);
          return taken;
        },
      },
    ];
    const samples = await sampleInTurn(candidates, (done) => done === rounds, { warmUp: quick ? 0 : 1 });
    const [ownTimes, poolTimes] = [samples.get("job") ?? [], samples.get("pool") ?? []];
    const [own, theirs] = [timingOf(ownTimes), timingOf(poolTimes)];
    const steps = times.slice(-rounds)[ownTimes.indexOf(Math.min(...ownTimes))] as JobTimes;
    const ratio = medianRatio(ownTimes, poolTimes);
    return { name: of.name, shape: of.shapeOf(bytes / 4), job: own, steps, pool: theirs, ratio, atMost: AT_MOST };
  };

  try {
    await writeCells(input, bytes);
    const batch = await measure(BATCH_NORM);
    onShare(1 / 2);
    return { bytes, rounds, processes: threads, partBytes, rows: [batch, await measure(LAYER_NORM)] };
  } finally {
    await workers.close();
    rmSync(folder, { recursive: true });
  }
}
