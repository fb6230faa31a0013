// What a server or its driver says, as an error of ours.
import { QueueFailedError } from "../../errors.js";
import type { QueueUrl } from "./url.js";

export const DRIVERS = { Redis: "ioredis", PostgreSQL: "pg" } as const;

/** The driver's own error is left out: it may have the command, with the password, in a field. */
export function serverError(operation: string, url: QueueUrl, error: unknown): QueueFailedError {
  const { message, code } = error as NodeJS.ErrnoException;
  const isMissing = /could not load the optional/.test(message);
  const driver = DRIVERS[url.kind];
  const why = isMissing ? `expected ${driver}, which is not there: npm install ${driver}` : wordsOf(url, error);
  return new QueueFailedError(operation, url.shown, why, typeof code === "string" ? code : undefined);
}

/** One line. */
export function wordsOf(url: QueueUrl, error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return url.hide(message || code || String(error)).split("\n")[0] as string;
}
