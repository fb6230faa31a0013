// `normpool bench`: the bench's sections on the user's machine, a bar while they run, then tables and files.
import { access, constants, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { MAX_THREADS } from "../pool.js";
import { parseThreads } from "./arguments.js";
import { writeText } from "./outputs.js";
import { Bar } from "./report.js";
import type { AddCommand } from "./sub-command.js";
import { print } from "./terminal.js";

interface BenchOptions {
  readonly threads: number;
  readonly quick: boolean;
  readonly quiet: boolean;
  readonly html?: string;
  readonly json?: string;
}

export function addBenchCommand(addCommand: AddCommand, signal: AbortSignal): void {
  addCommand("bench", ["normpool bench --html report.html"])
    .summary("how fast normpool is on this machine")
    .description(
      "Measure normpool on this machine, in less than two minutes: each kernel against the memory's limit by size, threads, small calls.",
    )
    .option("--html <file>", "write a page with pictures")
    .option("--json <file>", "write every sample as JSON")
    .option("--threads <number>", "worker threads at most", parseThreads, Math.min(MAX_THREADS, availableParallelism()))
    .option("--quick", "small tensors and few samples, in seconds: shows that it works, not how fast", false)
    .option("--quiet", "print nothing but errors", false)
    .action((options: BenchOptions) => bench(options, signal));
}

async function bench(options: BenchOptions, signal: AbortSignal): Promise<void> {
  const { threads, quick, quiet, html, json } = options;
  // Before two minutes of measuring, not after.
  for (const file of [html, json]) if (file !== undefined) await checkWritable(file);
  // Other commands need nothing of it.
  const { MACHINE_SECTIONS, runBench } = await import("../../bench/sections.js");
  const bar = new Bar(MACHINE_SECTIONS.length, !quiet);
  const texts: string[] = [];
  try {
    const onText = (text: string) => texts.push(text);
    const results = await runBench({
      sections: MACHINE_SECTIONS,
      threads,
      quick,
      signal,
      onSection: (section) => bar.step(section),
      onText,
    });
    if (json !== undefined) await writeText(json, `${JSON.stringify(results)}\n`);
    if (html !== undefined) {
      const { makePage } = await import("../../bench/report/page.js");
      await writeText(html, await makePage(results));
    }
  } finally {
    bar.stop();
  }
  if (!quiet) await print([...texts, ...[html, json].flatMap((file) => (file ? [`Wrote ${file}`] : []))].join("\n\n"));
}

/** Throws the system's error where no file can be written. */
async function checkWritable(file: string): Promise<void> {
  const existing = await stat(file).catch(() => undefined);
  if (existing?.isDirectory()) throw new Error(`${file}: expected a file name but got a folder`);
  await access(existing === undefined ? dirname(file) : file, constants.W_OK);
}
