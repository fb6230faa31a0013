// `normpool status`: the jobs of a queue.
import { type JobInQueue, queueStatus } from "../index.js";
import { addQueueOptions, type QueueArguments } from "./queue-options.js";
import type { AddCommand } from "./sub-command.js";
import { print, printable } from "./terminal.js";

interface StatusArguments extends QueueArguments {
  readonly json: boolean;
}

export function addStatusCommand(addCommand: AddCommand): void {
  addQueueOptions(addCommand("status", ["normpool status --queue redis://10.0.0.1"]))
    .summary("the jobs of a queue, how far they are, and how many workers there are")
    .description(
      "Print the jobs of a queue, how far they are, and how many workers there are. Those that are done or failed are kept for a week.",
    )
    .argument("[job]", "the id of one job, or its beginning")
    .option("--json", "print it as JSON", false)
    .action(showStatus);
}

async function showStatus(job: string | undefined, { queue, queueName, json }: StatusArguments): Promise<void> {
  const { jobs, workers } = await queueStatus({ queue, queueName });
  const found = jobs.filter(({ id }) => id.startsWith(job ?? ""));
  if (job !== undefined && found.length === 0) throw new Error(`expected a job of the queue but there is no ${job}`);
  if (json) return print(printable(JSON.stringify({ workers: workers ?? null, jobs: found })));
  const lines = [`workers ${workers ?? "unknown: the server does not say"}`, ...found.map(describeJob)];
  return print(lines.map(printable).join("\n"));
}

function describeJob({ id, folder, state, step, done, parts, reason }: JobInQueue): string {
  const far = state === "done" ? "" : `, ${done} of ${parts} parts, next: ${step}`;
  return `${id} ${state}${far}, ${folder}${state === "failed" ? `: ${reason}` : ""}`;
}
