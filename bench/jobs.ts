// What the section jobs found: a layer over a file by worker processes that do a job's parts, beside one pool with as many threads.
import type { Timing } from "./samples.js";
import { formatBytes, type SectionText } from "./text.js";

/** What the steps of a job took, in milliseconds. */
export interface JobTimes {
  readonly plan: number;
  /** 0 where the job has none. */
  readonly moments: number;
  readonly merge: number;
  readonly apply: number;
  readonly finish: number;
}

interface JobRow {
  readonly name: string;
  readonly shape: readonly number[];
  /** From the plan to the output's name. */
  readonly job: Timing;
  /** Of the fastest. */
  readonly steps: JobTimes;
  /** The call, and until the file is synced and has its name. */
  readonly pool: Timing;
  /** The job's time by the pool's in the same round; the rounds' median. */
  readonly ratio: number;
  readonly atMost: number;
}

export interface JobsResult {
  readonly bytes: number;
  readonly rounds: number;
  readonly processes: number;
  readonly partBytes: number;
  readonly rows: readonly JobRow[];
}

export function describeJobs({ bytes, rounds, processes, partBytes, rows }: JobsResult): SectionText {
  const lines = rows.map(({ name, job, pool, ratio, atMost, steps }) => [
    name,
    ...[job.fastest, job.median, pool.fastest, pool.median].map((time) => time.toFixed(0)),
    ratio.toFixed(2),
    atMost.toFixed(2),
    ...[steps.plan, steps.moments, steps.merge, steps.apply, steps.finish].map((time) => time.toFixed(0)),
  ]);
  return {
    title: "Jobs",
    notes: [
      `from a file of ${formatBytes(bytes)} float32 in the page cache to a new one, synced and named, milliseconds of ${rounds} ${rounds === 1 ? "round" : "rounds"}: a job in parts of ${formatBytes(partBytes)},`,
      `done by ${processes} processes of one thread each that have started, beside one pool of ${processes} threads. The files were compared first. The ratio is the median of the rounds' own.`,
    ],
    tables: [
      {
        rows: [
          [
            "",
            "job, fastest",
            "median",
            "pool, fastest",
            "median",
            "ratio",
            "at most",
            "plan",
            "moments",
            "merge",
            "apply",
            "finish",
          ],
          ...lines,
        ],
      },
    ],
  };
}
