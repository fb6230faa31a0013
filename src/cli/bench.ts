// `normpool bench`: the bench's sections on the user's machine, a bar while they run, then tables and files.
import { access, constants, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { Bar } from "./report.js";
import { print } from "./terminal.js";

export interface BenchCommandOptions {
  readonly threads: number;
  readonly quick: boolean;
  readonly quiet: boolean;
  readonly html?: string;
  readonly json?: string;
}

export async function runBenchCommand(options: BenchCommandOptions, signal: AbortSignal): Promise<void> {
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
    if (json !== undefined) await writeFile(json, `${JSON.stringify(results)}\n`);
    if (html !== undefined) {
      const { makePage } = await import("../../bench/report/page.js");
      await writeFile(html, await makePage(results));
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
