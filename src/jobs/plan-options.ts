// Options of plans.
import { checkAtLeast, checkBoolean, checkPositiveInteger, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError } from "../errors.js";
import { MAX_PARTS } from "./check-job.js";

export interface PlanJobOptions {
  /** The job's folder, which all machines see. It is made; one that has the same job already is gone on with. */
  readonly folder: string;
  /** Bytes of the inputs that a part is of, about. Default 256 MiB. */
  readonly partBytes?: number | undefined;
  /** How many parts each phase has, in the place of partBytes. */
  readonly parts?: number | undefined;
  /** As the layers have it. */
  readonly channelAxis?: number | undefined;
  /** Whether a file of the output's name may be replaced, when the job is finished. Default false. */
  readonly force?: boolean | undefined;
}

export interface PlanFitOptions extends PlanJobOptions {
  /** Whether the scaler subtracts the mean, and divides by the deviation. Default true. */
  readonly withMean?: boolean | undefined;
  readonly withStd?: boolean | undefined;
}

const PART_BYTES = 256 << 20;
const LEAST_PART = 1 << 10;

export interface PlanOptions {
  readonly folder: string;
  readonly partBytes: number;
  readonly parts: number | undefined;
  readonly channelAxis: number | undefined;
  readonly force: boolean;
  readonly withMean: boolean;
  readonly withStd: boolean;
}

export function readPlanOptions(operation: string, given: unknown): PlanOptions {
  const defaults = {
    folder: "",
    partBytes: PART_BYTES,
    parts: undefined,
    channelAxis: undefined,
    force: false,
    withMean: true,
    withStd: true,
  };
  const options: PlanOptions = readOptions<PlanOptions>(operation, given, defaults);
  const { folder, partBytes, parts } = options;
  if (typeof folder !== "string" || folder === "" || folder.includes("\0")) {
    throw new InvalidArgumentError(operation, "folder", "the path of a folder", describe(folder));
  }
  checkAtLeast(operation, "partBytes", partBytes, LEAST_PART);
  if (parts !== undefined && checkPositiveInteger(operation, "parts", parts) > MAX_PARTS) {
    throw new InvalidArgumentError(operation, "parts", `at most ${MAX_PARTS}`, String(parts));
  }
  for (const flag of ["force", "withMean", "withStd"] as const) checkBoolean(operation, flag, options[flag]);
  return options;
}
