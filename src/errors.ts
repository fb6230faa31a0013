import { describe } from "./describe.js";

/** What went wrong, as a constant that programs can switch on. */
export type ErrorCode =
  | "invalid-shape"
  | "invalid-argument"
  | "unsupported-dtype"
  | "out-of-memory"
  | "file-format"
  | "read-failed"
  | "write-failed"
  | "worker-failed"
  | "aborted"
  | "timed-out"
  | "pool-closed"
  | "queue-full"
  | "missing-files"
  | "queue-failed"
  | "job-failed"
  | "unsupported-runtime";

const REMEDY =
  "normpool must stay outside the bundle, whole in node_modules (esbuild: --external:normpool; others: https://github.com/normpool/normpool#bundlers)";

/** The family of every error that normpool throws on purpose. `message` reads "operation: expected X but got Y". */
export abstract class NormpoolError extends Error {
  /** Which of the family it is. */
  abstract readonly code: ErrorCode;
  /** The operation that refused, as the caller knows it: `LayerNorm`, `pool.tensor`, ... */
  readonly operation: string;

  constructor(operation: string, message: string, options?: ErrorOptions) {
    super(`${operation}: ${message}`, options);
    this.name = new.target.name;
    this.operation = operation;
  }
}

/** A tensor's shape does not fit the operation. */
export class InvalidShapeError extends NormpoolError {
  readonly code = "invalid-shape";
  /** The shape that came. */
  readonly shape: readonly number[];

  constructor(operation: string, message: string, shape: readonly number[]) {
    super(operation, message);
    this.shape = [...shape];
  }
}

/** An argument or option is not what the operation takes. */
export class InvalidArgumentError extends NormpoolError {
  readonly code = "invalid-argument";
  /** The argument's or option's name. */
  readonly argument: string;

  /** @param received in words; `describe` puts a value in words. */
  constructor(operation: string, argument: string, expected: string, received: string, options?: ErrorOptions) {
    super(operation, `expected ${expected} for ${argument} but got ${received}`, options);
    this.argument = argument;
  }
}

/** The operation does not compute in this dtype. */
export class UnsupportedDtypeError extends NormpoolError {
  readonly code = "unsupported-dtype";
  /** The dtype that came. */
  readonly dtype: string;

  constructor(operation: string, expected: string, dtype: unknown) {
    super(operation, `expected dtype ${expected} but got ${describe(dtype)}`);
    this.dtype = typeof dtype === "string" ? dtype : describe(dtype);
  }
}

/** The arena has no room, even after a collection. All sizes in bytes. */
export class OutOfMemoryError extends NormpoolError {
  readonly code = "out-of-memory";
  /** What the operation wanted. */
  readonly asked: number;
  /** What live tensors and running calls hold. */
  readonly inUse: number;
  /** The largest piece that could be had. */
  readonly possible: number;

  /** @param options `hint`: what else the message says. */
  constructor(
    operation: string,
    asked: number,
    inUse: number,
    possible: number,
    options: ErrorOptions & { readonly hint?: string } = {},
  ) {
    const { hint = "" } = options;
    super(
      operation,
      `asked for ${asked} bytes, but ${inUse} are in use and the pool's memory can hold ${possible} in one piece at most${hint}`,
      options,
    );
    this.asked = asked;
    this.inUse = inUse;
    this.possible = possible;
  }
}

/** A file is not what its format says, or holds what cannot be read here. */
export class FileFormatError extends NormpoolError {
  readonly code = "file-format";
  /** The file. */
  readonly path: string;

  constructor(operation: string, path: string, message: string, options?: ErrorOptions) {
    super(operation, `${path}: ${message}`, options);
    this.path = path;
  }
}

/** A file cannot be read, or is no longer what it was when its header was read; `cause` has the system's error, if there is one. */
export class ReadFailedError extends NormpoolError {
  readonly code = "read-failed";
  /** The file. */
  readonly path: string;

  /** @param why in words. */
  constructor(operation: string, path: string, why: string, options?: ErrorOptions) {
    super(operation, `${path}: cannot read it: ${why}`, options);
    this.path = path;
  }
}

/** A file could not be written. What had its name before still is there; `cause` has the system's error, where it was one. */
export class WriteFailedError extends NormpoolError {
  readonly code = "write-failed";
  /** The file, as the caller named it. */
  readonly path: string;

  /** @param why in words. */
  constructor(operation: string, path: string, why: string, options?: ErrorOptions) {
    super(operation, `${path}: cannot write there: ${why}`, options);
    this.path = path;
  }
}

/** Cells [from, to) of a tensor, in row-major order. */
export interface CellRange {
  readonly from: number;
  readonly to: number;
}

/** What a worker had when it failed. */
export interface LostSlice {
  /** What the call was doing: `moments`, `apply`, ... */
  readonly phase: string;
  readonly slice: number;
  /** How often the slice was begun. */
  readonly attempt: number;
}

/**
 * Worker threads ended or threw in the middle of a call, and what they lost could not be done again: each attempt failed, or the slice was
 * half written over its own input. Or no thread could be had. `cause` has the thread's error.
 */
