#!/usr/bin/env node
// The command `normpool`: arguments to library calls, and what comes of them to lines and exit codes.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Command, CommanderError, Option } from "commander";
import { MAX_THREADS } from "../pool.js";
import { describeSystemError } from "../storage/system-error.js";
import { addApply } from "./apply.js";
import { parseEps, parseOutput, parseSize, parseSizes, parseThreads } from "./arguments.js";
import { type BenchCommandOptions, runBenchCommand } from "./bench.js";
import { addFit } from "./fit.js";
import { watchSignals } from "./interrupt.js";
import { LAYER_COMMANDS, type LayerCommand } from "./layers.js";
import { inspectNpy } from "./npy-file.js";
import { formatRows, formatSummary } from "./report.js";
import { type RunOptions, runLayer } from "./run.js";
import { addStats } from "./stats.js";
import { complain, ignoreStreamErrors, print, printable } from "./terminal.js";

const EXIT = { failure: 1, usage: 2 } as const;

const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

/** A command whose errors name its own help, which ends with an example. */
function addCommand(program: Command, name: string, example: string): Command {
  return program
    .command(name)
    .showHelpAfterError(`(normpool ${name} --help shows how)`)
    .addHelpText("after", `\nExample:\n  ${example}`);
}

function addLayerCommand(program: Command, layer: LayerCommand, signal: AbortSignal): void {
  const command = addCommand(program, layer.name, layer.example)
    .summary(layer.summary)
    .description(`Normalise ${layer.summary}: float32, C order, statistics from the data.`)
    .argument("<input>", "an .npy file")
    .requiredOption(
      "-o, --output <file>",
      "the .npy file to write (required); appears only when it is complete; may be the input",
      parseOutput,
    )
    .option("--eps <number>", "added to the variance", parseEps, layer.eps)
    .option("--threads <number>", "worker threads (default: all cores)", parseThreads)
    .option("--json", "print the summary as JSON", false)
    .option("--quiet", "print nothing but errors", false);
  if (layer.option !== undefined) {
    const { flags, description, kind, required } = layer.option;
    command.addOption(
      new Option(flags, description)
        .argParser<number | number[]>(kind === "size" ? parseSize : parseSizes)
        .makeOptionMandatory(required),
    );
  }
  command.action(async (input: string, options: RunOptions & { json: boolean }) => {
    const { json, quiet } = options;
    // After the bar, which would overwrite them.
    const warnings: string[] = [];
    try {
      const summary = await runLayer(layer, input, { ...options, onWarning: (text) => warnings.push(text) }, signal);
      if (json) await print(printable(JSON.stringify(summary)));
      else if (!quiet) await print(formatSummary(summary));
    } finally {
      if (!quiet) for (const warning of warnings) complain("warning: ", warning);
    }
  });
}

async function showInfo(path: string, options: { json: boolean }): Promise<void> {
  const { header, fileBytes } = await inspectNpy(path);
  const { version: format, descr, fortranOrder, shape } = header;
  const info = { path, format, dtype: descr, order: fortranOrder ? "Fortran" : "C", shape, bytes: fileBytes };
  if (options.json) return print(printable(JSON.stringify(info)));
  const rows = Object.entries({ ...info, shape: `[${shape.join(", ")}]` });
  return print(formatRows(rows.map(([name, value]) => [name, String(value)])));
}

function makeProgram(signal: AbortSignal, onHelp: (text: string) => void): Command {
  const program = new Command("normpool")
    .description("Normalise large tensors on every core, from .npy file to .npy file.")
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: onHelp,
      writeErr: (text) => process.stderr.write(text.split("\n").map(printable).join("\n")),
    })
    .showHelpAfterError("(normpool --help shows how)")
    .addHelpText(
      "after",
      "\nExample:\n  normpool layer-norm embeddings.npy -o normalised.npy\n\nnormpool layer-norm --help shows its options.",
    );
  for (const layer of LAYER_COMMANDS) addLayerCommand(program, layer, signal);
  addFit(addCommand(program, "fit", "normpool fit train/*.npy -o scaler.safetensors"), signal);
  addApply(addCommand(program, "apply", "normpool apply scaler.safetensors test.npy -o out.npy"), signal);
  addStats(addCommand(program, "stats", "normpool stats images.npy --channel-axis -1 --html stats.html"), signal);
  addCommand(program, "info", "normpool info images.npy")
    .summary("what an .npy file holds")
    .description("Print what an .npy file's header says.")
    .argument("<file>", "an .npy file")
    .option("--json", "print it as JSON", false)
    .action(showInfo);
  addCommand(program, "bench", "normpool bench --html report.html")
    .summary("how fast normpool is on this machine")
    .description(
      "Measure normpool on this machine, in less than two minutes: each kernel against the memory's limit by size, threads, small calls.",
    )
    .option("--html <file>", "write a page with pictures")
    .option("--json <file>", "write every sample as JSON")
    .option("--threads <number>", "worker threads at most", parseThreads, Math.min(MAX_THREADS, availableParallelism()))
    .option("--quick", "small tensors and few samples, in seconds: shows that it works, not how fast", false)
    .option("--quiet", "print nothing but errors", false)
    .action((options: BenchCommandOptions) => runBenchCommand(options, signal));
  return program;
}

/** One line. Of the system's own errors what matters is the file. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("path" in error && "syscall" in error) return `${error.path}: ${describeSystemError(error)}`;
  return error.message;
}

async function main(): Promise<number> {
  ignoreStreamErrors();
  const interrupt = watchSignals();
  let help = "";
  const program = makeProgram(interrupt.signal, (text) => {
    help += text;
  });
  try {
    await program.parseAsync().catch((error: unknown) => {
      if (!(error instanceof CommanderError) || error.exitCode !== 0) throw error;
      // The help or the version that was asked for.
      return print(help.trimEnd());
    });
    return 0;
  } catch (error) {
    const exitCode = interrupt.exitCode();
    if (exitCode !== undefined) complain("", "interrupted");
    // commander has said what is wrong with the arguments.
    else if (!(error instanceof CommanderError)) complain("", describeFailure(error));
    return exitCode ?? (error instanceof CommanderError ? EXIT.usage : EXIT.failure);
  }
}

process.exitCode = await main();
