// Begins a job: all that can be known is checked, and written down for those who do its parts.
import { mkdir, readdir, realpath, rm } from "node:fs/promises";
import { affineOf } from "../calls/forward.js";
import { checkLayer } from "../calls/options.js";
import { prepare } from "../calls/prepare.js";
import { checkAtLeast, checkBoolean, checkPositiveInteger, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, InvalidShapeError, reading, WriteFailedError } from "../errors.js";
import type { Layer, LayerCall } from "../layers/layer.js";
import { CELL_BYTES, type Dtype, resultDtype } from "../plan/cells.js";
import { PLAN_VERSION } from "../plan/plan.js";
import { STRIPE_BYTES } from "../plan/stripes.js";
import { checkStoredAs } from "../storage/converted.js";
import { type CreateOptions, type OpenOptions, openTensor, outputFormatOf } from "../storage/file-tensor.js";
import { findTarget } from "../storage/output-target.js";
import { writeSafetensors } from "../storage/safetensors-write.js";
import { hashOfSamples } from "../storage/samples.js";
import type { FileSpec } from "../storage/spec.js";
import { describeSystemError } from "../storage/system-error.js";
import { formatShape } from "../tensor/shape.js";
import { fileOf, storedDtypeOf, type Tensor } from "../tensor/tensor.js";
import { MAX_PARTS } from "./check-job.js";
import { inFolder, isOfJob, JOB_FILE, partOfFile, readRecord, weightsFile, writeRecord } from "./folder.js";
import { type InputOptions, JOB_VERSION, type Job, type JobInput, type JobOutput, type Work } from "./job.js";
import { hashOfWeights, loadJob } from "./load-job.js";
import { hasPartial, makePartial } from "./output-file.js";
import { hashOfPlans, type JobWeights, newId, plansOf } from "./planned.js";

/** A file's path, and what its header does not say. */
export type JobSource = string | ({ readonly path: string } & Omit<OpenOptions, "writable">);

/** Where the output goes: a path, and what its name does not say. */
export type JobTarget = string | ({ readonly path: string } & Omit<CreateOptions, "journal">);

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

/**
 * Plans the forward pass of a layer as a job of many parts. Processes that see the folder and the files do the parts (`runPart`), on any machine and in any order; the output
 * has the bits of `pool.forward`. The layer's running statistics are used in evaluation, and not updated in training.
 * @param output another file than the input: parts may be done twice.
 * @returns the job's id
 * @throws (as rejection) as the layer's forward call, InvalidArgumentError, ReadFailedError, WriteFailedError
 */
export async function planJob(
  layer: Layer,
  input: JobSource,
  output: JobTarget,
  options: PlanJobOptions,
): Promise<string> {
  checkLayer("planJob", layer);
  const operation = layer.name;
  const read = readPlanOptions(operation, options);
  const x = await open(operation, input);
  const computation = prepareFor(operation, layer, x.tensor, { ...read, momentsOnly: false });
  const dtype = resultDtype(x.tensor.dtype);
  const to = await targetOf(operation, output, read.force, dtype);
  if (computation.kind === "response") {
    const { kind, ...responseOptions } = computation;
    return begin(operation, { kind, layer: String(layer), options: responseOptions }, [x], to, read, NO_WEIGHTS);
  }
  const { geometry, eps, measure, running } = computation;
  const statistics = running === null ? "own" : "running";
  const affine = affineOf(computation);
  const { weight, bias } = affine === "none" ? NO_WEIGHTS : computation;
  const weights = { weight, bias, mean: running?.mean ?? null, variance: running?.variance ?? null };
  const plan = { dtype: x.tensor.dtype, eps, measure, affine, statistics, wanted: false } as const;
  const work: Work = { kind: "forward", layer: String(layer), geometry, options: plan };
  return begin(operation, work, [x], to, read, weights);
}

/**
 * Plans `pool.momentsOf` as a job. Its output is a safetensors file: `mean` and `m2`, float64, an entry a set, and `count`, the cells of a set.
 * @returns, @throws as `planJob`
 */
export async function planMomentsJob(
  layer: Layer,
  input: JobSource,
  output: string,
  options: PlanJobOptions,
): Promise<string> {
  checkLayer("planMomentsJob", layer);
  const operation = layer.name;
  const read = readPlanOptions(operation, options);
  const x = await open(operation, input);
  const computation = prepareFor(operation, layer, x.tensor, { ...read, momentsOnly: true });
  if (computation.kind === "response") {
    throw new InvalidArgumentError(
      operation,
      "layer",
      "one whose cells share a mean (any but LocalResponseNorm)",
      `${layer}`,
    );
  }
  const { geometry, measure } = computation;
  const to = await targetOf(operation, output, read.force, null);
  return begin(operation, { kind: "moments", layer: String(layer), geometry, measure }, [x], to, read, NO_WEIGHTS);
}

/**
 * Plans the fit of a StandardScaler over all inputs as a job. Its output is the safetensors file that `normpool apply` takes.
 * @returns, @throws as `planJob`
 */
