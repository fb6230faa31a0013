// `normpool apply`: what `normpool fit` found, to a file.
import type { Command } from "commander";
import { NormPool, type Shape } from "../index.js";
import { parseOutput, parseThreads } from "./arguments.js";
import { Bar, formatRows } from "./report.js";
import { readScaler } from "./scaler-file.js";
import { bytesOf, checkFree, formatSpeed, naming, parseAxis } from "./tensor-file.js";
import { print, printable } from "./terminal.js";

interface ApplyOptions {
  readonly output: string;
  readonly inverse: boolean;
  readonly channelAxis?: number;
  readonly key?: string;
  readonly threads?: number;
  readonly force: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
}

interface ApplySummary {
  readonly scaler: string;
  readonly input: string;
  readonly output: string;
  readonly shape: Shape;
  /** The output's. */
  readonly dtype: string;
  readonly inverse: boolean;
  readonly threads: number;
  /** From file to file, until all is on the disk. */
  readonly milliseconds: number;
  /** Bytes read and written, by the time. */
  readonly gigabytesPerSecond: number;
}

export function addApply(command: Command, signal: AbortSignal): void {
  command
    .summary("standardise a file by what fit found")
    .description(
      "Standardise each channel of a file by the mean and deviation that normpool fit found, or undo it. Files may be larger than memory.",
    )
    .argument("<scaler>", "the safetensors file that normpool fit wrote, or one of scikit-learn's attributes")
    .argument("<input>", "an .npy or safetensors file")
    .requiredOption(
      "-o, --output <file>",
      "the file to write (required): .safetensors, else .npy; appears only when it is complete",
      parseOutput,
    )
    .option("--inverse", "from standardised back to what it was", false)
    .option("--channel-axis <dimension>", "which dimension has the channels (default: as in fit)", parseAxis)
    .option("--key <name>", "the tensor's name in a safetensors file of several")
    .option("--threads <number>", "worker threads (default: all cores)", parseThreads)
    .option("--force", "replace a file of the output's name, also the input", false)
    .option("--json", "print the summary as JSON", false)
    .option("--quiet", "print nothing but errors", false)
    .action(async (scaler: string, input: string, options: ApplyOptions) => {
      const summary = await applyTo(scaler, input, options, signal);
      if (options.json) await print(printable(JSON.stringify(summary)));
      else if (!options.quiet) await print(formatApply(summary));
    });
}

async function applyTo(path: string, input: string, options: ApplyOptions, signal: AbortSignal): Promise<ApplySummary> {
  const { output, inverse, channelAxis, key, threads, force, quiet } = options;
  await checkFree(output, force);
  const scaler = await readScaler(path);
  await using pool = new NormPool(threads === undefined ? {} : { threads });
  const x = await naming(input, () => pool.open(input, { key }));
  const dtype = x.dtype === "uint8" ? "float32" : x.dtype;
  const start = performance.now();
  const format = output.endsWith(".safetensors") ? "safetensors" : "npy";
  const y = await pool.create(output, dtype, x.shape, { format, key: format === "npy" ? undefined : key });
  const bar = new Bar(1, !quiet);
  try {
    const onShare = bar.step("applying");
    const onProgress = ({ done, total }: { done: number; total: number }) => onShare(done / total);
    const call = { out: y, channelAxis, signal, onProgress };
    await naming(input, () => (inverse ? scaler.inverseTransform(pool, x, call) : scaler.transform(pool, x, call)));
    await checkFree(output, force);
    await y.commit();
  } finally {
    bar.stop();
    y.dispose();
  }
  const milliseconds = performance.now() - start;
  const gigabytesPerSecond = (bytesOf(x) + bytesOf(y)) / milliseconds / 1e6;
  const { shape } = x;
  return {
    scaler: path,
    input,
    output,
    shape,
    dtype,
    inverse,
    threads: pool.threads,
    milliseconds,
    gigabytesPerSecond,
  };
}

function formatApply(summary: ApplySummary): string {
  const { scaler, output, shape, dtype, inverse, threads } = summary;
  return formatRows([
    ["shape", `[${shape.join(", ")}] ${dtype}`],
    ["scaler", `${scaler}${inverse ? ", inverse" : ""}`],
    ["threads", String(threads)],
    ["time", formatSpeed(summary.milliseconds, summary.gigabytesPerSecond)],
    ["output", output],
  ]);
}
