// A layer, or a scaler, over files: each input through it to its output, in bounded memory. An output exists only if all went well.
import { open } from "node:fs/promises";
import { join } from "node:path";
import {
  type CreateOptions,
  type Dtype,
  NormPool,
  type OutputTensor,
  type Progress,
  type SetMoments,
  type Shape,
  type Tensor,
} from "../index.js";
import { CELL_BYTES } from "../plan/cells.js";
import { checkInPlace, type DtypePath, dtypePath } from "./dtypes.js";
import { STREAM } from "./inputs.js";
import { formatOfName, type Job, type OutputOptions, planJobs } from "./outputs.js";
import { Bar, type Summary, spreadOf } from "./report.js";
import { lookAt, openSource, type SourceOptions } from "./source.js";
import { checkStdout, keepStdin, sendToStdout, withTemporary } from "./streams.js";
import { naming } from "./tensor-file.js";
import { UsageError } from "./usage-error.js";
import { NotFinite } from "./warnings.js";

export interface RunOptions extends OutputOptions, SourceOptions {
  /** Of the output. */
  readonly dtypeOut?: Dtype;
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

interface WorkOptions {
  readonly out: Tensor<"float32">;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  readonly onSets?: (moments: SetMoments) => void;
}

/** Who is told, file by file. */
export interface Told {
  readonly onSummary: (summary: Summary) => void;
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
  // Before any of them is written to.
  if (options.inPlace && options.dtypeOut !== undefined) {
    for (const { input } of jobs) {
      checkInPlace(input, await lookAt({ name: input, path: input }, options), options.dtypeOut);
    }
  }
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
  const source = { name: input, path: from };
  const dtypes = dtypePath(await lookAt(source, options, told.onWarning), options.dtypeOut);
  using x = await openSource(pool, source, options, to === null ? { writable: true } : { as: dtypes.computed });
  warn(work.suspect(x));
  const onFile = await naming(input, () => work.prepare(x));
  const before = options.stats ? { before: spreadOf(await pool.moments(x, { signal })) } : {};
  const start = performance.now();
  // What is a copy of a stream is gone when the process is; what is small is done again sooner than a journal is kept.
  const journaled = input !== STREAM && output !== STREAM && x.size >= JOURNALED_CELLS;
  const journal = journaled ? ({ journal: options.resume ? "resume" : "begin" } as const) : {};
  await using y = to === null ? null : await createOutput(pool, to, x.shape, dtypes, { key: options.key, ...journal });
  const bytes = x.size * (CELL_BYTES[dtypes.input] + CELL_BYTES[dtypes.output]);
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
  told.onSummary({
    input,
    output: output ?? input,
    shape: x.shape,
    dtype: dtypes.input,
    ...(dtypes.output !== dtypes.input && { outputDtype: dtypes.output }),
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
  shape: Shape,
  { results, output }: DtypePath,
  { key, journal }: Pick<CreateOptions, "key" | "journal">,
): Promise<OutputTensor<"float32">> {
  const format = formatOfName(path);
  const options: CreateOptions = { format, ...(format === "safetensors" && { key }), journal };
  // To TypeScript the dtypes of files are known as little as their shapes.
  return (await pool.create(path, results, shape, { ...options, storedAs: output })) as OutputTensor<"float32">;
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
