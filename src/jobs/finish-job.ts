// Ends a job: the output gets its name when all parts are done, and not before. Or nothing is left of it.
import { rmdir } from "node:fs/promises";
import { InvalidArgumentError, WriteFailedError } from "../errors.js";
import { FINISHED_FILE, inFolder, isOfJob, JOB_FILE, namesIn, removeFrom, writeRecord } from "./folder.js";
import { hasCells, isMerged } from "./left.js";
import { isNoted, type LoadedJob, loadJob, openInput, unlessFinished } from "./load-job.js";
import { type FinishJobOptions, type JobOptions, readJobOptions } from "./options.js";
import { namePartial, outputInode, partialInode, removePartial } from "./output-file.js";
import { phasesOfJob } from "./planned.js";
import { someAtOnce } from "./some-at-once.js";
import { isFound, writeFound } from "./write-found.js";

/**
 * Finishes a job whose parts are all done: its output gets its name, on the disk; what the parts left is removed. A job that is finished is left as it is.
 * @throws (as rejection) InvalidArgumentError where parts are not done; ReadFailedError where an input was changed; FileFormatError, WriteFailedError, also where a
 * file has the output's name that must not be replaced
 */
export async function finishJob(folder: string, given: FinishJobOptions = {}): Promise<void> {
  const operation = "finishJob";
  const { remove = false, ...rest } = readJobOptions(operation, given, ["remove"]);
  const loaded = await loadJob(operation, folder, rest);
  const { job } = loaded;
  if (!loaded.finished) await unlessFinished(operation, loaded, rest, () => complete(operation, loaded, rest));
  await writeRecord(operation, inFolder(loaded.folder, FINISHED_FILE), { job: job.id }).catch(async (error) => {
    // Another process that has noted it clears up what is half written. Without the note nothing is cleared up.
    if (!(await isNoted(operation, loaded))) throw error;
  });
  await clear(operation, loaded, remove ? () => true : (name) => name !== JOB_FILE && name !== FINISHED_FILE);
}

async function complete(operation: string, loaded: LoadedJob, options: JobOptions): Promise<void> {
  const { job, folder } = loaded;
  await checkDone(operation, loaded);
  for (const input of job.inputs) (await openInput(operation, input)).dispose();
  const isInTheWay = (await outputInode(job)) !== undefined && !job.output.force;
  // Who wrote it may have ended before noting it.
  if (isInTheWay && !(job.output.cells === null && (await isFound(operation, loaded, options)))) {
    throw new WriteFailedError(operation, job.output.path, "it exists, and the job was planned to replace none");
  }
  if (job.output.cells === null) {
    if (!isInTheWay) await writeFound(operation, loaded, options, job.output.path);
    return;
  }
  await namePartial(operation, { folder, job });
}

const NAMED = 8;

/** Throws InvalidArgumentError that names parts that are not done. */
async function checkDone(operation: string, loaded: LoadedJob): Promise<void> {
  const { job, plans } = loaded;
  const fail = (received: string) =>
    new InvalidArgumentError(operation, "folder", "a job whose parts are all done", received);
  if (!(await isMerged(operation, loaded))) throw fail("one whose moments are not merged");
  if (!phasesOfJob(job, plans).includes("apply")) return;
  const inode = await partialInode(operation, job);
  const left: number[] = [];
  function* parts() {
    for (let part = 0; part < job.parts && left.length <= NAMED; part++) yield part;
  }
  await someAtOnce(parts(), async (part) => {
    if (!(await hasCells(operation, loaded, part, inode))) left.push(part);
  });
  if (left.length === 0) return;
  left.sort((a, b) => a - b);
  const names = left.slice(0, NAMED).join(", ");
  throw fail(
    `one without ${left.length === 1 ? "part" : "parts"} ${names}${left.length > NAMED ? " and more" : ""} of apply`,
  );
}

/**
 * Ends a job, finished or not: nothing is left of it but an output that has its name already.
 * @throws (as rejection) as `jobStatus`, WriteFailedError
 */
export async function removeJob(folder: string, given: JobOptions = {}): Promise<void> {
  const operation = "removeJob";
  const loaded = await loadJob(operation, folder, readJobOptions(operation, given));
  await clear(operation, loaded, () => true);
}

/** Removes files of the job's folder, and the folder when it is empty. */
async function clear(operation: string, { folder, job }: LoadedJob, goes: (name: string) => boolean): Promise<void> {
  if (job.output.cells !== null) await removePartial(operation, job);
  // What says what the job is goes last: until then it can be begun again.
  const names = (await namesIn(operation, folder)).filter((name) => isOfJob(name) && goes(name));
  const remove = (name: string) => removeFrom(operation, folder, name);
  await someAtOnce(
    names.filter((name) => name !== JOB_FILE),
    remove,
  );
  if (!goes(JOB_FILE)) return;
  await remove(JOB_FILE);
  await rmdir(folder).catch(() => {});
}
