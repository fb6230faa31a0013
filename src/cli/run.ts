// A layer, or a scaler, over files: each input through it to its output, in bounded memory. An output exists only if all went well.
import { open } from "node:fs/promises";
import { join } from "node:path";
import {
  type CreateOptions,
  NormPool,
  type OutputTensor,
  type Progress,
  type SetMoments,
  type Tensor,
} from "../index.js";
import { STREAM } from "./inputs.js";
import { formatOfName, type Job, type OutputOptions, planJobs, UsageError } from "./outputs.js";
import { Bar, type Summary, spreadOf } from "./report.js";
import { openOptionsOf, type SourceOptions } from "./source.js";
import { checkStdout, keepStdin, sendToStdout, withTemporary } from "./streams.js";
import { bytesOf, naming } from "./tensor-file.js";
import { leftOverIn, NotFinite } from "./warnings.js";

export interface RunOptions extends OutputOptions, SourceOptions {
  readonly resume: boolean;
  readonly stats: boolean;
  readonly threads?: number;
  readonly quiet: boolean;
}

/** What is done with each file. */
export interface Work {
  /** What a shape lets suspect. */
  suspect(x: Tensor): string | undefined;
  /** Whether each file counts in what is left at the end, so that none may be left out. */
  readonly gathers: boolean;
  /** What is to be done with `x`. Throws where it does not fit: before its output is begun. */
  prepare(x: Tensor): WorkOnFile;
  /** When all files are done. */
  finish(): Promise<void>;
}

export interface WorkOnFile {
  /** As the summary has it. */
  readonly by: Pick<Summary, "layer" | "scaler" | "inverse">;
  run(pool: NormPool, options: WorkOptions): Promise<unknown>;
}

export interface WorkOptions {
  readonly out: Tensor<"float32">;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  readonly onSets?: (moments: SetMoments) => void;
}

/** Who is told, file by file. */
export interface Told {
  readonly onSummary: (summary: Summary) => Promise<void>;
  /** What is no error but may not be what the user expects. */
  readonly onWarning: (message: string) => void;
}

/** @param read what is done with each file, once the arguments are known to fit. */
export async function runOverFiles(
  read: () => Promise<Work>,
  names: readonly string[],
  options: RunOptions,
  told: Told,
  signal: AbortSignal,
): Promise<void> {
  const { threads, quiet, resume } = options;
  const { jobs, done } = await planJobs(names, options);
  if (options.output === STREAM) checkStdout();
  const work = await read();
  if (resume && work.gathers && jobs.length + done.length > 1) {
    throw new UsageError(
      "expected one input for --resume where statistics are kept: of files that are done there are none",
    );
  }
  for (const output of done) told.onWarning(`${output}: it exists, and is left as it is`);
  await using pool = new NormPool(threads === undefined ? {} : { threads });
  const bar = new Bar(jobs.length, !quiet);
  try {
    for (const [i, job] of jobs.entries()) {
      const onPace = (bytes: number) => bar.step(jobs.length === 1 ? "" : `${i + 1}/${jobs.length}`, bytes);
      await runJob({ pool, work, options, told, signal, onPace }, job);
    }
  } finally {
    bar.stop();
  }
  await work.finish();
}

interface Run {
  readonly pool: NormPool;
  readonly work: Work;
  readonly options: RunOptions;
  readonly told: Told;
  readonly signal: AbortSignal;
  /** Of so many bytes. */
  readonly onPace: (bytes: number) => (share: number) => void;
}

async function runJob(run: Run, job: Job): Promise<void> {
  const { input, output } = job;
  if (output === null) return normalize(run, job, input, null);
  if (input !== STREAM && output !== STREAM) return normalize(run, job, input, output);
  return withTemporary(output, async (folder) => {
    const from = input === STREAM ? await keepStdin(folder, run.signal) : input;
    const to = output === STREAM ? join(folder, "stdout.npy") : output;
    try {
      await normalize(run, job, from, to);
    } catch (error) {
      // Nobody knows that file.
      if (error instanceof Error) error.message = error.message.replaceAll(join(folder, "stdin"), "stdin");
      throw error;
    }
    if (output === STREAM) await sendToStdout(to, run.signal);
  });
}

/** Notes cost some milliseconds a file. */
const JOURNALED_CELLS = 1 << 20;

/** @param to null for in place. */
async function normalize(run: Run, { input, output }: Job, from: string, to: string | null): Promise<void> {
  const { pool, work, options, told, signal } = run;
  const warn = (message: string | undefined) => message && told.onWarning(`${input}: ${message}`);
  const start = performance.now();
  using x = await naming(input, () => pool.open(from, { ...openOptionsOf(options), writable: to === null }));
  warn(await leftOverIn(from, options));
  warn(work.suspect(x));
  const onFile = await naming(input, () => work.prepare(x));
  // What is a copy of a stream is gone when the process is; what is small is done again sooner than a journal is kept.
  const journaled = input !== STREAM && output !== STREAM && x.size >= JOURNALED_CELLS;
  await using y = to === null ? null : await createOutput(pool, to, x, options, journaled);
  const before = options.stats ? { before: spreadOf(await pool.moments(x, { signal })) } : {};
  const bytes = bytesOf(x) + bytesOf(y ?? x);
  const onPace = run.onPace(bytes);
  const finite = new NotFinite();
  try {
    await naming(input, () =>
      onFile.run(pool, {
        out: y ?? (x as Tensor<"float32">),
        signal,
        onProgress: ({ done, total }) => onPace(done / total),
        ...(x.dtype !== "uint8" && { onSets: finite.add }),
      }),
    );
  } catch (error) {
    if (to === null && signal.aborted)
      warn("it was being written in place: some of its cells are normalised, and others not");
    throw error;
  }
  warn(finite.describe());
  signal.throwIfAborted();
  if (y === null) await sync(from);
  else await y.commit();
  const milliseconds = performance.now() - start;
  await told.onSummary({
    input,
    output: output ?? input,
    shape: x.shape,
    dtype: x.dtype,
    ...onFile.by,
    threads: pool.threads,
    milliseconds,
    gigabytesPerSecond: bytes / milliseconds / 1e6,
    ...before,
    ...(options.stats && { after: spreadOf(await pool.moments(y ?? x, { signal })) }),
  });
}

async function createOutput(
  pool: NormPool,
  path: string,
  x: Tensor,
  { key, resume }: RunOptions,
  journaled: boolean,
): Promise<OutputTensor<"float32">> {
  const format = formatOfName(path);
  const options: CreateOptions = {
    format,
    ...(format === "safetensors" && { key }),
    ...(journaled && { journal: resume ? "resume" : "begin" }),
  };
  const dtype = x.dtype === "uint8" ? "float32" : x.dtype;
  // To TypeScript the dtypes of files are known as little as their shapes.
  return (await pool.create(path, dtype, x.shape, options)) as OutputTensor<"float32">;
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
