// How far a job is: counted from what its folder has.
import type { PartPhase } from "../plan/parts.js";
import { namesIn, partOfFile } from "./folder.js";
import { isMerged } from "./left.js";
import { loadJob } from "./load-job.js";
import { type JobOptions, readJobOptions } from "./options.js";
import { phasesOfJob } from "./planned.js";

/** How far a job is. */
export interface JobStatus {
  readonly id: string;
  /** The layer, as PyTorch prints it, or `StandardScaler`. */
  readonly layer: string;
  /** Absolute paths. */
  readonly inputs: readonly string[];
  readonly output: string;
  /** In the order in which they run: `moments` where statistics have to be found first, `apply` where the output has cells. */
  readonly phases: readonly {
    readonly phase: PartPhase;
    readonly parts: number;
    /** Parts that are done. */
    readonly done: number;
  }[];
  /** Whether the moments are merged, or none have to be. */
  readonly merged: boolean;
  /** Whether the output has its name. */
  readonly finished: boolean;
}

/** @throws (as rejection) InvalidArgumentError, FileFormatError, ReadFailedError */
export async function jobStatus(folder: string, given: JobOptions = {}): Promise<JobStatus> {
  const operation = "jobStatus";
  const loaded = await loadJob(operation, folder, readJobOptions(operation, given));
  const { job, plans, finished } = loaded;
  const done = { moments: 0, apply: 0 };
  for (const name of await namesIn(operation, loaded.folder)) {
    const found = partOfFile(name);
    if (found !== undefined && found.part < job.parts) done[found.phase]++;
  }
  const merged = finished || (await isMerged(operation, loaded));
  return {
    id: job.id,
    layer: job.work.kind === "fit" ? "StandardScaler" : job.work.layer,
    inputs: job.inputs.map(({ path }) => path),
    output: job.output.path,
    phases: phasesOfJob(job, plans).map((phase) => ({
      phase,
      parts: job.parts,
      done: finished || (phase === "moments" && merged) ? job.parts : done[phase],
    })),
    merged,
    finished,
  };
}
