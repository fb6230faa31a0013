// The sub-command of a layer: its options and help.
import { type Command, Option } from "commander";
import { parseAxis, parseEps, parseMomentum, parseSafetensors, parseThreads } from "./arguments.js";
import { STREAM } from "./inputs.js";
import { type LayerOptions, Layers } from "./layer-of-file.js";
import { LAYER_COMMANDS, type LayerCommand } from "./layers.js";
import { formatSummary, type Summary } from "./report.js";
import { type RunOptions, runOverFiles, type Work } from "./run.js";
import { addSourceOptions, DTYPES } from "./source.js";
import type { AddCommand } from "./sub-command.js";
import { complain, print, printable } from "./terminal.js";

export function addLayerCommands(addCommand: AddCommand, signal: AbortSignal): void {
  for (const layer of LAYER_COMMANDS) addLayerCommand(addCommand(layer.name, layer.examples), layer, signal);
}

function addLayerCommand(command: Command, layer: LayerCommand, signal: AbortSignal): void {
  command
    .summary(layer.summary)
    .description(`Normalise ${layer.summary}. Files of any size: memory does not grow with them.`);
  addFileArguments(command);
  addLayerOptions(command, layer);
  addRunOptions(command).action(async (inputs: string[], options: CommandOptions & LayerOptions) =>
    runCommand(() => Layers.read(layer, options), inputs, options, signal),
  );
}

/** Inputs, and where outputs go. */
export function addFileArguments(command: Command): Command {
  return command
    .argument(
      "<inputs...>",
      "files (.npy, .npz, safetensors, raw cells), folders of the first three, patterns, or - for stdin",
    )
    .option(
      "-o, --output <file>",
      "the file to write, complete or not at all; its name says the format (.safetensors, .bin for raw cells, else .npy); - for stdout",
    )
    .option("--out-dir <folder>", "the folder to write to, for several inputs: each output has its input's name")
    .option(
      "--in-place",
      "write over the input itself, which needs no room for another file; an interruption leaves some cells normalised and others not",
      false,
    )
    .option(
      "--force",
      "replace outputs that exist, each once the new one is complete; an output may be its input",
      false,
    )
    .option(
      "--resume",
      "go on where the same command was killed or the machine failed, to the same bits; begin if there is nothing to go on with; leave outputs that exist",
      false,
    );
}

export interface CommandOptions extends RunOptions {
  readonly json: boolean;
}

/** What every command has that goes from files to files. */
export function addRunOptions(command: Command): Command {
  return addSourceOptions(command)
    .addOption(
      new Option(
        "--dtype-out <dtype>",
        "of the output, computed in the wider of both (default: the input's; float32 for uint8)",
      ).choices(DTYPES.filter((dtype) => dtype !== "uint8")),
    )
    .option(
      "--stats",
      "print mean and deviation of all cells before and after, which reads both files once more",
      false,
    )
    .option("--threads <number>", "worker threads (default: all cores)", parseThreads)
    .option("--json", "print the summary as JSON, a line for each file", false)
    .option("--quiet", "print nothing but errors", false);
}

/** @param saves whether statistics can be kept. */
export function addLayerOptions(
  command: Command,
  { eps, channelAxis, state, options }: LayerCommand,
  saves = true,
): void {
  for (const { flags, description, parse, required = false } of options) {
    command.addOption(new Option(flags, description).argParser(parse).makeOptionMandatory(required));
  }
  if (eps !== undefined) command.option("--eps <number>", eps, parseEps);
  if (channelAxis !== "none") {
    const description =
      channelAxis === "guessed"
        ? "which dimension has the channels: -1 for the last (default: 1)"
        : "the one dimension to normalise over: 1 for the channels of [N, C, H, W] (default: the last dimensions)";
    command.option("--channel-axis <dimension>", description, parseAxis);
  }
  if (state === "none") return;
  const what = state === "weights" ? "the layer's weights" : "the layer's weights and running statistics";
  command
    .option("--state <file>", `a safetensors file with ${what}, by PyTorch's names`)
    .option("--prefix <text>", 'what comes before those names in the file, such as "encoder.norm1."');
  if (state === "weights") return;
  command
    .option("--train", `normalise with the data's own statistics${saves ? ", and update the running ones" : ""}`)
    .option("--eval", "normalise with the running statistics (default where --state has them)");
  if (!saves) return;
  command
    .option(
      "--momentum <number>",
      "share of the new statistics in the running ones, or none for the average of all files (default: 0.1)",
      parseMomentum,
    )
    .option(
      "--save-state <file>",
      "write weights and running statistics as a safetensors file afterwards",
      parseSafetensors,
    );
}

/** @param read what is done with each file. */
export async function runCommand(
  read: () => Promise<Work>,
  inputs: readonly string[],
  options: CommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const { json, quiet, output } = options;
  const to = output === STREAM ? process.stderr : process.stdout;
  // After the bar, which would overwrite them.
  const [lines, warnings]: [string[], string[]] = [[], []];
  const told = {
    onSummary: (summary: Summary) => {
      lines.push(json ? printable(JSON.stringify(summary)) : formatSummary(summary, to));
    },
    onWarning: (text: string) => void warnings.push(text),
  };
  try {
    // What is not printed need not be known.
    const stats = options.stats && (json || !quiet);
    await runOverFiles(read, inputs, { ...options, stats }, told, signal);
  } finally {
    if (!quiet) for (const warning of warnings) complain("warning: ", warning);
    // Files that are done are, whatever became of later ones.
    if (lines.length > 0 && (json || !quiet)) await print(lines.join(json ? "\n" : "\n\n"), to);
  }
}
