// What normpool needs of a queue, in words of its own. bullmq.ts has it of BullMQ.
import type { MessageName } from "./messages.js";

export interface Message {
  readonly id: string;
  readonly name: MessageName;
  /** As it was found: whoever reads it checks it. */
  readonly data: unknown;
}

/** A job as it stands in the queue. */
export interface QueuedJob extends Message {
  readonly state: "waiting" | "running" | "done" | "failed";
  /** Why it failed. */
  readonly reason: string;
  /** Of the parts that were queued so far, in all phases: those that are done, and all. */
  readonly done: number;
  readonly parts: number;
}

/** Where jobs are queued, and looked at. */
export interface Queue {
  /** Adds a job. One that is there waits or runs on; one that is done or failed is begun anew. */
  add(id: string, data: object): Promise<"added" | "joined">;
  /** Undefined where there is none. */
  find(id: string): Promise<QueuedJob | undefined>;
  /** Those that are not done, and those that were not long ago. */
  list(): Promise<QueuedJob[]>;
  /** How many there are; undefined where the server does not say. */
  workers(): Promise<number | undefined>;
  close(): Promise<void>;
}

/** A job whose next step is to be done. */
export interface RunningJob extends Message {
  /** From now on its message is this one. Throws `Lost`. */
  keep(data: object): Promise<void>;
  /** Queues parts that it waits for. Those that are there already are there once. */
  addParts(parts: Iterable<{ readonly key: string; readonly data: object }>): Promise<void>;
  /** Throws `Waiting` where there are parts that are not done. */
  waitForParts(): Promise<void>;
  /** Why a part of it was given up; undefined where none was. */
  failedPart(): Promise<string | undefined>;
  /** Takes parts out of the queue that nobody has begun. */
  dropParts(): Promise<void>;
}

/** What a worker does with messages. An error that is `Refused` is final; after any other the message comes again, some times. */
export interface MessageHandlers {
  onJob(job: RunningJob, signal: AbortSignal): Promise<void>;
  onPart(message: Message, signal: AbortSignal): Promise<void>;
  /** Another worker has the message now: this one was away for too long. */
  onLost(): void;
  /** What the server or the way to it came to, in words. */
  onTrouble(words: string): void;
}

/** No attempt would end otherwise. */
export class Refused extends Error {}

/** A job's turn is over: it comes again when its parts are done. */
export class Waiting extends Error {}

/** Another worker has the message. */
export class Lost extends Error {}

export interface WorkerTimes {
  /** Milliseconds after which a worker that says nothing counts as dead. */
  readonly deadAfter: number;
}
