// What parts and merge leave in a job's folder, and whether it is there.
import { describe } from "../describe.js";
import { InvalidArgumentError } from "../errors.js";
import { setCount } from "../plan/geometry.js";
import type { PartPhase } from "../plan/parts.js";
import { inFolder, MOMENTS_FILE, partFile, readRecord } from "./folder.js";
import type { Job } from "./job.js";
import type { LoadedJob } from "./load-job.js";
import { type NumbersHead, NumbersReader } from "./numbers-file.js";
import { partialNumbers, unitsByInput } from "./part-units.js";
import { type Planned, phasesOfJob } from "./planned.js";

/** Throws InvalidArgumentError where the job has no such phase. */
export function checkPhase(operation: string, { job, plans }: LoadedJob, phase: unknown): void {
  const phases = phasesOfJob(job, plans);
  if (phases.includes(phase as PartPhase)) return;
  throw new InvalidArgumentError(operation, "phase", `one of this job's, ${phases.join(" and ")},`, describe(phase));
}

/** Whether the partials of a part are there. */
export async function hasPartials(
  operation: string,
  { folder, job, plans }: LoadedJob,
  part: number,
): Promise<boolean> {
  const path = inFolder(folder, partFile("moments", part));
  const reader = await NumbersReader.open(operation, path, partialsHead(job, plans, part));
  await reader?.close();
  return reader !== undefined;
}

/** Whether the cells of a part are in the output that is being written. @param inode its own; undefined where there is none. */
export async function hasCells(
  operation: string,
  { folder, job }: LoadedJob,
  part: number,
  inode: string | undefined,
): Promise<boolean> {
  const note = (await readRecord(operation, inFolder(folder, partFile("apply", part)))) as
    | Partial<PartNote>
    | undefined;
  return note?.job === job.id && note.part === part && inode !== undefined && note.inode === inode;
}

/** That the cells of a part are on the disk, in the file with this inode. */
export interface PartNote {
  readonly job: string;
  readonly part: number;
  readonly inode: string;
}

/** What the file of a part's partials says it is. */
export function partialsHead(job: Job, plans: readonly Planned[], part: number): NumbersHead {
  let numbers = 0;
  for (const { planned, units } of unitsByInput(job, plans, "moments", part)) {
    numbers += partialNumbers(planned, job.stripeBytes, units);
  }
  return { job: job.id, name: partFile("moments", part), numbers };
}

/** What the file of all sets' moments says it is. */
export function momentsHead(job: Job, plans: readonly Planned[]): NumbersHead {
  const sets = plans.reduce((sum, { plan }) => sum + setCount(plan.geometry), 0);
  return { job: job.id, name: MOMENTS_FILE, numbers: 2 * sets };
}

/** Whether all sets' moments are there; also where there is none to merge. */
export async function isMerged(operation: string, { folder, job, plans }: LoadedJob): Promise<boolean> {
  if (!phasesOfJob(job, plans).includes("moments")) return true;
  const reader = await NumbersReader.open(operation, inFolder(folder, MOMENTS_FILE), momentsHead(job, plans));
  await reader?.close();
  return reader !== undefined;
}
