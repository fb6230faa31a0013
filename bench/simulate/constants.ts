// What the model is made of, measured on small files: of one process of one thread, and of as many at once as there are cores.
import { execFile } from "node:child_process";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { mergeParts, NormPool, planJob, planMomentsJob } from "../../src/index.js";
import { partFile } from "../../src/jobs/folder.js";
import { partialsHead } from "../../src/jobs/left.js";
import { loadJob } from "../../src/jobs/load-job.js";
import { writeNumbers } from "../../src/jobs/numbers-file.js";
import { BATCH_NORM, type JobCase, SAMPLE_CELLS, writeCells } from "../jobs/cases.js";
import type { Workers } from "../jobs/workers.js";
import { median } from "../samples.js";
import type { Costs } from "./job.js";

const MIB = 1 << 20;
/** Two samples: a set of BatchNorm that is one sample's fits in a cache, and has no moments phase. */
const TINY_BYTES = 2 * 4 * SAMPLE_CELLS;
const COMMAND = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

export interface Sizes {
  /** Of the parts whose rate is measured. */
  readonly partBytes: number;
  readonly rounds: number;
  /** Parts of nearly nothing, whose time is all beside their bytes. */
  readonly tinyParts: number;
  /** That are merged. */
  readonly partialsBytes: number;
}

export const SIZES: Sizes = { partBytes: 64 * MIB, rounds: 7, tinyParts: 128, partialsBytes: 64 * MIB };
export const QUICK_SIZES: Sizes = { partBytes: 8 * MIB, rounds: 1, tinyParts: 8, partialsBytes: MIB };

export interface Measured {
  readonly costs: Costs;
  /** Bytes a second that all cores move, each with a process. */
  readonly shared: { readonly moments: number; readonly apply: number };
  /** Of a process that finds its part done. */
  readonly startSeconds: number;
}

interface Place {
  readonly folder: string;
  readonly workers: Workers;
  readonly cores: number;
  readonly sizes: Sizes;
}

export async function measureConstants(of: JobCase, place: Place): Promise<Measured> {
  const tiny = await measureTiny(of, place);
  const mergeRate = await measureMerge(place);
  const { planSeconds, moments, apply, startSeconds } = await measureParts(of, place);
  const { partBytes } = place.sizes;
  const rate = (bytes: number, seconds: number, beside: number) => bytes / Math.max(1e-9, seconds - beside);
  const { momentsPartSeconds, applyPartSeconds } = tiny;
  return {
    costs: {
      planSeconds,
      ...tiny,
      mergeRate,
      momentsRate: rate(partBytes, moments.alone, momentsPartSeconds),
      applyRate: rate(2 * partBytes, apply.alone, applyPartSeconds),
    },
    shared: {
      moments: place.cores * rate(partBytes, moments.together, momentsPartSeconds),
      apply: place.cores * rate(2 * partBytes, apply.together, applyPartSeconds),
    },
    startSeconds,
  };
}

/** A part of each phase by one process, and as many as there are cores at once. */
async function measureParts(of: JobCase, { folder, workers, cores, sizes: { partBytes, rounds } }: Place) {
  const input = join(folder, "x.raw");
  const job = join(folder, "job");
  const output = join(folder, "y.raw");
  const bytes = cores * partBytes;
  await writeCells(input, bytes);
  const source = { path: input, dtype: "float32", shape: of.shapeOf(bytes / 4) } as const;
  const plan = await seconds(() => planJob(of.layer, source, output, { folder: job, parts: cores }));
  const phase = async (name: "moments" | "apply") => {
    const alone: number[] = [];
    const together: number[] = [];
    for (let round = 0; round < rounds; round++) {
      rmSync(join(job, partFile(name, 0)), { force: true });
      alone.push((await workers.ask({ do: name, folder: job, part: 0 })) / 1000);
      for (let part = 0; part < cores; part++) rmSync(join(job, partFile(name, part)), { force: true });
      together.push(await seconds(() => workers.parts(job, name, cores, cores)));
    }
    return { alone: median(alone), together: median(together) };
  };
  const none = { alone: 0, together: 0 };
  const moments = of.hasMoments ? await phase("moments") : none;
  if (of.hasMoments) await workers.ask({ do: "merge", folder: job });
  const apply = await phase("apply");
  const start = () => promisify(execFile)(process.execPath, [COMMAND, "job", "run", job, "apply", "0", "--quiet"]);
  const starts: number[] = [];
  for (let round = 0; round < rounds; round++) starts.push(await seconds(start));
  await workers.ask({ do: "finish", folder: job });
  rmSync(output);
  rmSync(input);
  return { planSeconds: plan, moments, apply, startSeconds: median(starts) };
}

/** What is beside the bytes of a part: of parts that have nearly none. */
async function measureTiny(of: JobCase, { folder, workers, sizes: { tinyParts } }: Place) {
  const input = join(folder, "x.raw");
  const job = join(folder, "job");
  const output = join(folder, "y.raw");
  await writeCells(input, TINY_BYTES);
  const source = { path: input, dtype: "float32", shape: of.shapeOf(TINY_BYTES / 4) } as const;
  await planJob(of.layer, source, output, { folder: job, parts: tinyParts });
  const phase = async (name: "moments" | "apply") => {
    const times: number[] = [];
    for (let part = 0; part < tinyParts; part++) {
      times.push((await workers.ask({ do: name, folder: job, part })) / 1000);
    }
    return median(times);
  };
  const hasMoments = of.hasMoments;
  const momentsPartSeconds = hasMoments ? await phase("moments") : 0;
  const merge = hasMoments ? (await workers.ask({ do: "merge", folder: job })) / 1000 : 0;
  const applyPartSeconds = await phase("apply");
  const finish = (await workers.ask({ do: "finish", folder: job })) / 1000;
  rmSync(output);
  rmSync(input);
  return {
    momentsPartSeconds,
    applyPartSeconds,
    mergePartSeconds: merge / tinyParts,
    finishPartSeconds: finish / tinyParts,
  };
}

/** Partials of an input that has no cells on the disk: what is merged is as good as any. Returns bytes a second. */
async function measureMerge({ folder, sizes: { partialsBytes } }: Place): Promise<number> {
  const input = join(folder, "x.raw");
  const bytes = 4096 * partialsBytes;
  writeFileSync(input, "");
  truncateSync(input, bytes);
  const job = join(folder, "merged");
  const source = { path: input, dtype: "float32", shape: BATCH_NORM.shapeOf(bytes / 4) } as const;
  await planMomentsJob(BATCH_NORM.layer, source, join(folder, "m.safetensors"), { folder: job, parts: 1 });
  const { job: planned, plans } = await loadJob("measureMerge", job, {});
  const head = partialsHead(planned, plans, 0);
  const numbers = Float64Array.from({ length: 1 << 12 }, (_, i) => (i % 2 === 0 ? 3 + Math.sin(i) : 16_384));
  await writeNumbers("measureMerge", join(job, head.name), head, async (writer) => {
    for (let at = 0; at < head.numbers; at += numbers.length) {
      await writer.put(numbers.subarray(0, Math.min(numbers.length, head.numbers - at)));
    }
  });
  await using pool = new NormPool({ threads: 1 });
  const taken = await seconds(() => mergeParts(pool, job));
  rmSync(job, { recursive: true });
  rmSync(input);
  return (8 * head.numbers) / taken;
}

async function seconds(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
}
