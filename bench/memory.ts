// Peak memory of a process that normalises 256 MiB, and what a small call allocates: in processes of their own, since a peak never
// comes down, and a collection in between would hide what was allocated.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { BatchNorm1d, LayerNorm, NormPool } from "../src/index.js";
import { ownPeak } from "./peak.js";
import type { SectionText } from "./text.js";

const SHAPE = [65_536, 1024];
const MIB = 1 << 20;
const SMALL_SHAPE = [16, 768];
const SMALL_CALLS = 10_000;

export interface MemoryResult {
  /** All in bytes. */
  readonly tensors: number;
  readonly peak: number;
  readonly bareNode: number;
  /** On JavaScript's heap, of ten thousand calls at once. */
  readonly allocatedPerCall: number;
}

export function measureMemory(): MemoryResult {
  const run = (...args: string[]) => execFileSync(process.execPath, args, { encoding: "utf8" });
  const script = fileURLToPath(import.meta.url);
  const { tensors, peak } = JSON.parse(run(script, "peak")) as { tensors: number; peak: number };
  const bareNode = Number(run(fileURLToPath(new URL("./peak.js", import.meta.url))));
  // So much new space that nothing is collected while the calls run.
  const allocatedPerCall = Number(
    run("--expose-gc", "--max-semi-space-size=256", "--min-semi-space-size=256", script, "calls"),
  );
  return { tensors, peak, bareNode, allocatedPerCall };
}

export function describeMemory({ tensors, peak, bareNode, allocatedPerCall }: MemoryResult): SectionText {
  const mib = (bytes: number) => `${(bytes / MIB).toFixed(0)} MiB`;
  return {
    title: "Memory",
    notes: [
      `LayerNorm and BatchNorm1d out of place and in place, 2 threads: peak ${mib(peak)}, of it tensors ${mib(tensors)}: ` +
        `${mib(peak - tensors)} beside them, of it ${mib(bareNode)} an empty Node process and ${mib(peak - tensors - bareNode)} normpool (at most 64 MiB).`,
      `Ten thousand calls of [${SMALL_SHAPE.join(", ")}] at once: ${allocatedPerCall.toFixed(0)} bytes allocated a call (at most 1,000).`,
    ],
    tables: [],
  };
}

async function measurePeak(): Promise<void> {
  const pool = new NormPool({ threads: 2 });
  const x = pool.tensor("float32", SHAPE);
  const y = pool.tensor("float32", SHAPE);
  x.data.fill(1);
  for (const layer of [new LayerNorm(1024), new BatchNorm1d(1024)]) {
    for (const out of [y, x]) await pool.forward(layer, x, { out });
  }
  const tensors = x.data.byteLength + y.data.byteLength;
  const peak = ownPeak();
  await pool.close();
  console.log(JSON.stringify({ tensors, peak }));
}

async function measureCalls(): Promise<void> {
  const pool = new NormPool();
  const layer = new LayerNorm(768);
  const x = pool.tensor("float32", SMALL_SHAPE);
  const out = pool.tensor("float32", SMALL_SHAPE);
  const calls: Promise<unknown>[] = new Array(SMALL_CALLS);
  const round = async () => {
    for (let i = 0; i < SMALL_CALLS; i++) calls[i] = pool.forward(layer, x, { out });
    await Promise.all(calls);
  };
  await round();
  await round();
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  await round();
  const bytes = process.memoryUsage().heapUsed - before;
  await pool.close();
  console.log(String(bytes / SMALL_CALLS));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === "peak") await measurePeak();
  else await measureCalls();
}
