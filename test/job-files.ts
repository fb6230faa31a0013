// Jobs of tests: planned, their parts done in a seeded order, and what comes of them.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { finishJob, type JobPhase, jobStatus, mergeParts, type NormPool, runPart } from "../src/index.js";
import { inFolder, JOB_FILE, readRecord, writeRecord } from "../src/jobs/folder.js";
import type { Job } from "../src/jobs/job.js";
import { hashOfPlans } from "../src/jobs/planned.js";
import type { Dtype } from "../src/tensor/dtype.js";
import { bytesOf, type Cells } from "./cells.js";
import { seeded } from "./support.js";

/** A file of raw cells, and how it is opened. */
export function writeRaw(path: string, dtype: Dtype, shape: readonly number[], cells: Cells) {
  writeFileSync(path, bytesOf(cells));
  return { path, format: "raw", dtype, shape } as const;
}

export async function readJob(folder: string): Promise<Job> {
  return (await readRecord("test", inFolder(folder, JOB_FILE))) as Job;
}

/** Writes a job that says something else, as somebody does who knows how its hash is made. */
export async function rewriteJob(folder: string, change: (job: Job) => object): Promise<void> {
  await writeRecord("test", inFolder(folder, JOB_FILE), change(await readJob(folder)));
}

/** The same job with tables of so many bytes a stripe: of small tensors several stripes too. */
export function withStripes(folder: string, stripeBytes: number): Promise<void> {
  return rewriteJob(folder, (job) => {
    const changed = { ...job, stripeBytes };
    return { ...changed, plans: hashOfPlans(changed) };
  });
}

/** Does all parts of a job's phases, by the pools in turn, in an order of the seed's own, some of them twice. */
export async function runAllParts(pools: readonly NormPool[], folder: string, seed = 1): Promise<JobPhase[]> {
  const random = seeded(seed);
  const { phases } = await jobStatus(folder);
  for (const { phase, parts } of phases) {
    const order = Array.from({ length: parts }, (_, part) => [random(), part] as const).sort(([a], [b]) => a - b);
    await Promise.all(
      pools.map(async (pool, i) => {
        for (const [, part] of order.filter((_, at) => at % pools.length === i))
          await runPart(pool, folder, phase, part);
      }),
    );
    await runPart(pools[0] as NormPool, folder, phase, 0);
    if (phase === "moments") await mergeParts(pools[0] as NormPool, folder);
  }
  return phases.map(({ phase }) => phase);
}

/** The bytes of a job's output when all of it is done. */
export async function resultOf(
  pools: readonly NormPool[],
  folder: string,
  output: string,
  seed?: number,
): Promise<Buffer> {
  await runAllParts(pools, folder, seed);
  await finishJob(folder);
  return readFileSync(output);
}

/** Names in a folder for jobs, one after the other. */
export function placesIn(folder: string): () => { readonly job: string; readonly output: string } {
  let count = 0;
  return () => ({ job: join(folder, `job-${count}`), output: join(folder, `y-${count++}.raw`) });
}