export async function planFitJob(
  inputs: readonly JobSource[],
  output: string,
  options: PlanFitOptions,
): Promise<string> {
  const operation = "planFitJob";
  const { channelAxis = -1, ...read } = readPlanOptions(operation, options);
  if (!Array.isArray(inputs) || inputs.length === 0) {
    throw new InvalidArgumentError(operation, "inputs", "one file or more", describe(inputs));
  }
  const { withMean, withStd } = read;
  const opened: OpenedInput[] = [];
  for (const input of inputs) opened.push(await open(operation, input));
  const channels = opened.map(({ tensor: { shape } }) => {
    const found = shape.length < 2 ? undefined : shape.at(channelAxis);
    if (found !== undefined) return found;
    const message = `expected samples of channels at dimension ${channelAxis} but got shape ${formatShape(shape)}`;
    throw new InvalidShapeError(operation, message, shape);
  });
  const other = channels.findIndex((count) => count !== channels[0]);
  if (other > 0) {
    const { tensor, input } = opened[other] as OpenedInput;
    const message = `expected ${channels[0]} channels, as ${opened[0]?.input.path} has, but ${input.path} has ${channels[other]}`;
    throw new InvalidShapeError(operation, message, tensor.shape);
  }
  const to = await targetOf(operation, output, read.force, null);
  const work = { kind: "fit", channelAxis, withMean, withStd } as const;
  return begin(operation, work, opened, to, { ...read, channelAxis }, NO_WEIGHTS);
}

const NO_WEIGHTS: JobWeights = { weight: null, bias: null, mean: null, variance: null };

interface PlanOptions {
  readonly folder: string;
  readonly partBytes: number;
  readonly parts: number | undefined;
  readonly channelAxis: number | undefined;
  readonly force: boolean;
  readonly withMean: boolean;
  readonly withStd: boolean;
}

function readPlanOptions(operation: string, given: unknown): PlanOptions {
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

interface OpenedInput {
  readonly tensor: Tensor;
  readonly input: JobInput;
  readonly spec: FileSpec;
}

async function open(operation: string, source: JobSource): Promise<OpenedInput> {
  const { path, ...options } = reading(operation, "input", "a path", () =>
    typeof source === "string" ? { path: source } : { ...source },
  ) as { readonly path: string } & InputOptions;
  const tensor = await openTensor(operation, path, options);
  const spec = fileOf(tensor) as FileSpec;
  const { size, modified } = spec;
  if (tensor.size === 0) {
    throw new InvalidShapeError(
      operation,
      `expected some cells but got shape ${formatShape(tensor.shape)}`,
      tensor.shape,
    );
  }
  // What says nothing is left out: the same job is the same text.
  const { as, ...others } = options;
  const named = { ...others, as: spec.converted && as };
  const said = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)) as InputOptions;
  const samples = await hashOfSamples(operation, spec);
  const { dtype, shape } = tensor;
  const input = { path: spec.path, options: said, dtype, shape, size, modified: modified as string, samples };
  return { tensor, input, spec };
}

function prepareFor(
  operation: string,
  layer: Layer,
  { dtype, shape, size }: Tensor,
  { channelAxis, momentsOnly }: Pick<LayerCall, "channelAxis"> & { readonly momentsOnly: boolean },
) {
  return prepare(operation, layer, { dtype, shape, size } as Tensor, {
    dtype,
    channelAxis,
    partOfBatch: momentsOnly,
    ...(momentsOnly && { momentsOnly }),
  });
}

interface Target extends JobOutput {
  /** Device and inode of the file that has its name now. */
  readonly existing: string | undefined;
}

/** @param dtype of the cells; null of what is found. */
async function targetOf(operation: string, target: JobTarget, force: boolean, dtype: Dtype | null): Promise<Target> {
  const { path, ...options } = reading(operation, "output", "a path", () =>
    typeof target === "string" ? { path: target } : { ...target },
  ) as { readonly path: string } & Omit<CreateOptions, "journal">;
  if (typeof path !== "string" || path.includes("\0")) {
    throw new InvalidArgumentError(operation, "output", "a path", describe(path));
  }
  const found = await findTarget(path).catch((cause) => {
    throw new WriteFailedError(operation, path, describeSystemError(cause), { cause });
  });
  const place = { path: found.target, existing: found.existing && `${found.existing.dev}:${found.existing.ino}` };
  if (dtype === null) return { ...place, force, cells: null };
  const { storedAs = dtype, format = outputFormatOf(path), key, metadata } = options;
  checkStoredAs(operation, storedAs, dtype);
  const said = { ...(key !== undefined && { key }), ...(metadata !== undefined && { metadata }) };
  return { ...place, force, cells: { dtype, storedAs, format, ...said } };
}

async function begin(
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
    id: newId(),
    work,
    inputs: opened.map(({ input }) => input),
    output,
    parts: parts ?? Math.min(MAX_PARTS, Math.ceil(bytes / partBytes)),
    stripeBytes: STRIPE_BYTES,
  } as const;
  const plans = hashOfPlans(unplanned, plansOf(unplanned));
  const hasWeights = Object.values(weights).some((values) => values !== null);
  const job: Job = { ...unplanned, plans, weights: hasWeights ? hashOfWeights(weights) : null };
  const own = await makeFolder(operation, folder);
  const isThere = (await readRecord(operation, inFolder(own, JOB_FILE))) !== undefined;
  if (existing !== undefined && !output.force && !isThere) {
    throw new WriteFailedError(operation, output.path, "it exists (force replaces it, once the new one is complete)");
  }
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
    for (const name of await readdir(folder)) {
      if (partOfFile(name)?.phase === "apply") await rm(inFolder(folder, name), { force: true });
    }
  }
  await makePartial(operation, job);
  return job.id;
}
