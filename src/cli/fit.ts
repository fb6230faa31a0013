// `normpool fit`: the statistics of many files, for `normpool apply`.
import { NormPool, StandardScaler, type Tensor } from "../index.js";
import { parseAxis, parseSafetensors, parseThreads } from "./arguments.js";
import { refuseExisting } from "./outputs.js";
import { Bar, formatRows } from "./report.js";
import { writeScaler } from "./scaler-file.js";
import { addSourceOptions, lookAt, openSource, type Source, type SourceOptions } from "./source.js";
import { withInputs } from "./streams.js";
import type { AddCommand } from "./sub-command.js";
import { bytesOf, formatSpeed, naming } from "./tensor-file.js";
import { complain, print, printable } from "./terminal.js";

interface FitOptions extends SourceOptions {
  readonly output: string;
  readonly channelAxis: number;
  /** What --no-mean and --no-std take away. */
  readonly mean: boolean;
  readonly std: boolean;
  readonly threads?: number;
  readonly force: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
}

interface FitSummary {
  readonly inputs: readonly string[];
  readonly output: string;
  readonly channels: number;
  readonly channelAxis: number;
  /** The fewest and the most of a channel: those that are NaN do not count. */
  readonly samples: readonly [number, number];
  /** Channels that are divided by 1, since all their samples are alike. */
  readonly constant: number;
  readonly threads: number;
  readonly milliseconds: number;
  readonly gigabytesPerSecond: number;
}

export function addFitCommand(addCommand: AddCommand, signal: AbortSignal): void {
  addSourceOptions(addCommand("fit", ["normpool fit train/*.npy -o scaler.safetensors"]))
    .summary("the mean and deviation of each channel of many files, for apply")
    .description(
      "Find the mean and deviation of each channel over all files, in one pass: scikit-learn's StandardScaler. Files may be larger than memory.",
    )
    .argument(
      "<inputs...>",
      "files with the same number of channels (.npy, .npz, safetensors, raw cells), folders of the first three, patterns, or - for stdin",
    )
    .requiredOption("-o, --output <file>", "the safetensors file to write (required)", parseSafetensors)
    .option("--channel-axis <dimension>", "which dimension has the channels, from the end if negative", parseAxis, -1)
    .option("--no-mean", "apply will not subtract the mean")
    .option("--no-std", "apply will not divide by the deviation")
    .option("--threads <number>", "worker threads (default: all cores)", parseThreads)
    .option("--force", "replace a file of the output's name", false)
    .option("--json", "print the summary as JSON", false)
    .option("--quiet", "print nothing but errors", false)
    .action(async (inputs: string[], options: FitOptions) => {
      const summary = await fitFiles(inputs, options, signal);
      if (options.json) await print(printable(JSON.stringify(summary)));
      else if (!options.quiet) await print(formatFit(summary));
    });
}

async function fitFiles(names: readonly string[], options: FitOptions, signal: AbortSignal): Promise<FitSummary> {
  if (!options.force) await refuseExisting(options.output);
  return withInputs(names, signal, (inputs) => fitInputs(inputs, options, signal));
}

async function fitInputs(inputs: readonly Source[], options: FitOptions, signal: AbortSignal): Promise<FitSummary> {
  const { output, channelAxis, mean, std, threads, force, quiet } = options;
  await using pool = new NormPool(threads === undefined ? {} : { threads });
  const scaler = new StandardScaler({ withMean: mean, withStd: std, channelAxis });
  // All headers first: a file that does not fit is said before any is read.
  const tensors: Opened[] = [];
  for (const input of inputs) {
    tensors.push({ name: input.name, x: await openAlike(pool, input, options, channelAxis, tensors[0]) });
  }
  const bytes = tensors.reduce((sum, { x }) => sum + bytesOf(x), 0);
  const bar = new Bar(1, !quiet);
  const start = performance.now();
  try {
    const onShare = bar.step("fitting");
    let before = 0;
    for (const { name, x } of tensors) {
      const onProgress = ({ done, total }: { done: number; total: number }) =>
        onShare((before + (done / total) * bytesOf(x)) / bytes);
      await naming(name, () => scaler.partialFit(pool, x, { signal, onProgress }));
      before += bytesOf(x);
    }
  } finally {
    bar.stop();
  }
  const milliseconds = performance.now() - start;
  if (!force) await refuseExisting(output);
  await writeScaler(output, scaler);
  return {
    inputs: inputs.map(({ name }) => name),
    output,
    channelAxis,
    ...describeScaler(scaler),
    threads: pool.threads,
    milliseconds,
    gigabytesPerSecond: bytes / milliseconds / 1e6,
  };
}

interface Opened {
  readonly name: string;
  readonly x: Tensor;
}

async function openAlike(
  pool: NormPool,
  source: Source,
  options: FitOptions,
  axis: number,
  first: Opened | undefined,
): Promise<Tensor> {
  const { name } = source;
  const onWarning = (text: string) => options.quiet || complain("warning: ", text);
  await lookAt(source, options, onWarning);
  const x = await openSource(pool, source, options);
  const expected = first?.x.shape.at(axis);
  const found = x.shape.at(axis);
  if (first === undefined || found === expected) return x;
  throw new Error(
    `${name}: expected ${expected} channels at dimension ${axis}, as ${first.name} has, but got ${found ?? "none"} in shape [${x.shape.join(", ")}]`,
  );
}

function describeScaler(scaler: StandardScaler): Pick<FitSummary, "channels" | "samples" | "constant"> {
  const { mean_: means, var_: variances, scale_: scales } = scaler.stateDict();
  const channels = means?.data.length ?? 0;
  const seen = scaler.nSamplesSeen;
  const counts = typeof seen === "number" ? [seen] : [...seen];
  // A deviation of 1 is no constant.
  const isConstant = (scale: number | bigint, i: number) => scale === 1 && variances?.data[i] !== 1;
  const constant = Array.from<number | bigint>(scales?.data ?? []).filter(isConstant).length;
  return { channels, samples: [Math.min(...counts), Math.max(...counts)], constant };
}

function formatFit(summary: FitSummary): string {
  const { inputs, output, channels, channelAxis, samples, constant, threads } = summary;
  const [fewest, most] = samples;
  const rows: [string, string][] = [
    ["inputs", inputs.length === 1 ? (inputs[0] as string) : `${inputs.length} files`],
    ["channels", `${channels} at dimension ${channelAxis}${constant > 0 ? `, ${constant} of them constant` : ""}`],
    ["samples", fewest === most ? `${most} a channel` : `${fewest} to ${most} a channel, NaN left out`],
    ["threads", String(threads)],
    ["time", formatSpeed(summary.milliseconds, summary.gigabytesPerSecond)],
    ["output", output],
  ];
  return formatRows(rows);
}
