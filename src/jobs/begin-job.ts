// Writes a job down for those who do its parts, and begins its output.
import { randomUUID } from "node:crypto";
import { mkdir, readdir, realpath } from "node:fs/promises";
import { InvalidArgumentError, WriteFailedError } from "../errors.js";
import { CELL_BYTES } from "../plan/cells.js";
import { PLAN_VERSION } from "../plan/plan.js";
import { STRIPE_BYTES } from "../plan/stripes.js";
import { writeSafetensors } from "../storage/safetensors-write.js";
import { describeSystemError } from "../storage/system-error.js";
import { storedDtypeOf } from "../tensor/tensor.js";
import { MAX_PARTS } from "./check-job.js";
import {
  inFolder,
  isOfJob,
  JOB_FILE,
  namesIn,
  partOfFile,
  readRecord,
  removeFrom,
  weightsFile,
  writeRecord,
} from "./folder.js";
import { JOB_VERSION, type Job, type Work } from "./job.js";
import { hashOfWeights, loadJob } from "./load-job.js";
import { checkRoomFor, hasPartial, makePartial } from "./output-file.js";
import type { OpenedInput, Target } from "./plan-files.js";
import type { PlanOptions } from "./plan-options.js";
import { hashOfPlans, type JobWeights, plansOf } from "./planned.js";

/** @returns the job's id: of one that is there, if it is the same. */
export async function beginJob(
  operation: string,
  work: Work,
  opened: readonly OpenedInput[],
  { existing, ...output }: Target,
  { folder, partBytes, parts }: PlanOptions,
  weights: JobWeights,
): Promise<string> {
  for (const { input, spec } of opened) {
    if (input.path !== output.path && spec.id !== existing) continue;
    throw new InvalidArgumentError(
      operation,
      "output",
      "another file than the input: parts may be done twice",
      output.path,
    );
  }
  const bytes = opened.reduce((sum, { tensor }) => sum + tensor.size * CELL_BYTES[storedDtypeOf(tensor)], 0);
  const unplanned = {
    format: "normpool job",
    version: JOB_VERSION,
    planVersion: PLAN_VERSION,
    id: randomUUID(),
    work,
    inputs: opened.map(({ input }) => input),
    output,
    parts: parts ?? Math.min(MAX_PARTS, Math.ceil(bytes / partBytes)),
    stripeBytes: STRIPE_BYTES,
  } as const;
  const plans = hashOfPlans(unplanned, plansOf(unplanned));
  const hasWeights = Object.values(weights).some((values) => values !== null);
  const job: Job = { ...unplanned, plans, weights: hasWeights ? hashOfWeights(weights) : null };
  // Before anything is written, unless it is the job that is there.
  if ((await readRecord(operation, inFolder(folder, JOB_FILE))) === undefined) {
    if (existing !== undefined && !output.force) {
      throw new WriteFailedError(operation, output.path, "it exists (force replaces it, once the new one is complete)");
    }
    if (output.cells !== null) await checkRoomFor(operation, job);
  }
  const own = await makeFolder(operation, folder);
  if (job.weights !== null) await writeWeights(inFolder(own, weightsFile(job.weights)), weights);
  await writeRecord(operation, inFolder(own, JOB_FILE), job, true);
  return goOn(operation, own, job);
}

async function makeFolder(operation: string, path: string): Promise<string> {
  try {
    await mkdir(path, { recursive: true });
    const folder = await realpath(path);
    const other = (await readdir(folder)).find((name) => !isOfJob(name));
    if (other === undefined) return folder;
    throw new InvalidArgumentError(operation, "folder", "a folder of its own", `one with ${JSON.stringify(other)}`);
  } catch (cause) {
    if (cause instanceof InvalidArgumentError) throw cause;
    throw new WriteFailedError(operation, path, describeSystemError(cause), { cause });
  }
}

async function writeWeights(path: string, weights: JobWeights): Promise<void> {
  const dict = Object.entries(weights).flatMap(([name, data]) =>
    data === null ? [] : [[name, { shape: [data.length], data }]],
  );
  await writeSafetensors(path, Object.fromEntries(dict));
}

/** The job of the folder, this one or the same that was there before, gets its output. */
async function goOn(operation: string, folder: string, planned: Job): Promise<string> {
  const { job, finished } = await loadJob(operation, folder, {});
  for (const [what, value] of Object.entries(planned)) {
    if (what === "id" || JSON.stringify(value) === JSON.stringify(job[what as keyof Job])) continue;
    throw new InvalidArgumentError(
      operation,
      "folder",
      "one without a job, or with the same",
      `one of a job with another ${what}`,
    );
  }
  if (job.output.cells === null || finished) return job.id;
  if (!(await hasPartial(job))) {
    // Of an output that is gone no part is done.
    for (const name of await namesIn(operation, folder)) {
      if (partOfFile(name)?.phase === "apply") await removeFrom(operation, folder, name);
    }
  }
  await makePartial(operation, job);
  return job.id;
}
