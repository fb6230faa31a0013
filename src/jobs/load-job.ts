// Opens a job: its files are read anew each time, so that descriptors and what they say are those of now.
import { realpath } from "node:fs/promises";
import { describe } from "../describe.js";
import { FileFormatError, InvalidArgumentError, ReadFailedError } from "../errors.js";
import { openTensor } from "../storage/file-tensor.js";
import { withInput } from "../storage/input.js";
import { hashOf } from "../storage/journal.js";
import { readSafetensors } from "../storage/safetensors.js";
import { hashOfSamples } from "../storage/samples.js";
import type { FileSpec } from "../storage/spec.js";
import { describeSystemError } from "../storage/system-error.js";
import type { Parameter } from "../tensor/parameter.js";
import { sameShape } from "../tensor/shape.js";
import { fileOf, type Tensor } from "../tensor/tensor.js";
import { checkJob } from "./check-job.js";
import { FINISHED_FILE, inFolder, JOB_FILE, readRecord, weightsFile } from "./folder.js";
import type { Job, JobInput } from "./job.js";
import type { JobOptions } from "./options.js";
import { isNamed } from "./output-file.js";
import { hashOfPlans, type JobWeights, type Planned, plansOf } from "./planned.js";
import { checkBelow } from "./roots.js";

export interface LoadedJob {
  /** Absolute. */
  readonly folder: string;
  readonly job: Job;
  readonly plans: readonly Planned[];
  readonly finished: boolean;
}

/** @throws InvalidArgumentError, FileFormatError where its files are not what a job's are, ReadFailedError */
export async function loadJob(operation: string, given: unknown, options: JobOptions): Promise<LoadedJob> {
  if (typeof given !== "string" || given === "" || given.includes("\0")) {
    throw new InvalidArgumentError(operation, "folder", "the folder of a job", describe(given));
  }
  const folder = await realpath(given).catch((cause) => {
    throw new ReadFailedError(operation, given, describeSystemError(cause), { cause });
  });
  await checkBelow(operation, folder, options.roots);
  const path = inFolder(folder, JOB_FILE);
  const record = await readRecord(operation, path);
  if (record === undefined) throw new ReadFailedError(operation, path, "there is no job in this folder");
  const job = checkJob(operation, path, record);
  for (const { path: input } of job.inputs) await checkBelow(operation, input, options.roots);
  await checkBelow(operation, job.output.path, options.roots);
  const plans = plansOf(job);
  if (hashOfPlans(job, plans) !== job.plans) {
    throw new FileFormatError(
      operation,
      path,
      "this normpool makes another plan of it: parts of two would not fit together",
    );
  }
  // Who gave the output its name may have ended before noting it.
  const finished = (await isNoted(operation, { folder, job })) || (await isNamed(operation, { folder, job }));
  return { folder, job, plans, finished };
}

/** Whether it is noted that the job is finished. */
export async function isNoted(
  operation: string,
  { folder, job }: { readonly folder: string; readonly job: Job },
): Promise<boolean> {
  const noted = (await readRecord(operation, inFolder(folder, FINISHED_FILE))) as
    | { readonly job?: unknown }
    | undefined;
  return noted?.job === job.id;
}

/** Does a step of a job. Others may do the same, and all that follows, meanwhile: where it fails of what they cleared up, it is done. */
export async function unlessFinished(
  operation: string,
  { folder, job }: LoadedJob,
  options: JobOptions,
  step: () => Promise<void>,
): Promise<void> {
  try {
    await step();
  } catch (error) {
    const now = await loadJob(operation, folder, options).catch(() => undefined);
    if (now?.finished !== true || now.job.id !== job.id) throw error;
  }
}

/** Opens an input. Throws ReadFailedError where it is not the file that the job was planned for. */
export async function openInput(operation: string, input: JobInput): Promise<Tensor> {
  const { path, options, dtype, shape, size, modified, samples } = input;
  const changed = () => new ReadFailedError(operation, path, "it was changed since the job was planned");
  // First: of a file that is another one its header says nothing.
  const found = await withInput(operation, path, async ({ identity }) => identity);
  if (found.size !== size || found.modified !== modified) throw changed();
  const x = await openTensor(operation, path, options);
  const spec = fileOf(x) as FileSpec;
  if (spec.path !== path || spec.size !== size || spec.modified !== modified) throw changed();
  if (x.dtype !== dtype || !sameShape(x.shape, shape)) throw changed();
  if ((await hashOfSamples(operation, spec)) !== samples) throw changed();
  return x;
}

const WEIGHTS = ["weight", "bias", "mean", "variance"] as const satisfies readonly (keyof JobWeights)[];

export function hashOfWeights(weights: JobWeights): string {
  return hashOf(
    WEIGHTS.flatMap((name) => {
      const values = weights[name];
      return values === null ? [] : [`${name} ${values.BYTES_PER_ELEMENT} ${values.length}`, values];
    }),
  );
}

/** Throws FileFormatError where they are not the job's. */
export async function loadWeights(operation: string, { folder, job }: LoadedJob): Promise<JobWeights> {
  const none: JobWeights = { weight: null, bias: null, mean: null, variance: null };
  if (job.weights === null) return none;
  const path = inFolder(folder, weightsFile(job.weights));
  const found = await readSafetensors(path);
  const weights = { ...none };
  for (const name of WEIGHTS) {
    const data = found[name]?.data;
    if (data instanceof Float32Array || data instanceof Float64Array) weights[name] = data as Parameter;
  }
  if (hashOfWeights(weights) !== job.weights)
    throw new FileFormatError(operation, path, "it has not the job's weights");
  return weights;
}
