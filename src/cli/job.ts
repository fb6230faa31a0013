// `normpool job`: a layer over a file, or the fit of a scaler, in parts that any number of processes do, on one machine or many.
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import {
  finishJob,
  type JobPhase,
  type JobStatus,
  jobStatus,
  mergeParts,
  NormPool,
  type NormPoolOptions,
  removeJob,
  runPart,
} from "../index.js";
import { parseCount, parseSafetensors, parseThreads } from "./arguments.js";
import {
  addFitArguments,
  addPlanArguments,
  type FitPlanOptions,
  type LayerPlanOptions,
  planFit,
  planLayer,
} from "./job-plan.js";
import { LAYER_COMMANDS } from "./layers.js";
import { Bar, formatRows } from "./report.js";
import type { AddCommand } from "./sub-command.js";
import { complain, print, printable } from "./terminal.js";

const EXAMPLES = [
  "normpool job plan batch-norm in.npy -o out.npy --parts 64 --job DIR",
  "normpool job run DIR moments 7",
  "normpool job merge DIR",
  "normpool job run DIR apply 7",
  "normpool job finish DIR",
];

interface Printing {
  readonly json: boolean;
  readonly quiet: boolean;
}

interface RootOptions {
  readonly root?: readonly string[];
}

interface RunOptions extends RootOptions {
  readonly threads?: number;
  readonly quiet: boolean;
}

export function addJobCommand(addCommand: AddCommand, signal: AbortSignal): void {
  const job = addCommand("job", EXAMPLES)
    .summary("one file by many processes, on any number of machines")
    .description(
      "Do a layer's work on a file in parts, by processes that see the same folders: on one machine, or by Slurm, Kubernetes, xargs. Every step may be repeated at any time.",
    );
  addPlan(job, signal);
  withRoots(job.command("run"))
    .summary("do one part of a phase")
    .description(
      "Do one part of a job, 0 or more: of moments, then, after the merge, of apply. A part that is done is not done again. Of a phase that the job does not have it says so, and does nothing.",
    )
    .argument("<job>", "the job's folder")
    .argument("<phase>", "moments or apply", parsePhase)
    .argument("<part>", "which part", parseCount)
    .option("--threads <number>", "worker threads (default: all cores)", parseThreads)
    .option("--quiet", "print nothing but errors", false)
    .action((folder: string, phase: JobPhase, part: number, options: RunOptions) =>
      runOne(folder, phase, part, options, signal),
    );
  withRoots(job.command("merge"))
    .summary("merge what the parts of moments found")
    .description(
      "Merge what the parts of moments found, when all are done. Of a job without moments it says so, and does nothing.",
    )
    .argument("<job>", "the job's folder")
    .option("--quiet", "print nothing but errors", false)
    .action((folder: string, options: RunOptions) => merge(folder, options, signal));
  withRoots(job.command("finish"))
    .summary("give the output its name")
    .description("Give the output its name when all parts are done, and remove what they left but the job itself.")
    .argument("<job>", "the job's folder")
    .option("--remove", "remove the job's folder too", false)
    .option("--quiet", "print nothing but errors", false)
    .action(async (folder: string, { root, remove, quiet }: RunOptions & { readonly remove: boolean }) => {
      const { output } = await jobStatus(folder, { roots: root });
      await finishJob(folder, { roots: root, signal, remove });
      if (!quiet) await print(printable(`finished: ${output}`));
    });
  withRoots(job.command("status"))
    .summary("how far a job is")
    .description("Print how far a job is.")
    .argument("<job>", "the job's folder")
    .option("--json", "print it as JSON", false)
    .action(async (folder: string, { root, json }: RootOptions & Printing) => {
      const status = await jobStatus(folder, { roots: root });
      await print(json ? printable(JSON.stringify(status)) : formatStatus(status));
    });
  withRoots(job.command("remove"))
    .summary("end a job")
    .description("Remove a job's folder, and what is written of an output that has not its name yet.")
    .argument("<job>", "the job's folder")
    .action((folder: string, { root }: RootOptions) => removeJob(folder, { roots: root }));
}

