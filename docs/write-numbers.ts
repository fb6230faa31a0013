// npm run bench:readme [-- --quick | --from file]: measures what README.md and performance.md show, and writes it into them.
// --quick prints it instead: its numbers show only that it works. --from takes the results of npm run bench -- --json.
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { Results } from "../bench/results.js";
import { runBench } from "../bench/sections.js";
import { performanceTexts, readmeTexts, type Texts, withTexts } from "./numbers.js";

const SECTIONS = ["throughput", "latency", "cold", "memory"] as const;

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false }, from: { type: "string" } } });

async function measure(): Promise<Results> {
  const threads = availableParallelism();
  return runBench({ sections: SECTIONS, threads, quick: values.quick, onText: (text) => console.log(`${text}\n`) });
}

const results: Results = values.from === undefined ? await measure() : JSON.parse(readFileSync(values.from, "utf8"));
const documents: readonly (readonly [name: string, texts: Texts])[] = [
  ["README.md", readmeTexts(results)],
  ["docs/performance.md", performanceTexts(results)],
];
for (const [name, texts] of documents) {
  const file = new URL(`../../${name}`, import.meta.url);
  const document = withTexts(readFileSync(file, "utf8"), texts);
  if (!results.quick) writeFileSync(file, document);
  console.log(
    results.quick
      ? `${name}:\n\n${Object.values(texts).join("\n\n")}\n`
      : `Wrote ${name}: ${Object.keys(texts).join(", ")}`,
  );
}
