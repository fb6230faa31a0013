#!/usr/bin/env node
// The command `normpool`: arguments to library calls, and what comes of them to lines and exit codes.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Command, CommanderError, Option } from "commander";
import { MAX_THREADS } from "../pool.js";
import { parseEps, parseOutput, parseSize, parseSizes, parseThreads } from "./arguments.js";
import { type BenchCommandOptions, runBenchCommand } from "./bench.js";
import { LAYER_COMMANDS, type LayerCommand } from "./layers.js";
import { inspectNpy } from "./npy-file.js";
import { colorsFor, formatRows, formatSummary } from "./report.js";
import { type RunOptions, runLayer } from "./run.js";

const EXIT = { failure: 1, usage: 2 } as const;
/** 128 + the signal's number, as shells have it. */
const EXIT_BY_SIGNAL = { SIGINT: 130, SIGTERM: 143 } as const;

const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

function addLayerCommand(program: Command, layer: LayerCommand, interrupt: AbortController): void {
  const command = program
    .command(layer.name)
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
    const { flags, description, kind } = layer.option;
    command.addOption(
      new Option(flags, `${description} (required)`)
        .argParser<number | number[]>(kind === "size" ? parseSize : parseSizes)
        .makeOptionMandatory(),
    );
  }
  command.action(async (input: string, options: RunOptions & { json: boolean }) => {
    const { json, quiet } = options;
    // After the bar, which would overwrite them.
    const warnings: string[] = [];
    try {
      const onWarning = (text: string) => warnings.push(text);
      const summary = await runLayer(layer, input, { ...options, onWarning }, interrupt.signal);
      if (json) console.log(JSON.stringify(summary));
      else if (!quiet) console.log(formatSummary(summary));
    } finally {
      for (const warning of quiet ? [] : warnings) console.error(`normpool: warning: ${warning}`);
    }
  });
}

async function showInfo(path: string, options: { json: boolean }): Promise<void> {
  const { header, fileBytes } = await inspectNpy(path);
  const { version: format, descr, fortranOrder, shape } = header;
  const info = { path, format, dtype: descr, order: fortranOrder ? "Fortran" : "C", shape, bytes: fileBytes };
  if (options.json) console.log(JSON.stringify(info));
  else {
    const rows = Object.entries({ ...info, shape: `[${shape.join(", ")}]` });
    console.log(formatRows(rows.map(([name, value]) => [name, String(value)])));
  }
}

function makeProgram(interrupt: AbortController): Command {
  const program = new Command("normpool")
    .description("Normalise large tensors on every core.")
    .version(version)
    .exitOverride()
    .showHelpAfterError("(normpool --help shows how)");
  for (const layer of LAYER_COMMANDS) addLayerCommand(program, layer, interrupt);
  program
    .command("info")
    .summary("what an .npy file holds")
    .description("Print what an .npy file's header says.")
    .argument("<file>", "an .npy file")
    .option("--json", "print it as JSON", false)
    .action(showInfo);
  program
    .command("bench")
    .summary("how fast normpool is on this machine")
    .description(
      "Measure normpool on this machine, in less than two minutes: each kernel against the memory's limit by size, threads, small calls.",
    )
    .option("--html <file>", "write a page with pictures")
    .option("--json <file>", "write every sample as JSON")
    .option("--threads <number>", "worker threads at most", parseThreads, Math.min(MAX_THREADS, availableParallelism()))
    .option("--quick", "small tensors and few samples, in seconds: shows that it works, not how fast", false)
    .option("--quiet", "print nothing but errors", false)
    .action((options: BenchCommandOptions) => runBenchCommand(options, interrupt.signal));
  return program;
}

/** One line. The system's own errors start with their code and call: here what matters is the file. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("path" in error && "code" in error && !("operation" in error)) {
    return `${error.path}: ${error.message.replace(/^\w+: /, "").replace(/, \w+ '.*$/, "")} (${error.code})`;
  }
  return error.message;
}

async function main(): Promise<number> {
  const interrupt = new AbortController();
  let interrupted: keyof typeof EXIT_BY_SIGNAL | undefined;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      interrupted = signal;
      interrupt.abort();
    });
  }
  try {
    await makeProgram(interrupt).parseAsync();
    return 0;
  } catch (error) {
    if (interrupted !== undefined) {
      console.error("normpool: interrupted");
      return EXIT_BY_SIGNAL[interrupted];
    }
    // commander has printed its own message, or the help or version that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
    const message = describeFailure(error);
    console.error(`${colorsFor(process.stderr).red("normpool:")} ${message}`);
    return EXIT.failure;
  }
}

process.exitCode = await main();
