// npm run bench [-- section ...] [--json file] [--html file] [--picture file] [--from file] [--threads n] [--python path] [--quick]
// A section may be a group of throughput: npm run bench -- backward. --from reads results instead of measuring.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { GROUPS } from "./cases.js";
import { SECTIONS } from "./describe.js";
import { formatMachine } from "./machine.js";
import { makePage } from "./report/page.js";
import { makePicture } from "./report/picture.js";
import type { Results } from "./results.js";
import { runBench } from "./sections.js";

const { PYTHON = "python3" } = process.env;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "string" },
    html: { type: "string" },
    picture: { type: "string" },
    from: { type: "string" },
    python: { type: "string", default: PYTHON },
    threads: { type: "string", default: String(availableParallelism()) },
    quick: { type: "boolean", default: false },
  },
});

async function measure(): Promise<Results> {
  const threads = Number(values.threads);
  if (!Number.isInteger(threads) || threads < 1) {
    console.error(`expected a positive integer for --threads but got ${values.threads}`);
    process.exit(2);
  }
  const groupName = (name: string) => name.replaceAll(" ", "-");
  const groups = GROUPS.filter(({ name }) => positionals.includes(groupName(name)));
  const known = [...SECTIONS, ...GROUPS.map(({ name }) => groupName(name))];
  const unknown = positionals.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    console.error(`expected ${known.join(", ")} but got ${unknown}`);
    process.exit(2);
  }
  return runBench({
    sections: SECTIONS.filter(
      (name) => positionals.length === 0 || positionals.includes(name) || (name === "throughput" && groups.length > 0),
    ),
    threads,
    quick: values.quick,
    python: values.python,
    ...(groups.length > 0 && { groups }),
    onText: (text) => console.log(`${text}\n`),
  });
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

const results: Results = values.from === undefined ? await measure() : JSON.parse(readFileSync(values.from, "utf8"));
console.log(formatMachine(results.machine));
if (values.json !== undefined) write(values.json, `${JSON.stringify(results)}\n`);
if (values.html !== undefined) write(values.html, await makePage(results));
if (values.picture !== undefined) write(values.picture, await makePicture(results));
