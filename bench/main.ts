// npm run bench [-- throughput latency memory], or one group of throughput: npm run bench -- backward
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { GROUPS } from "./cases.js";
import { latency } from "./latency.js";
import { memory } from "./memory.js";
import { throughput } from "./throughput.js";

const THREADS = [1, 2];
const SECTIONS: Record<string, () => Promise<void>> = {
  throughput: () => throughput(GROUPS, THREADS),
  latency,
  memory: async () => memory(),
};

/** Sections that are part of another: run only when asked for. */
const PARTS: Record<string, () => Promise<void>> = Object.fromEntries(
  GROUPS.map((group) => [group.name.replaceAll(" ", "-"), () => throughput([group], THREADS)]),
);

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "not a checkout";
  }
}

const asked = process.argv.slice(2);
const all = { ...SECTIONS, ...PARTS };
const unknown = asked.find((name) => !Object.hasOwn(all, name));
if (unknown !== undefined) {
  console.error(`expected ${Object.keys(all).join(", ")} but got ${unknown}`);
  process.exit(2);
}
console.log(
  `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}, commit ${commit()}\n`,
);
for (const [name, run] of Object.entries(asked.length === 0 ? SECTIONS : all)) {
  if (asked.length === 0 || asked.includes(name)) await run();
}
