// A layer over files: each input through it to its output, in bounded memory. An output exists only if all went well.
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type CreateOptions, type Dtype, NormPool, type OutputTensor, type Shape, type Tensor } from "../index.js";
import { checkInPlace, type DtypePath, dtypePath } from "./dtypes.js";
import { STREAM } from "./inputs.js";
import { type LayerOptions, Layers } from "./layer-of-file.js";
import type { LayerCommand } from "./layers.js";
import { formatOfName, type Job, type OutputOptions, planJobs } from "./outputs.js";
import { Bar, type Summary, spreadOf } from "./report.js";
import { openOptionsOf, type SourceOptions } from "./source.js";
import { checkSaveState } from "./state.js";
import { checkStdout, keepStdin, sendToStdout, withTemporary } from "./streams.js";
import { leftOverIn, NotFinite } from "./warnings.js";

export interface RunOptions extends OutputOptions, SourceOptions, LayerOptions {
  /** Of the output. */
  readonly dtypeOut?: Dtype;
  readonly stats: boolean;
  readonly threads?: number;
  readonly quiet: boolean;
}

/** Who is told, file by file. */
export interface Told {
  readonly onSummary: (summary: Summary) => Promise<void>;
  /** What is no error but may not be what the user expects. */
  readonly onWarning: (message: string) => void;
}

export async function runLayer(
  command: LayerCommand,
  names: readonly string[],
  options: RunOptions,
  told: Told,
  signal: AbortSignal,
): Promise<void> {
  const jobs = await planJobs(names, options);
  if (options.output === STREAM) checkStdout();
  await checkSaveState(options);
  const layers = await Layers.read(command, options);
  await using pool = new NormPool(options.threads === undefined ? {} : { threads: options.threads });
  // Before any of them is written to.
  if (options.inPlace && options.dtypeOut !== undefined) {
    for (const { input } of jobs) checkInPlace(input, await dtypeOf(pool, input, options), options.dtypeOut);
  }
  const bar = new Bar(jobs.length, !options.quiet);
  try {
    for (const [i, job] of jobs.entries()) {
      const onPace = (bytes: number) => bar.step(jobs.length === 1 ? "" : `${i + 1}/${jobs.length}`, bytes);
      await runJob({ pool, layers, options, told, signal, onPace }, job);
    }
  } finally {
    bar.stop();
  }
  await layers.save();
}

interface Run {
  readonly pool: NormPool;
  readonly layers: Layers;
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

/** @param to null for in place. */
async function normalize(run: Run, { input, output }: Job, from: string, to: string | null): Promise<void> {
  const { pool, layers, options, told, signal } = run;
  const warn = (message: string | undefined) => message && told.onWarning(`${input}: ${message}`);
  const start = performance.now();
  const dtypes = dtypePath(await dtypeOf(pool, from, options), options.dtypeOut);
  const how = to === null ? { writable: true } : { as: dtypes.computed };
  using x: Tensor = await pool.open(from, { ...openOptionsOf(options), ...how });
  warn(await leftOverIn(from, options));
  warn(layers.suspect(x));
  const layer = layers.for(x);
  const { channelAxis } = options;
  // A shape that does not fit is said before the output is begun.
  layer.prepare(x.shape, { dtype: x.dtype, channelAxis, partOfBatch: false });
  await using y = to === null ? null : await createOutput(pool, to, x.shape, dtypes, options);
  const before = options.stats ? { before: spreadOf(await pool.moments(x, { signal })) } : {};
  const bytes = x.size * (CELL_BYTES[dtypes.input] + CELL_BYTES[dtypes.output]);
  const onPace = run.onPace(bytes);
  const finite = new NotFinite();
  try {
    await pool.forward(layer, x, {
      out: y ?? (x as Tensor<"float32">),
      channelAxis,
      signal,
      onProgress: ({ done, total }) => onPace(done / total),
      ...(x.dtype !== "uint8" && { onSets: finite.add }),
    });
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
    dtype: dtypes.input,
    ...(dtypes.output !== dtypes.input && { outputDtype: dtypes.output }),
    layer: String(layer),
    threads: pool.threads,
    milliseconds,
    gigabytesPerSecond: bytes / milliseconds / 1e6,
    ...before,
    ...(options.stats && { after: spreadOf(await pool.moments(y ?? x, { signal })) }),
  });
}

const CELL_BYTES = { float32: 4, float64: 8, float16: 2, bfloat16: 2, uint8: 1 } as const;

async function dtypeOf(pool: NormPool, path: string, options: RunOptions): Promise<Dtype> {
  using x = await pool.open(path, openOptionsOf(options));
  return x.dtype;
}

async function createOutput(
  pool: NormPool,
  path: string,
  shape: Shape,
  { results, output }: DtypePath,
  { key }: RunOptions,
): Promise<OutputTensor<"float32">> {
  const format = formatOfName(path);
  const options: CreateOptions = format === "safetensors" ? { format, key } : { format };
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
