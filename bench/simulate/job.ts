// A whole job in the model: plan, moments, one merge, apply, finish. Nothing begins before what is before it has ended.
import type { Work } from "./layers.js";
import { type Failures, type PhaseModel, type PhaseRun, runPhase } from "./phase.js";

/** More would be more files than a job's folder may have: parts are larger where there would be more. */
export const MOST_PARTS = 1_000_000;

/** What one part, one process and the steps between them take. Rates are bytes a second, of bytes that are moved: read and written. */
export interface Costs {
  /** Of one worker, alone. */
  readonly momentsRate: number;
  readonly applyRate: number;
  /** Of partials, by the one that merges. */
  readonly mergeRate: number;
  readonly planSeconds: number;
  /** Of a job with hardly any parts. */
  readonly mergeSeconds: number;
  readonly finishSeconds: number;
  /** Of a part beside its bytes: what it reads of the job, opens, syncs and notes. */
  readonly momentsPartSeconds: number;
  readonly applyPartSeconds: number;
  /** What merge and finish take of each part, beside its bytes. */
  readonly mergePartSeconds: number;
  readonly finishPartSeconds: number;
}

export interface Cluster {
  readonly workers: number;
  readonly costs: Costs;
  /** Bytes a second of what all share, in each phase: the file system's. */
  readonly shared: { readonly moments: number; readonly apply: number };
  /** Of a process, where each step is one of its own; 0 where workers wait for parts. */
  readonly startSeconds: number;
  /** Parts a second; Infinity where nobody gives them. */
  readonly queueRate: number;
  readonly failures: Failures | null;
}

export const LIMITS = [
  "machines",
  "storage",
  "queue",
  "merge",
  "finish",
  "start and end of parts",
  "too few parts",
] as const;
export type Limit = (typeof LIMITS)[number];

interface Stage {
  readonly name: "plan" | "moments" | "merge" | "apply" | "finish";
  readonly seconds: number;
  /** What it spends its time on. */
  readonly limit: Limit;
}

export interface JobRun {
  readonly parts: number;
  readonly partialsBytes: number;
  readonly stages: readonly Stage[];
  readonly seconds: number;
  /** What takes most of the time, and its share. */
  readonly limit: Limit;
  readonly share: number;
  readonly lostParts: number;
  readonly lostBytes: number;
}

export function partsOf(bytes: number, partBytes: number): number {
  return Math.min(MOST_PARTS, Math.max(1, Math.ceil(bytes / partBytes)));
}

export function simulateJob(work: Work, cluster: Cluster, parts: number): JobRun {
  const { costs, startSeconds, failures } = cluster;
  const stages: Stage[] = [
    { name: "plan", seconds: startSeconds + costs.planSeconds, limit: "start and end of parts" },
  ];
  const runs: PhaseRun[] = [];
  const run = (name: "moments" | "apply", bytes: number, own: number, partSeconds: number) => {
    const model: PhaseModel = {
      parts,
      partBytes: bytes / parts,
      workers: cluster.workers,
      own,
      shared: cluster.shared[name],
      partSeconds: startSeconds + partSeconds,
      handOverSeconds: 1 / cluster.queueRate,
      // Another run of luck for each phase.
      failures: failures && { ...failures, seed: failures.seed + runs.length },
    };
    const made = runPhase(model);
    runs.push(made);
    stages.push({ name, seconds: made.seconds, limit: limitOf(model) });
  };
  if (work.partialsBytes > 0) {
    run("moments", work.bytes + work.partialsBytes, costs.momentsRate, costs.momentsPartSeconds);
    const merged =
      work.partialsBytes / Math.min(costs.mergeRate, cluster.shared.moments) + parts * costs.mergePartSeconds;
    stages.push({ name: "merge", seconds: startSeconds + costs.mergeSeconds + merged, limit: "merge" });
  }
  run("apply", 2 * work.bytes, costs.applyRate, costs.applyPartSeconds);
  stages.push({
    name: "finish",
    seconds: startSeconds + costs.finishSeconds + parts * costs.finishPartSeconds,
    limit: "finish",
  });

  const seconds = stages.reduce((sum, stage) => sum + stage.seconds, 0);
  const spent = LIMITS.map((limit) => ({
    limit,
    seconds: stages.reduce((sum, stage) => sum + (stage.limit === limit ? stage.seconds : 0), 0),
  }));
  const most = spent.reduce((a, b) => (b.seconds > a.seconds ? b : a));
  return {
    parts,
    partialsBytes: work.partialsBytes,
    stages,
    seconds,
    limit: most.limit,
    share: most.seconds / seconds,
    lostParts: runs.reduce((sum, { lostParts }) => sum + lostParts, 0),
    lostBytes: runs.reduce((sum, { lostBytes }) => sum + lostBytes, 0),
  };
}

/** What no number of the others would make faster: the largest of the times that each alone would take. */
function limitOf(model: PhaseModel): Limit {
  const { parts, partBytes, workers, own, shared, partSeconds, handOverSeconds } = model;
  const bounds: readonly (readonly [Limit, number])[] = [
    ["machines", (parts * partBytes) / (own * workers)],
    ["storage", (parts * partBytes) / shared],
    ["queue", parts * handOverSeconds],
    ["start and end of parts", (parts * partSeconds) / workers],
    ["too few parts", parts < workers ? partSeconds + partBytes / own : 0],
  ];
  return bounds.reduce((a, b) => (b[1] > a[1] ? b : a))[0];
}
