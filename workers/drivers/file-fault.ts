import { describeSystemError } from "../../src/storage/system-error.js";

/** What went wrong with a file, as plain data: an error's class does not survive the way from a worker. */
export interface Refusal {
  /** The file, as the caller named it. */
  readonly path: string;
  readonly does: "read" | "write";
  /** In words. */
  readonly why: string;
  /** The system's error, where it was one. */
  readonly system?: {
    readonly message: string;
    readonly code: string | undefined;
    readonly syscall: string | undefined;
  };
}

/** A file that cannot be read or written. Trying again would not help: it is the call's failure, and not the worker's. */
export class FileFault extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    const { path, why, system } = refusal;
    const cause = system && Object.assign(new Error(system.message), system);
    super(`${path}: ${why}`, cause && { cause });
    this.refusal = refusal;
  }
}

export function systemFault(path: string, does: Refusal["does"], error: unknown): FileFault {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  return new FileFault({ path, does, why: describeSystemError(error), system: { message, code, syscall } });
}
