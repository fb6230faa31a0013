// What the model says: of layers, sizes and machines, of the size of parts, of the merge alone, and of machines that are lost.
import { type Cluster, type Costs, type JobRun, MOST_PARTS, partsOf, simulateJob } from "./job.js";
import { LAYERS, PLANES, type SimulatedLayer, workOf } from "./layers.js";
import type { Failures } from "./phase.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;
const PIB = 2 ** 50;

const INPUT_BYTES = [GIB, 32 * GIB, TIB, 32 * TIB, PIB] as const;
const MACHINES = [1, 10, 100, 1000] as const;
export const PART_BYTES = [64 * MIB, 256 * MIB, GIB, 16 * GIB] as const;
/** Of jobs that say none. */
const DEFAULT_PART = 256 * MIB;
/** Parts a second that BullMQ gave in a prototype, the fewest measured. Nobody gives parts that are commands of a scheduler's. */
export const QUEUES = { redis: 3600, postgres: 1100, none: Number.POSITIVE_INFINITY } as const;
export type Queue = keyof typeof QUEUES;

export interface Setting {
  /** Of a layer with moments, and of one without, on one machine with all its cores. */
  readonly costs: { readonly moments: Costs; readonly plain: Costs };
  /** Bytes a second of the file system that all see. */
  readonly storage: number;
  readonly queueRate: number;
  /** Of a process for each part; 0 where workers wait for parts. */
  readonly startSeconds: number;
  readonly failures: Failures | null;
}

interface ScaleRow {
  readonly bytes: number;
  readonly machines: number;
  readonly run: JobRun;
}

interface MergeRow {
  readonly layer: string;
  readonly partialsBytes: number;
  readonly seconds: number;
  /** Of all steps. */
  readonly share: number;
  /** Bytes a second that storage and machines would have to move for the merge to take half of the time. */
  readonly halfAt: number;
}

interface PartRow {
  readonly queue: Queue;
  readonly bytes: number;
  readonly machines: number;
  /** By size of a part; null where there would be more parts than there may be. */
  readonly runs: readonly (JobRun | null)[];
}

interface FailureRow {
  readonly hours: number | null;
  readonly runs: readonly JobRun[];
}

export interface Study {
  readonly layers: readonly { readonly name: string; readonly rows: readonly ScaleRow[] }[];
  readonly merges: readonly MergeRow[];
  readonly parts: readonly PartRow[];
  readonly failures: readonly FailureRow[];
}

export function study(setting: Setting, { quick = false } = {}): Study {
  const sizes = quick ? INPUT_BYTES.slice(0, 2) : INPUT_BYTES;
  const largest = sizes[sizes.length - 1] as number;
  const most = MACHINES[MACHINES.length - 1] as number;
  const layers = LAYERS.map((layer) => ({
    name: layer.name,
    rows: sizes.flatMap((bytes) =>
      MACHINES.map((machines) => ({
        bytes,
        machines,
        run: runOf(layer, bytes, machines, setting, partsOf(bytes, DEFAULT_PART)),
      })),
    ),
  }));
  const merges = layers.flatMap(({ name, rows }) => {
    const { run } = rows.find((row) => row.bytes === largest && row.machines === most) as ScaleRow;
    const seconds = run.stages.find((stage) => stage.name === "merge")?.seconds ?? 0;
    if (seconds === 0) return [];
    const moved = 3 * largest;
    return [
      { layer: name, partialsBytes: run.partialsBytes, seconds, share: seconds / run.seconds, halfAt: moved / seconds },
    ];
  });
  const parts = (["redis", "postgres"] as const).flatMap((queue) =>
    sizes.flatMap((bytes) =>
      [100, 1000].map((machines): PartRow => {
        const queueRate = QUEUES[queue];
        const runs = PART_BYTES.map((partBytes) => {
          const count = Math.ceil(bytes / partBytes);
          return count > MOST_PARTS * 1.1
            ? null
            : runOf(PLANES, bytes, machines, { ...setting, queueRate }, Math.min(MOST_PARTS, count));
        });
        return { queue, bytes, machines, runs };
      }),
    ),
  );
  const failures = [null, 1000, 100, 10].map((hours) => ({
    hours,
    runs: PART_BYTES.slice(2).map((partBytes) => {
      const { lockSeconds, backSeconds, seed } = setting.failures ?? { lockSeconds: 60, backSeconds: 300, seed: 1 };
      const lost = hours === null ? null : { everySeconds: 3600 * hours, lockSeconds, backSeconds, seed };
      return runOf(PLANES, largest, most, { ...setting, failures: lost }, partsOf(largest, partBytes));
    }),
  }));
  return { layers, merges, parts, failures };
}

function runOf(layer: SimulatedLayer, bytes: number, machines: number, setting: Setting, parts: number): JobRun {
  const work = workOf(layer, bytes);
  const { storage, costs, ...rest } = setting;
  const cluster: Cluster = {
    ...rest,
    workers: machines,
    costs: work.partialsBytes > 0 ? costs.moments : costs.plain,
    shared: { moments: storage, apply: storage },
  };
  return simulateJob(work, cluster, parts);
}
