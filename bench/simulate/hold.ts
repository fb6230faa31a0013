// The model beside measured runs: a job on this machine by one process and more, of one thread each. All share its cores.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { planJob } from "../../src/index.js";
import { type JobCase, writeCells } from "../jobs/cases.js";
import type { Workers } from "../jobs/workers.js";
import type { JobTimes } from "../jobs.js";
import { median } from "../samples.js";
import type { Constants, Measured } from "./constants.js";
import { partsOf, simulateJob } from "./job.js";

interface HeldRow {
  readonly processes: number;
  /** Seconds, by stage. */
  readonly predicted: JobTimes;
  /** Medians of the rounds. */
  readonly measured: JobTimes;
}

export interface Held {
  readonly name: string;
  readonly bytes: number;
  readonly partBytes: number;
  readonly rounds: number;
  readonly rows: readonly HeldRow[];
}

export interface HoldOptions {
  readonly folder: string;
  readonly workers: Workers;
  readonly processes: readonly number[];
  readonly bytes: number;
  readonly partBytes: number;
  readonly rounds: number;
}

const STAGES = ["plan", "moments", "merge", "apply", "finish"] as const;

export async function holdModel(of: JobCase, constants: Constants, options: HoldOptions): Promise<Held> {
  const { folder, workers, processes, bytes, partBytes, rounds } = options;
  const input = join(folder, "x.raw");
  const [output, job] = [join(folder, "y.raw"), join(folder, "job")];
  await writeCells(input, bytes);
  const runJob = async (count: number): Promise<JobTimes> => {
    const start = performance.now();
    const source = { path: input, dtype: "float32", shape: of.shapeOf(bytes / 4) } as const;
    await planJob(of.layer, source, output, { folder: job, partBytes });
    const plan = performance.now() - start;
    const times = { plan, ...(await workers.run(job, count)) };
    rmSync(output);
    return times;
  };
  // Processes that have run it are as fast as they get.
  await runJob(Math.max(...processes));
  const times = processes.map((): JobTimes[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, count] of processes.entries()) {
      await constants.measure();
      times[i]?.push(await runJob(count));
    }
  }
  rmSync(input);
  const rows = processes.map((count, i) => ({
    processes: count,
    predicted: predict(of, constants.measured, options, count),
    measured: byStage((stage) => median((times[i] as JobTimes[]).map((own) => own[stage] / 1000))),
  }));
  return { name: of.name, bytes, partBytes, rounds, rows };
}

function predict(of: JobCase, { costs, shared }: Measured, { bytes, partBytes }: HoldOptions, count: number): JobTimes {
  const work = { bytes, partialsBytes: of.hasMoments ? bytes / 4096 : 0 };
  const cluster = {
    workers: count,
    costs,
    shared,
    startSeconds: 0,
    queueRate: Number.POSITIVE_INFINITY,
    failures: null,
  };
  const { stages } = simulateJob(work, cluster, partsOf(bytes, partBytes));
  return byStage((stage) => stages.find(({ name }) => name === stage)?.seconds ?? 0);
}

function byStage(secondsOf: (stage: keyof JobTimes) => number): JobTimes {
  return Object.fromEntries(STAGES.map((stage) => [stage, secondsOf(stage)])) as unknown as JobTimes;
}

export function totalOf(times: JobTimes): number {
  return STAGES.reduce((sum, stage) => sum + times[stage], 0);
}
