// A job's file as any input: what is not just as a job of this version has it is refused before anything is opened.
import { isAbsolute } from "node:path";
import { FileFormatError } from "../errors.js";
import { cellCount, type Geometry } from "../plan/geometry.js";
import { PLAN_VERSION } from "../plan/plan.js";
import { FORMATS, OUTPUT_FORMATS } from "../storage/format.js";
import { CELL_BYTES } from "../tensor/dtype.js";
import { cellsOf, MAX_RANK } from "../tensor/shape.js";
import { JOB_VERSION, type Job } from "./job.js";

type Check = (value: unknown) => boolean;

/** More would be more files than a folder should have. */
export const MAX_PARTS = 1_000_000;
const MAX_INPUTS = 100_000;
const LEAST_STRIPE = 4096;
const LARGEST_STRIPE = 1 << 30;

const isText: Check = (value) => typeof value === "string";
const isFlag: Check = (value) => typeof value === "boolean";
const isSize: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isCount: Check = (value) => isSize(value) && value !== 0;
const isNumber: Check = (value) => typeof value === "number" && Number.isFinite(value);
const isPath: Check = (value) => typeof value === "string" && isAbsolute(value) && !value.includes("\0");
const isHash: Check = (value) => typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);
const isDtype = oneOf(...Object.keys(CELL_BYTES));
const isShape: Check = (value) => Array.isArray(value) && value.length <= MAX_RANK && value.every(isSize);

function oneOf(...values: readonly unknown[]): Check {
  return (value) => values.includes(value);
}

function within(least: number, most: number): Check {
  return (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}

function orNull(check: Check): Check {
  return (value) => value === null || check(value);
}

/** An object of these keys; those in `optional` may be missing. */
function has(keys: Readonly<Record<string, Check>>, optional: Readonly<Record<string, Check>> = {}): Check {
  const all = { ...keys, ...optional };
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
    return (
      Object.keys(keys).every((key) => Object.hasOwn(value, key)) &&
      Object.entries(value).every(([key, own]) => Object.hasOwn(all, key) && all[key]?.(own) === true)
    );
  };
}

const isGeometry = has({ n: isCount, r: isCount, g: isCount, k: isCount, s: isCount });
const isMeasure = oneOf("deviation", "rootMeanSquare", "length");

const WORKS: Readonly<Record<string, Check>> = {
  forward: has({
    kind: isText,
    layer: isText,
    geometry: isGeometry,
    options: has({
      dtype: isDtype,
      eps: isNumber,
      measure: isMeasure,
      affine: oneOf("none", "channel", "row"),
      statistics: oneOf("own", "running"),
      wanted: oneOf(false),
    }),
  }),
  response: has({
    kind: isText,
    layer: isText,
    options: has({
      samples: isCount,
      channels: isCount,
      space: isCount,
      size: isCount,
      alpha: isNumber,
      beta: isNumber,
      k: isNumber,
    }),
  }),
  moments: has({ kind: isText, layer: isText, geometry: isGeometry, measure: isMeasure }),
  fit: has({ kind: isText, channelAxis: within(-MAX_RANK, MAX_RANK), withMean: isFlag, withStd: isFlag }),
};

const isInput = has({
  path: isPath,
  options: has(
    {},
    {
      format: oneOf(...FORMATS),
      key: isText,
      member: isText,
      dtype: isDtype,
      shape: isShape,
      offset: isSize,
      as: isDtype,
    },
  ),
  dtype: isDtype,
  shape: isShape,
  size: isSize,
  modified: (value) => typeof value === "string" && /^-?\d{1,25}$/.test(value),
  samples: isHash,
});

const isOutput = has({
  path: isPath,
  force: isFlag,
  cells: orNull(
    has(
      { dtype: isDtype, storedAs: isDtype, format: oneOf(...OUTPUT_FORMATS) },
      {
        key: isText,
        metadata: (value) => typeof value === "object" && value !== null && Object.values(value).every(isText),
      },
    ),
  ),
});

const FIELDS: Readonly<Record<keyof Job, Check>> = {
  format: oneOf("normpool job"),
  version: oneOf(JOB_VERSION),
  planVersion: isCount,
  id: (value) => typeof value === "string" && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value),
  work: (value) => {
    const kind: unknown = typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined;
    return typeof kind === "string" && Object.hasOwn(WORKS, kind) && WORKS[kind]?.(value) === true;
  },
  inputs: (value) => Array.isArray(value) && within(1, MAX_INPUTS)(value.length) && value.every(isInput),
  output: isOutput,
  parts: within(1, MAX_PARTS),
  stripeBytes: within(LEAST_STRIPE, LARGEST_STRIPE),
  plans: isHash,
  weights: orNull(isHash),
};

/** @param path for messages. Throws FileFormatError. */
export function checkJob(operation: string, path: string, record: object): Job {
  const refuse = (why: string) => new FileFormatError(operation, path, why);
  const found = record as Readonly<Partial<Record<keyof Job, unknown>>>;
  if (found.format !== "normpool job") throw refuse("it is no job");
  if (found.version !== JOB_VERSION) {
    throw refuse(`expected a job of version ${JOB_VERSION} but got ${JSON.stringify(found.version)}`);
  }
  if (found.planVersion !== PLAN_VERSION) {
    const versions = `${PLAN_VERSION}, this normpool's, but got ${JSON.stringify(found.planVersion)}`;
    throw refuse(`expected a plan of version ${versions}: parts of two would not fit together`);
  }
  for (const field of Object.keys(FIELDS) as (keyof Job)[]) {
    if (!FIELDS[field](found[field])) throw refuse(`expected a job's ${field} but got ${quoted(found[field])}`);
  }
  for (const field of Object.keys(found)) {
    if (!Object.hasOwn(FIELDS, field)) throw refuse(`expected no ${JSON.stringify(field)} in a job`);
  }
  const job = record as Job;
  const problem = contradictionIn(job);
  if (problem !== undefined) throw refuse(problem);
  return job;
}

const QUOTED = 200;

function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > QUOTED ? `${text.slice(0, QUOTED)}...` : text;
}

/** What one field says and another does not. */
function contradictionIn({ work, inputs, output }: Job): string | undefined {
  const [input] = inputs as [Job["inputs"][0]];
  const isOfCells = work.kind === "forward" || work.kind === "response";
  if (work.kind !== "fit" && inputs.length > 1) return `expected one input but got ${inputs.length}`;
  if (isOfCells === (output.cells === null)) return "expected an output of what the work makes";
  if (inputs.some(({ shape }) => !isCount(cellsOf(shape)))) return "expected inputs of some cells";
  if (work.kind === "fit") return undefined;
  const cells = work.kind === "response" ? responseCells(work.options) : cellCount(work.geometry as Geometry);
  if (cells !== cellsOf(input.shape)) return "expected work on as many cells as the input has";
  if (work.kind === "forward" && work.options.dtype !== input.dtype) return "expected work in the input's dtype";
  if (work.kind === "forward" && work.options.eps < 0) return "expected an eps of 0 or more";
  return undefined;
}

function responseCells({ samples, channels, space }: { samples: number; channels: number; space: number }): number {
  return samples * channels * space;
}
