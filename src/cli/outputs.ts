// Which file each input goes to, and what may be replaced: all of it known before any work.
import { mkdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { OutputFormat } from "../index.js";
import { outputFormatOf } from "../storage/file-tensor.js";
import { isCommitted } from "../storage/notes.js";
import { writeOutput } from "../storage/output.js";
import { expandInputs, STREAM } from "./inputs.js";
import { UsageError } from "./usage-error.js";

export interface OutputOptions {
  readonly output?: string;
  readonly outDir?: string;
  readonly inPlace?: boolean;
  readonly force?: boolean;
  readonly resume?: boolean;
}

export interface Job {
  readonly input: string;
  /** Null where the input is written in place. */
  readonly output: string | null;
}

/** @returns what is to do, and the outputs that an interrupted run of many inputs had done. Throws UsageError, and Error where a file is in the way. */
export async function planJobs(
  names: readonly string[],
  options: OutputOptions,
): Promise<{ jobs: Job[]; done: string[] }> {
  const { output, outDir, inPlace = false, force = false, resume = false } = options;
  if ([output !== undefined, outDir !== undefined, inPlace].filter(Boolean).length !== 1) {
    throw new UsageError("expected one of --output, --out-dir and --in-place");
  }
  const inputs = await expandInputs(names);
  if (output !== undefined && inputs.length > 1) {
    throw new UsageError(`expected one input for --output but got ${inputs.length}: --out-dir takes many`);
  }
  if (inputs.filter((input) => input === STREAM).length > 1) throw new UsageError("expected - (stdin) once");
  if (resume && inPlace) throw new UsageError("expected --resume without --in-place: nobody knows what is normalised");
  if (resume && (inputs.includes(STREAM) || output === STREAM)) {
    throw new UsageError("expected files for --resume but got - (a stream)");
  }
  if (inPlace) {
    if (inputs.includes(STREAM)) throw new UsageError("expected files for --in-place but got - (stdin)");
    return { jobs: inputs.map((input) => ({ input, output: null })), done: [] };
  }
  if (outDir === undefined) {
    const to = output as string;
    const done = resume && !force ? await doneOf([to]) : [];
    if (to !== STREAM && !force && done.length === 0) await refuseExisting(to);
    return { jobs: done.length > 0 ? [] : inputs.map((input) => ({ input, output: to })), done };
  }
  if (inputs.includes(STREAM)) throw new UsageError("expected --output for - (stdin)");
  const jobs = inputs.map((input) => ({ input, output: join(outDir, outputNameOf(input)) }));
  const taken = new Map<string, string>();
  for (const { input, output: own } of jobs) {
    const other = taken.get(own);
    if (other !== undefined)
      throw new UsageError(`expected inputs of different names but ${other} and ${input} are both to be ${own}`);
    taken.set(own, input);
  }
  const done = resume && !force ? await doneOf(jobs.map(({ output: own }) => own)) : [];
  for (const { output: own } of jobs) if (!force && !done.includes(own)) await refuseExisting(own);
  await mkdir(outDir, { recursive: true });
  return { jobs: jobs.filter(({ output: own }) => !done.includes(own)), done };
}

/** The format that a name asks for; .npy where it says nothing. */
export function formatOfName(path: string): OutputFormat {
  const format = outputFormatOf(path);
  return format !== "raw" || /\.(bin|raw|dat|f16|bf16|f32|f64)$/.test(path) ? format : "npy";
}

function outputNameOf(input: string): string {
  const name = basename(input).replace(/\.npz$/, ".npy");
  // A name that says nothing of the format would say it wrong.
  return formatOfName(name) === "npy" && !name.endsWith(".npy") ? `${name}.npy` : name;
}

/** The outputs that are there, and that nobody has begun again. */
async function doneOf(paths: readonly string[]): Promise<string[]> {
  const done: string[] = [];
  for (const path of paths) if ((await isFile(path)) && (await isCommitted(path))) done.push(path);
  return done;
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

/** Throws where a file is in the way. Of what is no regular file who writes there says what is wrong. */
export async function refuseExisting(path: string): Promise<void> {
  if (await isFile(path)) throw new Error(`${path}: it exists (--force replaces it, once the new one is complete)`);
}

/** A file that is there when all of it is. */
export async function writeText(path: string, text: string): Promise<void> {
  const bytes = Buffer.from(text);
  await writeOutput("write", path, bytes.length, (output) => output.write(bytes));
}
