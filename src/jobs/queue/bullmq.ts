// The one file that knows BullMQ, version 6, on Redis or PostgreSQL. It is loaded when a queue is opened, and not before.
import type { Queue as BullQueue, Job, JobsOptions } from "bullmq";
import { QueueFailedError } from "../../errors.js";
import type { Message, MessageHandlers, Queue, QueuedJob, RunningJob, WorkerTimes } from "./engine.js";
import { Lost, Refused, Waiting } from "./engine.js";
import { DRIVERS, serverError, wordsOf } from "./server-error.js";
import type { QueueUrl } from "./url.js";

type Bull = typeof import("bullmq");

/** One that is killed again and again is no reason to give a job up soon. */
const MOST_DEATHS = 10;
/** With the backoff some 30 seconds. */
const ATTEMPTS = 6;
const BACKOFF = { type: "exponential", delay: 1000, jitter: 0.2 } as const;
const DAY = 24 * 3600;
/** Messages that are sent at once. */
const BATCH = 1000;
/** Jobs that are done or failed are looked at: how many, for how long. */
const KEPT = { age: 7 * DAY, count: 1000 } as const;
const CONNECT_MS = 10_000;
/** PostgreSQL's, so that nothing of other programs is changed. */
const SCHEMA = "normpool";

const JOB_OPTIONS: JobsOptions = {
  attempts: ATTEMPTS,
  backoff: BACKOFF,
  removeOnComplete: KEPT,
  removeOnFail: KEPT,
  stackTraceLimit: 1,
};

/** After all jobs' steps: there is one of these for many parts, and they are what others wait for. */
const PART_OPTIONS: JobsOptions = {
  ...JOB_OPTIONS,
  removeOnComplete: true,
  removeOnFail: true,
  priority: 1,
  continueParentOnFailure: true,
};

/** What BullMQ says to a worker whose message another has, in each way that it finds out. */
const LOST = /could not renew lock|Missing lock|Lock mismatch|Missing key for job|is not in the active state/;

interface Connected {
  readonly bull: Bull;
  readonly connection: object;
  readonly queue: BullQueue;
}

async function load(operation: string, { kind, shown }: QueueUrl): Promise<Bull> {
  const bull = await import("bullmq").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new QueueFailedError(
      operation,
      shown,
      `expected BullMQ, which is not there: npm install bullmq ${DRIVERS[kind]}`,
    );
  });
  if ("withBackend" in bull) return bull;
  throw new QueueFailedError(operation, shown, "expected BullMQ 6 but got an older one: npm install bullmq@6");
}

/** The same for both servers, to all that is done here. */
function classesOf(bull: Bull, { kind }: QueueUrl): Pick<Bull, "Queue" | "Worker"> {
  return kind === "Redis" ? bull : (bull.withBackend(bull.createPostgresBackend) as unknown as Bull);
}

/** Throws QueueFailedError where the server is not there or lets nobody in. */
async function connect(operation: string, url: QueueUrl, name: string): Promise<Connected> {
  const bull = await load(operation, url);
  const { Queue } = classesOf(bull, url);
  const open = (connection: object) => ready(operation, url, () => new Queue(name, { connection }));
  if (url.kind === "Redis") {
    const connection = { url: url.href, connectTimeout: CONNECT_MS, maxRetriesPerRequest: null };
    return { bull, connection, queue: await open(connection) };
  }
  const connection = { connectionString: url.href, connectionTimeoutMillis: CONNECT_MS, schema: SCHEMA, max: 1 };
  try {
    return { bull, connection, queue: await open({ ...connection, migrate: true }) };
  } catch (error) {
    // Who may not make tables finds those that somebody else has made.
    if (!(error instanceof QueueFailedError) || error.serverCode !== "42501") throw error;
    return { bull, connection, queue: await open(connection) };
  }
}

async function ready(operation: string, url: QueueUrl, open: () => BullQueue): Promise<BullQueue> {
  let queue: BullQueue | undefined;
  try {
    queue = open();
    const opened = queue;
    // A driver that cannot connect tries again for ever: the first error is told.
    await new Promise<unknown>((resolve, reject) => {
      opened.on("error", reject);
      opened.waitUntilReady().then(resolve, reject);
    });
    return queue;
  } catch (error) {
    await queue?.close().catch(() => {});
    throw serverError(operation, url, error);
  }
}

