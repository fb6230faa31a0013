/** What went wrong with a file, as plain data: an error's class does not survive the way from a worker. */
export interface Refusal {
  readonly path: string;
  readonly does: "read" | "write";
  /** In words. */
  readonly why: string;
}

/** A file that cannot be read or written. Trying again would not help: it is the call's failure, and not the worker's. */
export class FileFault extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, options?: ErrorOptions) {
    super(`${refusal.path}: ${refusal.why}`, options);
    this.refusal = refusal;
  }
}

/** `no space left on device (ENOSPC)`: without the call, which is none of the user's. */
export function systemFault(path: string, does: Refusal["does"], error: unknown): FileFault {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  const why = code === undefined ? message : `${message.replace(`${code}: `, "").split(`, ${syscall}`)[0]} (${code})`;
  return new FileFault({ path, does, why }, { cause: error });
}