export class WorkerFailedError extends NormpoolError {
  readonly code = "worker-failed";
  /** The slice that was given up; undefined where no thread came to have one. */
  readonly lost: LostSlice | undefined;
  /** Of a call in place: the cells that are neither what they were nor what they were to be. All others are one or the other. */
  readonly undefinedCells: readonly CellRange[];

  constructor(operation: string, cause: unknown, lost?: LostSlice, undefinedCells: readonly CellRange[] = []) {
    const where = lost && `, at slice ${lost.slice} of phase ${lost.phase}, attempt ${lost.attempt}`;
    const cells = undefinedCells.length > 0 ? `; undefined in place: cells ${formatRanges(undefinedCells)}` : "";
    super(operation, `a worker thread failed${where ?? ""}: ${reasonOf(cause)}${cells}`, { cause });
    this.lost = lost;
    this.undefinedCells = undefinedCells;
  }

  /** The same error, with cells that are undefined. */
  withUndefined(ranges: readonly CellRange[]): WorkerFailedError {
    return new WorkerFailedError(this.operation, this.cause, this.lost, ranges);
  }
}

/** Why a thread failed, in words. */
export function reasonOf(cause: unknown): string {
  const what = cause instanceof Error ? cause.message : String(cause);
  // Some bundlers copy the files that modules name, and none that those import.
  const isMissing = /^(ERR_)?MODULE_NOT_FOUND$/.test(String((cause as { code?: unknown } | null | undefined)?.code));
  return isMissing ? `${what}: ${REMEDY}` : what;
}

/** The first of many, so that a message stays short. */
function formatRanges(ranges: readonly CellRange[]): string {
  const some = ranges.slice(0, 3).map(({ from, to }) => `[${from}, ${to})`);
  return some.join(", ") + (ranges.length > some.length ? ` and ${ranges.length - some.length} ranges more` : "");
}

/** The call's AbortSignal fired; `cause` is the signal's reason. The name is `AbortError`, as elsewhere in Node. */
export class AbortedError extends NormpoolError {
  readonly code = "aborted";

  constructor(operation: string, reason: unknown) {
    super(operation, "aborted by its signal", { cause: reason });
    this.name = "AbortError";
  }
}

/** The pool has as many calls at once as its `maxQueue` allows. */
export class QueueFullError extends NormpoolError {
  readonly code = "queue-full";
  /** The limit. */
  readonly maxQueue: number;

  constructor(operation: string, maxQueue: number) {
    super(operation, `expected at most ${maxQueue} calls at once (maxQueue) but got another`);
    this.maxQueue = maxQueue;
  }
}

/** Files of normpool's that its threads read are not there: it was bundled, or installed in part. Thrown when it is imported. */
export class MissingFilesError extends NormpoolError {
  readonly code = "missing-files";

  constructor(received: string) {
    super("normpool", `expected its own files beside its modules but got ${received}: ${REMEDY}`);
  }
}

/** A queue's server, or what it takes to speak to it, is not there, or refuses. */
export class QueueFailedError extends NormpoolError {
  readonly code = "queue-failed";
  /** The server's URL, without its password. */
  readonly queue: string;
  /** The system's, the driver's or the server's name of the error, where it has one: `ECONNREFUSED`, or `28P01` of PostgreSQL. */
  readonly serverCode: string | undefined;

  /** @param why in words. */
  constructor(operation: string, queue: string, why: string, serverCode?: string) {
    super(operation, `${queue}: ${why}`);
    this.queue = queue;
    this.serverCode = serverCode;
  }
}

/** A job was given up by the workers that had it. */
export class JobFailedError extends NormpoolError {
  readonly code = "job-failed";
  /** The job's id. */
  readonly job: string;
  /** What the worker said. */
  readonly reason: string;

  constructor(operation: string, job: string, reason: string) {
    super(operation, `job ${job} failed: ${reason}`);
    this.job = job;
    this.reason = reason;
  }
}

/** The JavaScript engine cannot run normpool, as it is or as it was started. Thrown when a pool is made. */
export class UnsupportedRuntimeError extends NormpoolError {
  readonly code = "unsupported-runtime";

  constructor(operation: string, received: string) {
    super(operation, `expected WebAssembly with SIMD and threads but got ${received}`);
  }
}

/** The call took longer than its `timeout`. The name is `TimeoutError`, as elsewhere in Node. */
export class TimedOutError extends NormpoolError {
  readonly code = "timed-out";
  /** Milliseconds. */
  readonly timeout: number;

  constructor(operation: string, timeout: number) {
    super(operation, `expected an end within ${timeout} ms but there was none`);
    this.name = "TimeoutError";
    this.timeout = timeout;
  }
}

/** The pool was closed before or during the call. */
export class PoolClosedError extends NormpoolError {
  readonly code = "pool-closed";

  constructor(operation: string) {
    super(operation, "expected an open pool but it is closed");
  }
}

/** What `read` makes of a value of the caller's: one that throws when it is looked at is no such argument, and what it throws is the `cause`. */
export function reading<T>(operation: string, argument: string, expected: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw unreadable(operation, argument, expected, cause);
  }
}

/** As what an argument threw when it was looked at is told. */
export function unreadable(operation: string, argument: string, expected: string, cause: unknown): Error {
  if (cause instanceof NormpoolError) return cause;
  return new InvalidArgumentError(operation, argument, expected, "what throws when it is looked at", { cause });
}
