// `normpool submit`: a job for the workers of a queue, and the wait for it.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import {
  InvalidArgumentError,
  JobFailedError,
  type JobProgress,
  type JobStatus,
  jobStatus,
  queueStatus,
  ReadFailedError,
  removeJob,
  submitJob,
  WriteFailedError,
} from "../index.js";
import { parseSafetensors } from "./arguments.js";
import { Interruption } from "./interrupt.js";
import {
  addFitArguments,
  addPlanArguments,
  type FitPlanOptions,
  type LayerPlanOptions,
  planFit,
  planLayer,
} from "./job-plan.js";
import { LAYER_COMMANDS } from "./layers.js";
import { addQueueOptions, type QueueArguments } from "./queue-options.js";
import { Bar, formatRows, type OnShare } from "./report.js";
import type { AddCommand } from "./sub-command.js";
import { complain, print, printable } from "./terminal.js";

interface SubmitArguments extends QueueArguments {
  readonly output: string;
  readonly detach: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
}

const EXAMPLES = [
  "normpool submit batch-norm in.npy -o out.npy --queue redis://10.0.0.1 --part-size 1GiB",
  "normpool submit fit train/*.npy -o scaler.safetensors --queue postgres://user@10.0.0.1/jobs --detach",
];

export function addSubmitCommand(addCommand: AddCommand, signal: AbortSignal): void {
  const submit = addCommand("submit", EXAMPLES)
    .summary("one file by the workers of a queue, on any number of machines")
    .description(
      "Do a layer's work on a file in parts, by the workers of a queue (normpool worker), and wait until it is done. They see the files by the same paths. The job goes on when this command is interrupted; the same command again waits for it, and goes on with one that failed.",
    );
  for (const layer of LAYER_COMMANDS) {
    const command = submit.command(layer.name).summary(layer.summary).description(`Normalise ${layer.summary}.`);
    addSubmitOptions(addPlanArguments(command, layer)).action(
      (input: string, options: LayerPlanOptions & SubmitArguments) => {
        const folder = folderOf(layer.name, [input], options);
        return submitted((own) => planLayer(layer, input, options, own), folder, options, signal);
      },
    );
  }
  const fit = submit
    .command("fit")
    .summary("the mean and deviation of each channel of many files, for apply")
    .description("Find the mean and deviation of each channel over all files.");
  addSubmitOptions(addFitArguments(fit))
    .requiredOption("-o, --output <file>", "the safetensors file to write (required)", parseSafetensors)
    .action((inputs: string[], options: FitPlanOptions & SubmitArguments) => {
      const folder = folderOf("fit", inputs, options);
      return submitted((own) => planFit(inputs, options, own), folder, options, signal);
    });
}

function addSubmitOptions(command: Command): Command {
  return addQueueOptions(command)
    .option("--detach", "return as soon as the job is queued", false)
    .option("--json", "print the summary as JSON", false);
}

/** Beside the output. The same command has the same, and so finds the job that it began. */
function folderOf(layer: string, inputs: readonly string[], options: SubmitArguments): string {
  const { queue: _, queueName, detach, json, quiet, ...work } = options;
  const output = resolve(options.output);
  const sorted = Object.entries(work).sort(([a], [b]) => (a < b ? -1 : 1));
  const command = JSON.stringify([layer, inputs.map((input) => resolve(input)), output, sorted]);
  const hash = createHash("sha256").update(command).digest("hex");
  return join(dirname(output), `.normpool-job-${hash.slice(0, 16)}`);
}

/** How often a job is planned that others finish meanwhile. */
const PLANS = 3;

/**
 * The same command elsewhere may have begun the job, and see it done between any two lines of this: then it is planned once more, as if it had been
 * given a moment later.
 * @param plan returns warnings.
 */
async function submitted(
  plan: (folder: string) => Promise<string[]>,
  folder: string,
  options: SubmitArguments,
  signal: AbortSignal,
): Promise<void> {
  const { detach, json, quiet } = options;
  const start = performance.now();
  for (let plans = 1; ; plans++) {
    try {
      const status = await planAndWait(plan, folder, options, signal);
      const summary = summaryOf(folder, status, detach, performance.now() - start);
      if (json) await print(printable(JSON.stringify(summary)));
      else if (!quiet) await print(formatSummary(summary));
      return;
    } catch (error) {
      if (plans === PLANS || !(await isGone(error, folder))) throw error;
    }
  }
}

async function isGone(error: unknown, folder: string): Promise<boolean> {
  if (!(error instanceof ReadFailedError || error instanceof WriteFailedError)) return false;
  // By its name: the path of an error has no links any more.
  return error.path.includes(basename(folder)) && (await jobStatus(folder).catch(() => undefined)) === undefined;
}