function addPlan(job: Command, signal: AbortSignal): void {
  const plan = job
    .command("plan")
    .summary("begin a job")
    .description("Check all that can be known, and write it to a folder that those who do the parts see.");
  for (const layer of LAYER_COMMANDS) {
    addPlanArguments(
      plan.command(layer.name).summary(layer.summary).description(`Plan: normalise ${layer.summary}.`),
      layer,
    )
      .requiredOption("--job <folder>", "the job's folder, which is made (required)")
      .option("--json", "print the job's state as JSON", false)
      .action((input: string, options: LayerPlanOptions & Printing & { readonly job: string }) =>
        planned(() => planLayer(layer, input, options, options.job), options, signal),
      );
  }
  addFitArguments(
    plan
      .command("fit")
      .summary("the mean and deviation of each channel of many files, for apply")
      .description("Plan: find the mean and deviation of each channel over all files."),
  )
    .requiredOption("-o, --output <file>", "the safetensors file to write (required)", parseSafetensors)
    .requiredOption("--job <folder>", "the job's folder, which is made (required)")
    .option("--json", "print the job's state as JSON", false)
    .action((inputs: string[], options: FitPlanOptions & Printing & { readonly job: string }) =>
      planned(() => planFit(inputs, options, options.job), options, signal),
    );
}

async function planned(
  plan: () => Promise<string[]>,
  { job, json, quiet }: Printing & { readonly job: string },
  signal: AbortSignal,
): Promise<void> {
  const warnings = await plan();
  signal.throwIfAborted();
  if (!quiet) for (const warning of warnings) complain("warning: ", warning);
  const status = await jobStatus(job);
  if (json) await print(printable(JSON.stringify(status)));
  else if (!quiet) await print(`${formatStatus(status)}\n\n${nextSteps(job, status)}`);
}

function nextSteps(folder: string, { phases }: JobStatus): string {
  const name = /^[\w./+-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", "'\\''")}'`;
  const lines = phases.flatMap(({ phase, parts }) => [
    `normpool job run ${name} ${phase} PART    ${parts === 1 ? "PART is 0" : `each PART from 0 to ${parts - 1}`}`,
    ...(phase === "moments" ? [`normpool job merge ${name}`] : []),
  ]);
  return [...lines, `normpool job finish ${name}`].map(printable).join("\n");
}

async function runOne(
  folder: string,
  phase: JobPhase,
  part: number,
  { root, threads, quiet }: RunOptions,
  signal: AbortSignal,
): Promise<void> {
  const { phases } = await jobStatus(folder, { roots: root });
  if (!phases.some((own) => own.phase === phase)) {
    if (!quiet) await print(printable(`${folder} has no ${phase}: there is nothing to do`));
    return;
  }
  await using pool = new NormPool(poolOptions(threads));
  const bar = new Bar(1, !quiet);
  const onShare = bar.step(phase);
  try {
    await runPart(pool, folder, phase, part, {
      roots: root,
      signal,
      onProgress: ({ done, total }) => onShare(done / total),
    });
  } finally {
    bar.stop();
  }
  if (!quiet) await print(printable(`done: part ${part} of ${phase}`));
}

async function merge(folder: string, { root, quiet }: RunOptions, signal: AbortSignal): Promise<void> {
  const { phases } = await jobStatus(folder, { roots: root });
  const hasMoments = phases.some(({ phase }) => phase === "moments");
  if (hasMoments) {
    await using pool = new NormPool({ threads: 1 });
    await mergeParts(pool, folder, { roots: root, signal });
  }
  if (!quiet) await print(printable(hasMoments ? "merged" : `${folder} has no moments: there is nothing to merge`));
}

function formatStatus({ id, layer, inputs, output, phases, merged, finished }: JobStatus): string {
  const rows: [string, string][] = [
    ["job", id],
    ["layer", layer],
    ["inputs", inputs.length === 1 ? (inputs[0] as string) : `${inputs.length} files`],
    ["output", output],
  ];
  for (const { phase, parts, done } of phases) {
    rows.push([
      phase,
      `${done} of ${parts} ${parts === 1 ? "part" : "parts"} done${phase === "moments" && merged ? ", merged" : ""}`,
    ]);
  }
  return formatRows([...rows, ["state", finished ? "finished" : "not finished"]]);
}

function poolOptions(threads: number | undefined): NormPoolOptions {
  return threads === undefined ? {} : { threads };
}

function parsePhase(text: string): JobPhase {
  if (text === "moments" || text === "apply") return text;
  throw new InvalidArgumentError("Expected moments or apply.");
}

function withRoots(command: Command): Command {
  return command
    .showHelpAfterError(`(normpool job ${command.name()} --help shows how)`)
    .option(
      "--root <folder>",
      "a folder that the job's files have to be below, for jobs of others; may be said again (default: any file is taken)",
      (folder: string, before: readonly string[] = []) => [...before, folder],
    );
}
