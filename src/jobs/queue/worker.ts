// A worker: takes messages of a queue, one at a time, until it is told to end.
import { resolve } from "node:path";
import { checkFunction, checkSignal } from "../../calls/options.js";
import { checkAtLeast, readOptions } from "../../check.js";
import { describe } from "../../describe.js";
import { InvalidArgumentError } from "../../errors.js";
import { isPool, type NormPool } from "../../pool.js";
import { checkRoots } from "../roots.js";
import { openWorker } from "./bullmq.js";
import type { Message } from "./engine.js";
import { Lost, Refused, Waiting } from "./engine.js";
import { checkQueueName, QUEUE_NAME } from "./name.js";
import { runJobMessage, runPartMessage } from "./steps.js";
import { parseQueueUrl } from "./url.js";

export interface RunWorkerOptions {
  /** The queue's server: a URL of redis://, rediss:// (TLS), postgres:// or postgresql:// (TLS by its own parameters, such as sslmode). */
  readonly queue: string;
  /** Default "normpool". */
  readonly queueName?: string | undefined;
  /** Folders: jobs with files elsewhere, wherever links lead, are refused. Default: the process's working directory. */
  readonly roots?: readonly string[] | undefined;
  /** Ends the worker when its message is done. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds after which a worker that says nothing has lost its part to another. Default 10,000; the same for all workers of a queue. */
  readonly deadAfter?: number | undefined;
  /** Told what happens. */
  readonly onEvent?: ((event: WorkerEvent) => void) | undefined;
}

export type WorkerEvent =
  /** It takes messages. */
  | { readonly kind: "ready" }
  /** A part is done. */
  | {
      readonly kind: "part";
      readonly folder: string;
      readonly phase: string;
      readonly part: number;
      readonly milliseconds: number;
    }
  /** The parts of all phases are merged, or the job is finished. */
  | { readonly kind: "merged" | "finished"; readonly folder: string; readonly milliseconds: number }
  /** A message could not be done. It is final, or others try again. */
  | { readonly kind: "failed"; readonly reason: string; readonly isFinal: boolean }
  /** It was away for too long, and another worker has its message. */
  | { readonly kind: "lost" }
  /** The server is away, or says what it should not. The worker goes on when it is back. */
  | { readonly kind: "trouble"; readonly reason: string };

const DEAD_AFTER = 10_000;
/** A lock has to be renewed in less. */
const LEAST_DEAD_AFTER = 500;

/**
 * Does the parts of the jobs that a queue has, on the pool's threads. Any number of workers may run, on any machines that see the jobs' files by the same paths.
 * @returns when the signal has fired and the message at hand is done
 * @throws (as rejection) InvalidArgumentError; QueueFailedError where the server cannot be reached at first, or BullMQ is not installed
 */
export async function runWorker(pool: NormPool, options: RunWorkerOptions): Promise<void> {
  const operation = "runWorker";
  const { queue, queueName, roots, signal, deadAfter, onEvent } = readOptions<Required<RunWorkerOptions>>(
    operation,
    options,
    {
      queue: "",
      queueName: QUEUE_NAME,
      roots: undefined,
      signal: undefined,
      deadAfter: DEAD_AFTER,
      onEvent: undefined,
    },
  );
  if (!isPool(pool)) throw new InvalidArgumentError(operation, "pool", "a NormPool", describe(pool));
  checkSignal(operation, signal);
  checkFunction(operation, "onEvent", onEvent);
  const url = parseQueueUrl(operation, queue);
  const name = checkQueueName(operation, queueName);
  const times = { deadAfter: checkAtLeast(operation, "deadAfter", deadAfter, LEAST_DEAD_AFTER) };
  const site = { pool, roots: checkRoots(operation, roots ?? ["."]).map((root) => resolve(root)) };
  const tell = (event: WorkerEvent) => onEvent?.(event);
  const telling = async (away: AbortSignal, step: () => Promise<void>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      // After these it is another worker's, or comes again.
      if (!(error instanceof Waiting || error instanceof Lost || away.aborted)) {
        tell({ kind: "failed", reason: String((error as Error).message), isFinal: error instanceof Refused });
      }
      throw error;
    }
  };
  const end = await openWorker(operation, url, name, times, {
    onJob: (job, away) =>
      telling(away, async () => {
        let start = performance.now();
        await runJobMessage(site, job, away, ({ folder, step }) => {
          const kind = step === "merge" ? "merged" : step === "finish" ? "finished" : undefined;
          if (kind !== undefined) tell({ kind, folder, milliseconds: performance.now() - start });
          start = performance.now();
        });
      }),
    onPart: (message: Message, away) =>
      telling(away, async () => {
        const start = performance.now();
        const { folder, phase, part } = await runPartMessage(site, message, away);
        tell({ kind: "part", folder, phase, part, milliseconds: performance.now() - start });
      }),
    onLost: () => tell({ kind: "lost" }),
    onTrouble: (reason) => tell({ kind: "trouble", reason }),
  });
  tell({ kind: "ready" });
  await new Promise<void>((done) => {
    if (signal === undefined) return;
    if (signal.aborted) done();
    else signal.addEventListener("abort", () => done(), { once: true });
  });
  await end();
}