async function planAndWait(
  plan: (folder: string) => Promise<string[]>,
  folder: string,
  options: SubmitArguments,
  signal: AbortSignal,
): Promise<JobStatus> {
  const { queue, queueName, detach, quiet } = options;
  const warnings = await planIn(plan, folder, options);
  signal.throwIfAborted();
  if (!quiet) for (const warning of warnings) complain("warning: ", warning);
  const status = await jobStatus(folder);
  const bar = new JobBar(status, !quiet);
  try {
    const how = { queue, queueName, detach, signal, onProgress: bar.onProgress, onTrouble: bar.onTrouble };
    await submitJob(folder, how);
    return status;
  } catch (error) {
    bar.stop();
    throw explained(error, folder, status, signal);
  } finally {
    bar.stop();
  }
}

/** A job that the same command began for files that were others then is no longer wanted. */
async function planIn(
  plan: (folder: string) => Promise<string[]>,
  folder: string,
  { queue, queueName }: QueueArguments,
): Promise<string[]> {
  // Before anything is made: the server may not be there.
  const { jobs } = await queueStatus({ queue, queueName });
  try {
    return await plan(folder);
  } catch (error) {
    // Where nothing was planned there is nothing in it.
    await rmdir(folder).catch(() => {});
    if (!(error instanceof InvalidArgumentError) || error.argument !== "folder") throw error;
    const found = await jobStatus(folder).catch(() => undefined);
    if (found === undefined) throw error;
    if (jobs.some(({ id, state }) => id === found.id && (state === "running" || state === "waiting"))) {
      const words = `its files have changed since job ${found.id} began, which is under way`;
      throw new Error(`${found.output}: ${words} (normpool job remove ${folder} ends it)`, { cause: error });
    }
    await removeJob(folder);
    return plan(folder);
  }
}

function explained(error: unknown, folder: string, { id }: JobStatus, signal: AbortSignal): unknown {
  if (signal.aborted) {
    return new Interruption(`interrupted: job ${id} goes on without this command (normpool status says how far it is)`);
  }
  if (!(error instanceof JobFailedError) || !existsSync(folder)) return error;
  const how = `the same command goes on with it, normpool job remove ${folder} ends it`;
  return new Error(`${error.message.slice(error.operation.length + 2)} (${how})`, { cause: error });
}

/** A bar with a step a phase, and lines that it does not overwrite. */
class JobBar {
  readonly #phases: readonly JobProgress["phase"][];
  readonly #shown: boolean;
  #bar: Bar | undefined;
  #phase: JobProgress["phase"] | undefined;
  #onShare: OnShare = () => {};

  constructor({ phases }: JobStatus, shown: boolean) {
    this.#phases = phases.map(({ phase }) => phase);
    this.#shown = shown;
  }

  readonly onProgress = ({ phase, done, parts }: JobProgress): void => {
    if (this.#bar === undefined || phase !== this.#phase) {
      this.stop();
      this.#bar = new Bar(this.#phases.length, this.#shown);
      for (let i = 0; i <= this.#phases.indexOf(phase); i++) this.#onShare = this.#bar.step(phase);
      this.#phase = phase;
    }
    this.#onShare(parts === 0 ? 1 : done / parts);
  };

  readonly onTrouble = (words: string): void => {
    this.stop();
    if (this.#shown) complain("warning: ", words);
  };

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

interface SubmitSummary {
  readonly job: string;
  readonly state: "queued" | "done";
  readonly layer: string;
  readonly inputs: readonly string[];
  readonly output: string;
  /** Of each phase. */
  readonly parts: number;
  readonly folder?: string;
  readonly milliseconds?: number;
}

function summaryOf(
  folder: string,
  { id, layer, inputs, output, phases }: JobStatus,
  detach: boolean,
  milliseconds: number,
): SubmitSummary {
  const job = { job: id, layer, inputs, output, parts: phases[0]?.parts ?? 0 };
  return detach ? { ...job, state: "queued", folder } : { ...job, state: "done", milliseconds };
}

function formatSummary({ job, state, layer, inputs, output, parts, milliseconds }: SubmitSummary): string {
  return formatRows([
    ["job", job],
    ["layer", layer],
    ["inputs", inputs.length === 1 ? (inputs[0] as string) : `${inputs.length} files`],
    ["parts", `${parts} in each phase`],
    ...(milliseconds === undefined ? [] : [["time", `${(milliseconds / 1000).toFixed(1)} s`] as [string, string]]),
    ["output", output],
    ["state", state],
  ]);
}
