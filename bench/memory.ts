// Peak memory of a process that normalises 256 MiB: in a process of its own, since a peak never comes down.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { BatchNorm1d, LayerNorm, NormPool } from "../src/index.js";

const SHAPE = [65_536, 1024];
const MIB = 1 << 20;

interface Peak {
  readonly tensors: number;
  readonly peak: number;
}

export function memory(): void {
  const run = (...args: string[]) => execFileSync(process.execPath, args, { encoding: "utf8" });
  const { tensors, peak } = JSON.parse(run(fileURLToPath(import.meta.url), "measure")) as Peak;
  const bare = Number(run("-p", "process.resourceUsage().maxRSS")) * 1024;
  const mib = (bytes: number) => `${(bytes / MIB).toFixed(0)} MiB`;
  console.log(
    `Memory: LayerNorm and BatchNorm1d out of place and in place, 2 threads: peak ${mib(peak)}, of it tensors ${mib(tensors)}: ` +
      `${mib(peak - tensors)} beside them, of it ${mib(bare)} an empty Node process and ${mib(peak - tensors - bare)} normpool (floor 64 MiB).\n`,
  );
}

async function measure(): Promise<void> {
  const pool = new NormPool({ threads: 2 });
  const x = pool.tensor("float32", SHAPE);
  const y = pool.tensor("float32", SHAPE);
  x.data.fill(1);
  for (const layer of [new LayerNorm(1024), new BatchNorm1d(1024)]) {
    for (const out of [y, x]) await pool.forward(layer, x, { out });
  }
  const tensors = x.data.byteLength + y.data.byteLength;
  const peak = process.resourceUsage().maxRSS * 1024;
  await pool.close();
  console.log(JSON.stringify({ tensors, peak } satisfies Peak));
}

if (process.argv[2] === "measure") await measure();
