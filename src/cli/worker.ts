// `normpool worker`: does the parts of jobs that a queue has.
import { NormPool, runWorker, type WorkerEvent } from "../index.js";
import { parseSeconds, parseThreads } from "./arguments.js";
import { addQueueOptions, type QueueArguments } from "./queue-options.js";
import type { AddCommand } from "./sub-command.js";
import { complain, print, printable } from "./terminal.js";

interface WorkerArguments extends QueueArguments {
  readonly threads?: number;
  readonly root?: readonly string[];
  readonly deadAfter: number;
  readonly quiet: boolean;
}

export function addWorkerCommand(addCommand: AddCommand, signal: AbortSignal): void {
  const examples = [
    "normpool worker --queue redis://10.0.0.1 --root /data",
    "NORMPOOL_QUEUE=postgres://user:password@10.0.0.1/jobs normpool worker --threads 8",
  ];
  addQueueOptions(addCommand("worker", examples))
    .summary("does the parts of jobs that normpool submit puts in a queue")
    .description(
      "Do the parts of jobs that normpool submit puts in a queue, until SIGTERM or SIGINT: then the part at hand is done, and the exit code is 0; a second one ends it at once, and another worker does the part again. Any number of workers may run, on any machines that see the jobs' files by the same paths.",
    )
    .option(
      "--root <folder>",
      "only jobs whose files are below it are done, others are refused; may be said again (default: where it was started)",
      (folder: string, before: readonly string[] = []) => [...before, folder],
    )
    .option("--threads <number>", "worker threads (default: all cores)", parseThreads)
    .option(
      "--dead-after <seconds>",
      "a worker that says nothing for so long has lost its part to another; the same for all workers of a queue",
      parseSeconds,
      10,
    )
    .option("--quiet", "print nothing but errors", false)
    .action((options: WorkerArguments) => work(options, signal));
}

async function work({ queue, queueName, threads, root, deadAfter, quiet }: WorkerArguments, signal: AbortSignal) {
  await using pool = new NormPool(threads === undefined ? {} : { threads });
  const say = (line: string) => void (quiet || print(printable(line)).catch(() => {}));
  signal.addEventListener("abort", () => say("ends with the part at hand (again: at once)"), { once: true });
  let told = "";
  await runWorker(pool, {
    queue,
    queueName,
    roots: root,
    deadAfter: deadAfter * 1000,
    signal,
    onEvent: (event) => {
      const line = describeEvent(event);
      const isTrouble = event.kind === "trouble" || event.kind === "failed" || event.kind === "lost";
      // A server that is away is so at each attempt.
      if (event.kind === "trouble" && line === told) return;
      told = line;
      if (isTrouble) complain(event.kind === "failed" ? "" : "warning: ", line);
      else say(line);
    },
  });
}

function describeEvent(event: WorkerEvent): string {
  switch (event.kind) {
    case "ready":
      return "waits for parts";
    case "part":
      return `${event.phase} ${event.part} of ${event.folder}: ${formatTime(event.milliseconds)}`;
    case "merged":
    case "finished":
      return `${event.kind} ${event.folder}: ${formatTime(event.milliseconds)}`;
    case "failed":
      return event.isFinal ? event.reason : `${event.reason} (it is tried again, some times)`;
    case "lost":
      return "it was away for so long that another worker does its part: what it did since counts for nothing";
    case "trouble":
      return event.reason;
  }
}

function formatTime(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
