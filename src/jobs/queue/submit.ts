// From who has a job: into the queue, and what becomes of it there.
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { checkFunction, checkSignal } from "../../calls/options.js";
import { checkBoolean, readOptions } from "../../check.js";
import { describe } from "../../describe.js";
import { AbortedError, InvalidArgumentError, JobFailedError, QueueFailedError } from "../../errors.js";
import { jobStatus } from "../job-status.js";
import { openQueue } from "./bullmq.js";
import type { Queue, QueuedJob } from "./engine.js";
import { type JobMessage, readJobMessage, type Step } from "./messages.js";
import { checkQueueName, QUEUE_NAME } from "./name.js";
import { parseQueueUrl } from "./url.js";

export interface QueueOptions {
  /** As `runWorker` has it. */
  readonly queue: string;
  /** Default "normpool". */
  readonly queueName?: string | undefined;
}

export interface SubmitJobOptions extends QueueOptions {
  /** Whether to return as soon as it is queued. Default false: when it is finished. */
  readonly detach?: boolean | undefined;
  /** Ends the waiting: the job goes on. */
  readonly signal?: AbortSignal | undefined;
  /** Told from time to time. */
  readonly onProgress?: ((progress: JobProgress) => void) | undefined;
  /** Told once each time that there is no worker, and once each time that the server is away. */
  readonly onTrouble?: ((words: string) => void) | undefined;
}

export interface JobProgress {
  readonly phase: "moments" | "apply";
  /** Parts of the phase. */
  readonly done: number;
  readonly parts: number;
}

/** A job in a queue. */
export interface JobInQueue {
  readonly id: string;
  readonly folder: string;
  readonly state: QueuedJob["state"];
  /** What is done now, or waited for. */
  readonly step: Step;
  /** Parts of the phases that have begun. */
  readonly done: number;
  readonly parts: number;
  /** Why it failed, or failed last. */
  readonly reason: string;
}

/** A long job is looked at less often. */
const POLL_MS = { first: 250, last: 2000, share: 0.05 } as const;
const WORKERS_MS = 2000;

/**
 * Queues a job that `planJob` has made for the workers of a queue, and waits until they have finished it: then its folder is gone. The same job may be queued again at any time: while it
 * is there it is joined, and after it failed it goes on with the parts that are not done.
 * @returns the job's id
 * @throws (as rejection) InvalidArgumentError; QueueFailedError where the server cannot be reached at first, or BullMQ is not installed; JobFailedError; AbortedError; as `jobStatus`
 */
export async function submitJob(folder: string, options: SubmitJobOptions): Promise<string> {
  const operation = "submitJob";
  const { queue, queueName, detach, ...how } = readOptions<Required<SubmitJobOptions>>(operation, options, {
    queue: "",
    queueName: QUEUE_NAME,
    detach: false,
    signal: undefined,
    onProgress: undefined,
    onTrouble: undefined,
  });
  if (detach !== undefined) checkBoolean(operation, "detach", detach);
  checkSignal(operation, how.signal);
  checkFunction(operation, "onProgress", how.onProgress);
  checkFunction(operation, "onTrouble", how.onTrouble);
  if (typeof folder !== "string")
    throw new InvalidArgumentError(operation, "folder", "the folder of a job", describe(folder));
  const own = resolve(folder);
  const { id, phases } = await jobStatus(own);
  const opened = await openQueue(operation, parseQueueUrl(operation, queue), checkQueueName(operation, queueName));
  try {
    const add = () => opened.add(id, { folder: own, step: "moments" } satisfies JobMessage);
    await add();
    if (detach !== true)
      await waitFor({ operation, queue: opened, id, phases, again: () => addAgain(own, id, add) }, how);
  } finally {
    await opened.close();
  }
  return id;
}

type How = Pick<SubmitJobOptions, "signal" | "onProgress" | "onTrouble">;

interface Submitted {
  readonly operation: string;
  readonly queue: Queue;
  readonly id: string;
  readonly phases: readonly { readonly phase: JobProgress["phase"]; readonly parts: number }[];
  /** Queues it once more where it is not done. */
  again(): Promise<boolean>;
}

