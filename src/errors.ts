/** What went wrong, as a constant that programs can switch on. */
export type ErrorCode =
  | "invalid-shape"
  | "invalid-argument"
  | "unsupported-dtype"
  | "out-of-memory"
  | "file-format"
  | "write-failed"
  | "worker-failed"
  | "aborted"
  | "pool-closed";

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
  constructor(operation: string, argument: string, expected: string, received: string) {
    super(operation, `expected ${expected} for ${argument} but got ${received}`);
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
    this.dtype = String(dtype);
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

  constructor(operation: string, asked: number, inUse: number, possible: number, options?: ErrorOptions) {
    super(
      operation,
      `asked for ${asked} bytes, but ${inUse} are in use and the pool's memory can hold ${possible} in one piece at most`,
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

/** A file could not be written. Nothing of it is left, and what was there before still is; `cause` has the system's error. */
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

/** A worker thread ended or threw in the middle of a call; `cause` has its error. */
export class WorkerFailedError extends NormpoolError {
  readonly code = "worker-failed";

  constructor(operation: string, cause: unknown) {
    super(operation, `a worker thread failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** The call's AbortSignal fired; `cause` is the signal's reason. The name is `AbortError`, as elsewhere in Node. */
export class AbortedError extends NormpoolError {
  readonly code = "aborted";

  constructor(operation: string, reason: unknown) {
    super(operation, "aborted by its signal", { cause: reason });
    this.name = "AbortError";
  }
}

/** The pool was closed before or during the call. */
export class PoolClosedError extends NormpoolError {
  readonly code = "pool-closed";

  constructor(operation: string) {
    super(operation, "expected an open pool but it is closed");
  }
}

/** A value in a message's words: short, and never a whole array's contents or a function's source. */
export function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
  if (typeof value === "function") return value.name === "" ? "a function" : `the function ${value.name}`;
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(String).join(", ")}${value.length > 8 ? ", ..." : ""}]`;
  if (typeof value === "object" && value !== null) return value.constructor?.name ?? "an object";
  return String(value);
}
