#!/usr/bin/env node
// The command `normpool`: arguments to library calls, and what comes of them to lines and exit codes.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Command, CommanderError, Help, type Option } from "commander";
import { NormpoolError } from "../index.js";
import { MAX_THREADS } from "../pool.js";
import { describeSystemError } from "../storage/system-error.js";
import { addApply } from "./apply.js";
import { parseThreads } from "./arguments.js";
import { type BenchCommandOptions, runBenchCommand } from "./bench.js";
import { addCompletionCommand } from "./completion.js";
import { addFit } from "./fit.js";
import { addInfoCommand } from "./info.js";
import { watchSignals } from "./interrupt.js";
import { type AddCommand, addLayerCommands } from "./layer-command.js";
import { addStats } from "./stats.js";
import { complain, ignoreStreamErrors, print, printable } from "./terminal.js";

const EXIT = { failure: 1, usage: 2 } as const;

const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

/** A command whose errors name its own help, which ends with examples. */
function addCommand(program: Command, name: string, examples: readonly string[]): Command {
  return program
    .command(name)
    .showHelpAfterError(`(normpool ${name} --help shows how)`)
    .addHelpText(
      "after",
      `\nExample${examples.length > 1 ? "s" : ""}:\n${examples.map((line) => `  ${line}`).join("\n")}`,
    );
}

/** That flags are off by default needs no words. */
function optionDescription(option: Option): string {
  return new Help().optionDescription(option).replace(" (default: false)", "");
}

function makeProgram(signal: AbortSignal, onHelp: (text: string) => void): Command {
  const program = new Command("normpool")
    .description(
      "Normalise tensors of any size on every core, from file to file: .npy, .npz, safetensors and raw cells.",
    )
    .version(version)
    .exitOverride()
    .configureHelp({ optionDescription })
    .configureOutput({
      writeOut: onHelp,
      writeErr: (text) => process.stderr.write(text.split("\n").map(printable).join("\n")),
    })
    .showHelpAfterError("(normpool --help shows how)")
    .addHelpText(
      "after",
      `
Examples:
  normpool layer-norm embeddings.npy -o normalised.npy
  normpool batch-norm images/*.npy --out-dir normalised --channel-axis -1
  curl https://example.org/x.npy | normpool unit-norm - -o - > unit.npy

Each command's --help shows its options.`,
    );
  const add: AddCommand = (name, examples) => addCommand(program, name, examples);
  addLayerCommands(add, signal);
  addFit(add("fit", ["normpool fit train/*.npy -o scaler.safetensors"]), signal);
  addApply(add("apply", ["normpool apply scaler.safetensors test.npy -o out.npy"]), signal);
  addStats(add("stats", ["normpool stats images.npy --channel-axis -1 --html stats.html"]), signal);
  addInfoCommand(add);
  addCompletionCommand(add, program);
  add("bench", ["normpool bench --html report.html"])
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

/** One line. Of the system's own errors what matters is the file; of the library's, not which of its functions it was. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof NormpoolError) return error.message.slice(error.operation.length + 2);
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
  let running = "";
  program.hook("preAction", (_, command) => {
    running = command.name();
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
    else if (!(error instanceof CommanderError))
      complain("", (running === "" ? "" : `${running}: `) + describeFailure(error));
    return exitCode ?? (error instanceof CommanderError ? EXIT.usage : EXIT.failure);
  }
}

process.exitCode = await main();
