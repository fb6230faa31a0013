// What a worker does with a message: a part of a job, or what comes between the parts. Whatever is done may be done again: a worker may end at any line.
import { rmdir } from "node:fs/promises";
import { InvalidArgumentError, NormpoolError, ReadFailedError, WriteFailedError } from "../../errors.js";
import type { NormPool } from "../../pool.js";
import { finishJob, removeJob } from "../finish-job.js";
import { jobStatus } from "../job-status.js";
import { mergeParts } from "../merge-parts.js";
import type { JobOptions } from "../options.js";
import { checkBelow } from "../roots.js";
import { runPart } from "../run-part.js";
import { type Message, Refused, type RunningJob } from "./engine.js";
import { type JobMessage, type PartMessage, readJobMessage, readPartMessage, stepAfter } from "./messages.js";

export interface WorkerSite {
  readonly pool: NormPool;
  /** Only what is below these is opened. */
  readonly roots: readonly string[];
}

const OPERATION = "worker";

/** Other attempts, on this machine or another, may go well. */
const PASSING: readonly string[] = ["worker-failed", "aborted", "out-of-memory", "pool-closed", "timed-out"];

/** Of a job that was refused nothing is left. */
const REFUSED = "refused: ";

/** An error as the queue is to take it: what is wrong with a job itself is final. */
function forQueue(error: unknown): unknown {
  if (!(error instanceof NormpoolError)) return error;
  const words = wordsOf(error);
  if (PASSING.includes(error.code) || isSystems(error)) return new Error(words, { cause: error });
  // A file is in the way, of a job whose parts are done.
  return new Refused(error instanceof WriteFailedError ? words : REFUSED + words, { cause: error });
}

function wordsOf({ message, operation }: NormpoolError): string {
  return message.slice(operation.length + 2);
}

/** A full disk, a share that is away, a folder that is not seen here yet. */
function isSystems({ cause }: NormpoolError): boolean {
  return cause instanceof Error && "syscall" in cause;
}

export async function runPartMessage(site: WorkerSite, { data }: Message, signal: AbortSignal): Promise<PartMessage> {
  try {
    const message = readPartMessage(OPERATION, data);
    const { folder, phase, part } = message;
    await runPart(site.pool, folder, phase, part, { signal, roots: site.roots });
    return message;
  } catch (error) {
    throw forQueue(error);
  }
}

/** Goes on with a job until it waits for its parts, or is done. @param onStep told of each step that is done. */
export async function runJobMessage(
  site: WorkerSite,
  job: RunningJob,
  signal: AbortSignal,
  onStep: (message: JobMessage) => void,
): Promise<void> {
  const { roots } = site;
  try {
    let message = readJobMessage(OPERATION, job.data);
    const { folder } = message;
    await checkId(job.id, message, roots);
    try {
      for (;;) {
        const reason = await job.failedPart();
        if (reason !== undefined) throw new Refused(reason);
        await job.waitForParts();
        const { step } = message;
        if (await runStep(site, job, message, signal)) onStep(message);
        if (step === "remove") return;
        message = { folder, step: stepAfter(step) };
        await job.keep(message);
      }
    } catch (error) {
      const told = forQueue(error);
      if (told instanceof Refused) await giveUp(job, message, told, roots);
      throw told;
    }
  } catch (error) {
    throw forQueue(error);
  }
}

/** A message with another job's folder is none of ours: nothing there is touched. */
async function checkId(id: string, { folder, step }: JobMessage, roots: readonly string[]): Promise<void> {
  const found = await jobStatus(folder, { roots }).catch((error) => {
    if (step === "remove" && isGone(error)) return undefined;
    throw error;
  });
  if (found === undefined || found.id === id) return;
  throw new Refused(`${REFUSED}${folder}: it is the folder of another job, ${found.id}`);
}

function isGone(error: unknown): boolean {
  if (!(error instanceof ReadFailedError)) return false;
  return error.cause === undefined || (error.cause as NodeJS.ErrnoException).code === "ENOENT";
}

/** Whether there was something to do. */
async function runStep(
  site: WorkerSite,
  job: RunningJob,
  { folder, step }: JobMessage,
  signal: AbortSignal,
): Promise<boolean> {
  const options = { signal, roots: site.roots };
  switch (step) {
    case "moments":
    case "apply": {
      const { phases } = await jobStatus(folder, options);
      const parts = phases.find(({ phase }) => phase === step)?.parts ?? 0;
      await job.addParts(partsOf(folder, step, parts));
      return parts > 0;
    }
    case "merge": {
      const { phases } = await jobStatus(folder, options);
      const hasMoments = phases.some(({ phase }) => phase === "moments");
      if (hasMoments) await mergeParts(site.pool, folder, options);
      return hasMoments;
    }
    case "finish":
      await finish(folder, options);
      return true;
    case "remove":
      await removeWhole(job.id, { folder, step }, site.roots);
      return true;
  }
}

/** What of the job is missing is no reason to remove the rest. */
async function finish(folder: string, options: JobOptions): Promise<void> {
  try {
    await finishJob(folder, options);
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw new Refused(wordsOf(error), { cause: error });
    throw error;
  }
}

async function removeWhole(id: string, message: JobMessage, roots: readonly string[]): Promise<void> {
  const { folder } = message;
  try {
    // The next job of the same command has the same folder.
    await checkId(id, message, roots);
    await removeJob(folder, { roots });
  } catch (error) {
    // A worker that ended in the middle of this may have left the folder with nothing in it.
    if (!isGone(error)) throw error;
    await checkBelow(OPERATION, folder, roots);
    await rmdir(folder).catch(() => {});
  }
}

function* partsOf(folder: string, phase: PartMessage["phase"], parts: number) {
  for (let part = 0; part < parts; part++) {
    const data: PartMessage = { folder, phase, part };
    yield { key: `${phase}.${part}`, data };
  }
}

/** What cannot be done is not begun, and what was made of it is removed. Where attempts ran out it stays, to be gone on with. */
async function giveUp(
  job: RunningJob,
  message: JobMessage,
  { message: why }: Refused,
  roots: readonly string[],
): Promise<void> {
  // A worker that was away has nothing to give up.
  await job.keep(message);
  await job.dropParts();
  if (why.startsWith(REFUSED)) await removeWhole(job.id, message, roots).catch(() => {});
}
