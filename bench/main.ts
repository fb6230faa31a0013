// npm run bench [-- throughput latency memory]
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { latency } from "./latency.js";
import { memory } from "./memory.js";
import { throughput } from "./throughput.js";

const SECTIONS = {
  throughput: () => throughput([1, 2]),
  latency,
  memory: async () => memory(),
};

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
const unknown = asked.find((name) => !Object.hasOwn(SECTIONS, name));
if (unknown !== undefined) {
  console.error(`expected ${Object.keys(SECTIONS).join(", ")} but got ${unknown}`);
  process.exit(2);
}
console.log(
  `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}, commit ${commit()}\n`,
);
for (const [name, run] of Object.entries(SECTIONS)) if (asked.length === 0 || asked.includes(name)) await run();
