// The files that a job is planned for: inputs that are there, and an output that is to be.
import { readCreateOptions, readOpenOptions } from "../calls/files.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, InvalidShapeError, reading, WriteFailedError } from "../errors.js";
import type { Dtype } from "../plan/cells.js";
import { checkStoredAs } from "../storage/converted.js";
import { type CreateOptions, type OpenOptions, openTensor, outputFormatOf } from "../storage/file-tensor.js";
import { findTarget } from "../storage/output-target.js";
import { hashOfSamples } from "../storage/samples.js";
import type { FileSpec } from "../storage/spec.js";
import { describeSystemError } from "../storage/system-error.js";
import { formatShape } from "../tensor/shape.js";
import { fileOf, type Tensor } from "../tensor/tensor.js";
import type { InputOptions, JobInput, JobOutput } from "./job.js";

/** A file's path, and what its header does not say. */
export type JobSource = string | ({ readonly path: string } & Omit<OpenOptions, "writable">);

/** Where the output goes: a path, and what its name does not say. */
export type JobTarget = string | ({ readonly path: string } & Omit<CreateOptions, "journal">);

export interface OpenedInput {
  readonly tensor: Tensor;
  readonly input: JobInput;
  readonly spec: FileSpec;
}

export async function openSource(operation: string, source: JobSource): Promise<OpenedInput> {
  const { path, ...given } = reading(operation, "input", "a path", () =>
    typeof source === "string" ? { path: source } : { ...source },
  );
  const options = readOpenOptions(operation, given);
  if (options.writable === true) throw new InvalidArgumentError(operation, "writable", "an input to read", "true");
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
  const { as, writable: _, ...others } = options;
  const named = { ...others, as: spec.converted && as };
  const said = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)) as InputOptions;
  const samples = await hashOfSamples(operation, spec);
  const { dtype, shape } = tensor;
  const input = { path: spec.path, options: said, dtype, shape, size, modified: modified as string, samples };
  return { tensor, input, spec };
}

export interface Target extends JobOutput {
  /** Device and inode of the file that has its name now. */
  readonly existing: string | undefined;
}

/** @param dtype of the cells; null of what is found. */
export async function targetOf(
  operation: string,
  target: JobTarget,
  force: boolean,
  dtype: Dtype | null,
): Promise<Target> {
  const { path, ...given } = reading(operation, "output", "a path", () =>
    typeof target === "string" ? { path: target } : { ...target },
  );
  const options = readCreateOptions(operation, given);
  if (options.journal !== undefined) {
    throw new InvalidArgumentError(operation, "journal", "none: a job is one", options.journal);
  }
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
