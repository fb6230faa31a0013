// What every step of a job takes beside the job.
import { checkFunction, checkSignal } from "../calls/options.js";
import { checkBoolean, readOptions } from "../check.js";
import type { Progress } from "../run/call.js";
import { checkRoots } from "./roots.js";

export interface JobOptions {
  /**
   * Folders that the job's own folder, its inputs and its output have to be below, wherever links lead: for jobs that come from others. Default: any file
   * is taken.
   */
  readonly roots?: readonly string[] | undefined;
  /** Ends the step, which is then rejected with an AbortedError. */
  readonly signal?: AbortSignal | undefined;
}

export interface RunPartOptions extends JobOptions {
  /** Told after some slices of the part. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

export interface FinishJobOptions extends JobOptions {
  /** Whether the job's folder is removed too, and not left for `jobStatus`. Default false. */
  readonly remove?: boolean | undefined;
}

type AllOptions = RunPartOptions & FinishJobOptions;

/** `given`, of the options named by `keys` and those of every step. Throws InvalidArgumentError. */
export function readJobOptions(
  operation: string,
  given: unknown,
  keys: readonly Exclude<keyof AllOptions, keyof JobOptions>[] = [],
): AllOptions {
  const defaults = Object.fromEntries(["roots", "signal", ...keys].map((key) => [key, undefined]));
  const options: AllOptions = readOptions<AllOptions>(operation, given, defaults);
  const { roots, signal, onProgress, remove } = options;
  if (roots !== undefined) checkRoots(operation, roots);
  checkSignal(operation, signal);
  checkFunction(operation, "onProgress", onProgress);
  if (remove !== undefined) checkBoolean(operation, "remove", remove);
  return options;
}
