// npm run bench [-- section ...] [--json file] [--threads n] [--quick]. A section may be a group of throughput: npm run bench -- backward
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { GROUPS } from "./cases.js";
import { formatMachine } from "./machine.js";
import { runBench, SECTIONS } from "./sections.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "string" },
    threads: { type: "string", default: String(availableParallelism()) },
    quick: { type: "boolean", default: false },
  },
});

const groupName = (name: string) => name.replaceAll(" ", "-");
const groups = GROUPS.filter(({ name }) => positionals.includes(groupName(name)));
const known = [...SECTIONS, ...GROUPS.map(({ name }) => groupName(name))];
const unknown = positionals.find((name) => !known.includes(name));
if (unknown !== undefined) {
  console.error(`expected ${known.join(", ")} but got ${unknown}`);
  process.exit(2);
}

const results = await runBench({
  sections: SECTIONS.filter(
    (name) => positionals.length === 0 || positionals.includes(name) || (name === "throughput" && groups.length > 0),
  ),
  threads: Number(values.threads),
  quick: values.quick,
  ...(groups.length > 0 && { groups }),
  onText: (text) => console.log(`${text}\n`),
});
console.log(formatMachine(results.machine));
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(results));
