#!/usr/bin/env node
// The command `normpool`: arguments to library calls, and what comes of them to lines and exit codes.
import { Command, CommanderError, Help, type Option } from "commander";
import { NormpoolError } from "../index.js";
import { describeSystemError } from "../storage/system-error.js";
import { readVersion } from "../version.js";
import { addApplyCommand } from "./apply.js";
import { addBenchCommand } from "./bench.js";
import { addCompletionCommand } from "./completion.js";
import { addFitCommand } from "./fit.js";
import { addInfoCommand } from "./info.js";
import { watchSignals } from "./interrupt.js";
import { addJobCommand } from "./job.js";
import { addLayerCommands } from "./layer-command.js";
import { addStatsCommand } from "./stats.js";
import type { AddCommand } from "./sub-command.js";
import { complain, ignoreStreamErrors, print, printable } from "./terminal.js";
import { UsageError } from "./usage-error.js";

const EXIT = { failure: 1, usage: 2 } as const;

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
    .version(readVersion())
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
  addFitCommand(add, signal);
  addApplyCommand(add, signal);
  addStatsCommand(add, signal);
  addInfoCommand(add);
  addJobCommand(add, signal);
  addCompletionCommand(add, program);
  addBenchCommand(add, signal);
  return program;
}

/** One line. Of the system's own errors what matters is the file; of the library's, not which of its functions it was. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof NormpoolError) return error.message.slice(error.operation.length + 2);
  if ("path" in error && "syscall" in error) return `${error.path}: ${describeSystemError(error)}`;
  return error.message;
}

/** `job run` */
function pathOf(command: Command): string {
  const { parent } = command;
  return parent === null || parent.parent === null ? command.name() : `${pathOf(parent)} ${command.name()}`;
}

async function main(): Promise<number> {
  ignoreStreamErrors();
  const interrupt = watchSignals();
  let help = "";
  const program = makeProgram(interrupt.signal, (text) => {
    help += text;
  });
  let running = program;
  program.hook("preAction", (_, command) => {
    running = command;
  });
  try {
    await program.parseAsync().catch((error: unknown) => {
      if (error instanceof UsageError) running.error(`error: ${error.message}`);
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
      complain("", (running === program ? "" : `${pathOf(running)}: `) + describeFailure(error));
    return exitCode ?? (error instanceof CommanderError ? EXIT.usage : EXIT.failure);
  }
}

process.exitCode = await main();