/** Of a server that has forgotten the job: what was done of it is in its folder. */
async function addAgain(folder: string, id: string, add: () => Promise<unknown>): Promise<boolean> {
  const status = await jobStatus(folder).catch(() => undefined);
  if (status?.id !== id) return false;
  await add();
  return true;
}

async function waitFor(submitted: Submitted, { signal, onProgress, onTrouble }: How): Promise<void> {
  const { operation, queue, id, phases } = submitted;
  const tellTrouble = onceEach(onTrouble);
  const tellIdle = onceEach(onTrouble);
  const start = performance.now();
  let looked = start;
  for (;;) {
    const job = await orTrouble(queue.find(id));
    tellTrouble(job instanceof QueueFailedError ? job.message.slice(job.operation.length + 2) : undefined);
    if (job === undefined) {
      const isAdded = await orTrouble(submitted.again());
      if (isAdded === false) throw new JobFailedError(operation, id, "it is no longer in the queue");
      if (isAdded === true) onTrouble?.("it was no longer in the queue, and is queued again");
    } else if (!(job instanceof QueueFailedError)) {
      if (job.state === "failed") throw new JobFailedError(operation, id, job.reason);
      const progress = progressOf(job, phases);
      if (progress !== undefined) onProgress?.(progress);
      if (job.state === "done") return;
      if (performance.now() - looked > WORKERS_MS) {
        const none = (await queue.workers()) === 0;
        tellIdle(none ? "no worker is alive: the job waits for one" : undefined);
        looked = performance.now();
      }
    }
    const pause = Math.min(POLL_MS.last, POLL_MS.first + POLL_MS.share * (performance.now() - start));
    await setTimeout(pause, undefined, signal ? { signal } : {}).catch(() => {
      throw new AbortedError(operation, signal?.reason);
    });
  }
}

/** A server that is away comes back. */
function orTrouble<T>(asked: Promise<T>): Promise<T | QueueFailedError> {
  return asked.catch((error) => {
    if (error instanceof QueueFailedError) return error;
    throw error;
  });
}

/** Words are told when they come, and again when they have been away. */
function onceEach(tell: ((words: string) => void) | undefined): (words: string | undefined) => void {
  let told: string | undefined;
  return (words) => {
    if (words !== undefined && words !== told) tell?.(words);
    told = words;
  };
}

function progressOf({ data, done, state }: QueuedJob, phases: Submitted["phases"]): JobProgress | undefined {
  const step = (data as JobMessage | undefined)?.step;
  const last = phases.at(-1);
  if (last === undefined) return undefined;
  if (state === "done" || step === "remove") return { ...last, done: last.parts };
  // The step to come waits for the parts of the one before.
  const index = step === "finish" ? phases.length - 1 : 0;
  const { phase, parts } = phases[index] as (typeof phases)[0];
  const before = phases.slice(0, index).reduce((sum, other) => sum + other.parts, 0);
  return { phase, parts, done: Math.min(parts, Math.max(0, done - before)) };
}

/** The jobs of a queue, and how many workers it has: undefined where the server does not say. @throws (as rejection) as `submitJob` */
export async function queueStatus(
  options: QueueOptions,
): Promise<{ readonly jobs: readonly JobInQueue[]; readonly workers: number | undefined }> {
  const operation = "queueStatus";
  const { queue, queueName } = readOptions<Required<QueueOptions>>(operation, options, {
    queue: "",
    queueName: QUEUE_NAME,
  });
  const opened = await openQueue(operation, parseQueueUrl(operation, queue), checkQueueName(operation, queueName));
  try {
    const [jobs, workers] = await Promise.all([opened.list(), opened.workers()]);
    return { jobs: jobs.flatMap((job) => inQueue(operation, job)), workers };
  } finally {
    await opened.close();
  }
}

/** What is no message of normpool's is no job. */
function inQueue(operation: string, { id, data, state, done, parts, reason }: QueuedJob): JobInQueue[] {
  try {
    const { folder, step } = readJobMessage(operation, data);
    return [{ id, folder, state, step, done, parts, reason }];
  } catch {
    return [];
  }
}
