// `normpool stats`: what is in a tensor, by channel, as a table, as JSON, or as a page with histograms.
import { Option } from "commander";
import { NormPool, type Tensor } from "../index.js";
import { histograms } from "../summary/histogram.js";
import { channelsOf, type Summary, summarise } from "../summary/summary.js";
import { parseAxis, parseOutput } from "./arguments.js";
import { refuseExisting, writeText } from "./outputs.js";
import { Bar } from "./report.js";
import { addSourceOptions, lookAt, openSource, type Source, type SourceOptions } from "./source.js";
import { type ChannelStats, formatStats, type Stats } from "./stats-table.js";
import { withInputs } from "./streams.js";
import type { AddCommand } from "./sub-command.js";
import { bytesOf } from "./tensor-file.js";
import { complain, print, printable } from "./terminal.js";
import { UsageError } from "./usage-error.js";

/** Channels that have a histogram on the page, and bins of each. */
const PICTURES = 64;
const BINS = 48;

interface StatsOptions extends SourceOptions {
  readonly channelAxis?: number;
  readonly html?: string;
  readonly force: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
}

export function addStatsCommand(addCommand: AddCommand, signal: AbortSignal): void {
  addSourceOptions(addCommand("stats", ["normpool stats images.npy --channel-axis -1 --html stats.html"]))
    .summary("count, mean, deviation, min, max, NaN and Infinity of a file")
    .description(
      "Look at every cell of a file: count, NaN, Infinity, and of the finite ones mean, deviation, min and max, by channel or over all. Files may be larger than memory.",
    )
    .argument("<input>", "a file (.npy, .npz, safetensors, raw cells), or - for stdin")
    .option(
      "--channel-axis <dimension>",
      "by channel, at this dimension, from the end if negative (default: over all)",
      parseAxis,
    )
    .addOption(new Option("--html <file>", "write a page with histograms").argParser(parseOutput))
    .option("--force", "replace a file of the page's name", false)
    .option("--json", "print it as JSON", false)
    .option("--quiet", "show no progress, and print no table", false)
    .action(async (input: string, options: StatsOptions) => {
      const { html, json, quiet } = options;
      const stats = await statsOf(input, options, signal);
      if (json) await print(printable(JSON.stringify(stats)));
      else if (!quiet) await print([formatStats(stats), ...(html === undefined ? [] : [`Wrote ${html}`])].join("\n\n"));
    });
}

async function statsOf(name: string, options: StatsOptions, signal: AbortSignal): Promise<Stats> {
  const { html, force } = options;
  if (html !== undefined && !force) await refuseExisting(html);
  return withInputs([name], signal, (inputs) => {
    const [input, another] = inputs;
    if (input !== undefined && another === undefined) return statsOfSource(input, options, signal);
    throw new UsageError(`expected one file but got ${inputs.length} of ${name}`);
  });
}

async function statsOfSource(source: Source, options: StatsOptions, signal: AbortSignal): Promise<Stats> {
  const { name: input } = source;
  const { channelAxis, html, force, quiet } = options;
  await using pool = new NormPool();
  const onWarning = (text: string) => quiet || complain("warning: ", text);
  await lookAt(source, options, onWarning);
  const x = await openSource(pool, source, options);
  const axis = channelAxis === undefined ? null : resolve(input, x, channelAxis);
  const bar = new Bar(html === undefined ? 1 : 2, !quiet);
  const start = performance.now();
  try {
    const channels = channelsOf(x, axis);
    const summary = await summarise("stats", x, channels, { signal, onShare: bar.step("looking") });
    const milliseconds = performance.now() - start;
    const { shape, dtype } = x;
    const gigabytesPerSecond = bytesOf(x) / milliseconds / 1e6;
    const rows = rowsOf(summary, axis === null);
    const stats = { input, shape, dtype, channelAxis: axis, channels: rows, milliseconds, gigabytesPerSecond };
    if (html !== undefined) {
      const watch = { signal, onShare: bar.step("counting") };
      const bins = await histograms("stats", x, channels, summary, { bins: BINS, first: PICTURES }, watch);
      // Other commands need nothing of it.
      const { makeStatsPage } = await import("./stats-page.js");
      const page = await makeStatsPage(stats, bins);
      if (!force) await refuseExisting(html);
      await writeText(html, page);
    }
    return stats;
  } finally {
    bar.stop();
  }
}

function resolve(input: string, { shape }: Tensor, axis: number): number {
  if (axis >= -shape.length && axis < shape.length) return axis < 0 ? axis + shape.length : axis;
  throw new Error(`${input}: expected a dimension of shape [${shape.join(", ")}] for --channel-axis but got ${axis}`);
}

function rowsOf({ counts, nans, infinities, least, largest, moments }: Summary, all: boolean): ChannelStats[] {
  return Array.from(counts, (count, channel) => {
    const of = (value: number | undefined) => (count === 0 || value === undefined ? null : value);
    const [nan, infinite] = [nans[channel] as number, infinities[channel] as number];
    return {
      ...(all ? {} : { channel }),
      count: count + nan + infinite,
      nan,
      infinite,
      mean: of(moments[2 * channel]),
      deviation: of(Math.sqrt((moments[2 * channel + 1] as number) / count)),
      min: of(least[channel]),
      max: of(largest[channel]),
    };
  });
}