export async function openQueue(operation: string, url: QueueUrl, name: string): Promise<Queue> {
  const { queue } = await connect(operation, url, name);
  const orFail = async <T>(step: () => Promise<T>): Promise<T> => {
    try {
      return await step();
    } catch (error) {
      throw serverError(operation, url, error);
    }
  };
  return {
    add: (id, data) => orFail(() => addJob(queue, id, data)),
    find: (id) =>
      orFail(async () => {
        const job = await queue.getJob(id);
        return job && describeJob(job);
      }),
    list: () =>
      orFail(async () => {
        const jobs = await queue.getJobs(["active", "waiting", "waiting-children", "delayed", "completed", "failed"]);
        const own = jobs.filter((job) => job?.name === "job");
        return Promise.all(own.map(describeJob));
      }),
    workers: () => queue.getWorkersCount().catch(() => undefined),
    close: () => queue.close().catch(() => {}),
  };
}

async function addJob(queue: BullQueue, id: string, data: object): Promise<"added" | "joined"> {
  const state = await queue.getJobState(id);
  if (state === "completed" || state === "failed") await queue.remove(id);
  else if (state !== "unknown") return "joined";
  await queue.add("job", data, { ...JOB_OPTIONS, jobId: id });
  return "added";
}

async function describeJob(job: Job): Promise<QueuedJob> {
  const [state, counts] = await Promise.all([job.getState(), job.getDependenciesCount()]);
  const { processed = 0, unprocessed = 0, ignored = 0, failed = 0 } = counts;
  return {
    ...messageOf(job),
    state: STATES[state] ?? "waiting",
    reason: job.failedReason ?? "",
    done: processed,
    parts: processed + unprocessed + ignored + failed,
  };
}

const STATES: Readonly<Record<string, QueuedJob["state"]>> = {
  active: "running",
  "waiting-children": "running",
  completed: "done",
  failed: "failed",
};

function messageOf(job: Job): Message {
  return { id: job.id ?? "", name: job.name as Message["name"], data: job.data };
}

/** Begins to take messages, one at a time. @returns how to end: with the message that is at hand. */
export async function openWorker(
  operation: string,
  url: QueueUrl,
  name: string,
  { deadAfter }: WorkerTimes,
  handlers: MessageHandlers,
): Promise<() => Promise<void>> {
  const { bull, connection, queue } = await connect(operation, url, name);
  let hasLock = true;
  const process = async (job: Job, token = "", signal = new AbortController().signal): Promise<void> => {
    hasLock = true;
    try {
      if (job.name === "job") await handlers.onJob(runningJob({ queue, deadAfter }, job, token), signal);
      else await handlers.onPart(messageOf(job), signal);
    } catch (error) {
      if (error instanceof Waiting) throw new bull.WaitingChildrenError();
      throw error instanceof Refused ? new bull.UnrecoverableError(error.message) : error;
    }
  };
  const options = {
    connection,
    concurrency: 1,
    lockDuration: deadAfter,
    stalledInterval: deadAfter / 2,
    maxStalledCount: MOST_DEATHS,
    drainDelay: 1,
    runRetryDelay: 1000,
  };
  // By its length BullMQ knows that it takes a signal.
  const processor = (job: Job, token: string | undefined, signal: AbortSignal | undefined) =>
    process(job, token, signal);
  const worker = new (classesOf(bull, url).Worker)(name, processor, options);
  const lose = () => {
    if (hasLock) handlers.onLost();
    hasLock = false;
  };
  worker.on("lockRenewalFailed", (ids) => {
    for (const id of ids) worker.cancelJob(id);
    lose();
  });
  worker.on("error", (error) => {
    if (LOST.test(error.message)) lose();
    else handlers.onTrouble(wordsOf(url, error));
  });
  return async () => {
    await worker.close();
    await queue.close().catch(() => {});
  };
}

interface Site extends WorkerTimes {
  readonly queue: BullQueue;
}

function runningJob({ queue, deadAfter }: Site, job: Job, token: string): RunningJob {
  const parent = { id: job.id as string, queue: job.queueQualifiedName };
  // Of an earlier run of the same job there may be parts that failed.
  const run = `${job.id}.${job.timestamp.toString(36)}`;
  return {
    ...messageOf(job),
    async keep(data) {
      // What a worker says that was away is not heard: the job is further on.
      if ((await job.extendLock(token, deadAfter)) !== 1) throw new Lost("Missing lock");
      await job.updateData(data);
    },
    async addParts(parts) {
      let batch: Parameters<BullQueue["addBulk"]>[0] = [];
      for (const { key, data } of parts) {
        batch.push({ name: "part", data, opts: { ...PART_OPTIONS, jobId: `${run}.${key}`, parent } });
        if (batch.length < BATCH) continue;
        await queue.addBulk(batch);
        batch = [];
      }
      if (batch.length > 0) await queue.addBulk(batch);
    },
    async waitForParts() {
      if (await job.moveToWaitingChildren(token)) throw new Waiting();
    },
    failedPart: async () => Object.values(await job.getFailedChildrenValues())[0],
    dropParts: () => job.removeUnprocessedChildren(),
  };
}
