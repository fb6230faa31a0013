// What the model is made of, measured on small files: of one process of one thread, and of as many at once as there are cores.
import { execFile } from "node:child_process";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { mergeParts, NormPool, planJob, planMomentsJob } from "../../src/index.js";
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
  /** Parts of nearly nothing, whose time is all beside their bytes. */
  readonly tinyParts: number;
  /** That are merged. */
  readonly partialsBytes: number;
}

export const SIZES: Sizes = { partBytes: 64 * MIB, tinyParts: 64, partialsBytes: 64 * MIB };
export const QUICK_SIZES: Sizes = { partBytes: 8 * MIB, tinyParts: 8, partialsBytes: MIB };

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

/** One after the other: the rounds of what the model is held against lie between its own. */
export class Constants {
  readonly #of: JobCase;
  readonly #place: Place;
  readonly #rounds: Measured[] = [];

  constructor(of: JobCase, place: Place) {
    this.#of = of;
    this.#place = place;
  }

  /** Measures each once more. */
  async measure(): Promise<void> {
    const { cores, sizes } = this.#place;
    const tiny = await measureTiny(this.#of, this.#place);
    const mergeRate = this.#of.hasMoments ? await measureMerge(this.#place) : 0;
    const { moments, apply, startSeconds, ...steps } = await measureParts(this.#of, this.#place);
    const { momentsPartSeconds, applyPartSeconds, merge, finish } = tiny;
    const ofPart = (all: number, beside: number) => Math.max(0, all - beside) / sizes.tinyParts;
    // A small file may take less than the rest of a part.
    const rate = (bytes: number, taken: number, beside: number) => bytes / Math.max(taken / 10, taken - beside);
    const rates = (name: "alone" | "together", count: number) => ({
      moments: moments === null ? 0 : count * rate(sizes.partBytes, moments[name], momentsPartSeconds),
      apply: count * rate(2 * sizes.partBytes, apply[name], applyPartSeconds),
    });
    const own = rates("alone", 1);
    this.#rounds.push({
      costs: {
        ...steps,
        momentsPartSeconds,
        applyPartSeconds,
        mergePartSeconds: ofPart(merge, steps.mergeSeconds),
        finishPartSeconds: ofPart(finish, steps.finishSeconds),
        mergeRate,
        momentsRate: own.moments,
        applyRate: own.apply,
      },
      shared: rates("together", cores),
      startSeconds,
    });
  }

  /** Medians of the rounds. */
  get measured(): Measured {
    return medianOf(this.#rounds) as Measured;
  }
}

interface Numbers {
  readonly [name: string]: number | Numbers;
}

/** Of records of the same fields, field by field. */
function medianOf(rounds: readonly object[]): object {
  const first = rounds[0] as Numbers;
  const fields = Object.keys(first).map((name) => {
    const values = rounds.map((round) => (round as Numbers)[name] as number | Numbers);
    return [name, typeof values[0] === "number" ? median(values as number[]) : medianOf(values as Numbers[])];
  });
  return Object.fromEntries(fields);
}

/** A part of each phase by one process, and as many as there are cores at once. */
async function measureParts(of: JobCase, { folder, workers, cores, sizes: { partBytes } }: Place) {
  const input = join(folder, "small.raw");
  const job = join(folder, "job");
  const output = join(folder, "y.raw");
  // One alone, and then as many as there are cores. None is done twice: a part's first time finds its pages of the output new.
  const parts = 1 + cores;
  const bytes = parts * partBytes;
  await writeCells(input, bytes);
  const source = { path: input, dtype: "float32", shape: of.shapeOf(bytes / 4) } as const;
  const planSeconds = await seconds(() => planJob(of.layer, source, output, { folder: job, parts }));
  const phase = async (name: "moments" | "apply") => {
    const alone = await workers.seconds({ do: name, folder: job, part: 0 });
    return { alone, together: await seconds(() => workers.parts(job, name, { from: 1, to: parts }, cores)) };
  };
  const moments = of.hasMoments ? await phase("moments") : null;
  const mergeSeconds = of.hasMoments ? await workers.seconds({ do: "merge", folder: job }) : 0;
  const apply = await phase("apply");
  const start = () => promisify(execFile)(process.execPath, [COMMAND, "job", "run", job, "apply", "0", "--quiet"]);
  const startSeconds = await seconds(start);
  const finishSeconds = await workers.seconds({ do: "finish", folder: job });
  rmSync(output);
  rmSync(input);
  return { planSeconds, mergeSeconds, finishSeconds, moments, apply, startSeconds };
}

/** What is beside the bytes of a part: of parts that have nearly none. */
async function measureTiny(of: JobCase, { folder, workers, sizes: { tinyParts } }: Place) {
  const input = join(folder, "small.raw");
  const job = join(folder, "job");
  const output = join(folder, "y.raw");
  await writeCells(input, TINY_BYTES);
  const source = { path: input, dtype: "float32", shape: of.shapeOf(TINY_BYTES / 4) } as const;
  await planJob(of.layer, source, output, { folder: job, parts: tinyParts });
  const phase = async (name: "moments" | "apply") => {
    const times: number[] = [];
    for (let part = 0; part < tinyParts; part++) {
      times.push(await workers.seconds({ do: name, folder: job, part }));
    }
    return median(times);
  };
  const hasMoments = of.hasMoments;
  const momentsPartSeconds = hasMoments ? await phase("moments") : 0;
  const merge = hasMoments ? await workers.seconds({ do: "merge", folder: job }) : 0;
  const applyPartSeconds = await phase("apply");
  const finish = await workers.seconds({ do: "finish", folder: job });
  rmSync(output);
  rmSync(input);
  return {
    momentsPartSeconds,
    applyPartSeconds,
    merge,
    finish,
  };
}

/** Partials of an input that has no cells on the disk: what is merged is as good as any. Returns bytes a second. */
async function measureMerge({ folder, sizes: { partialsBytes } }: Place): Promise<number> {
  const input = join(folder, "small.raw");
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
