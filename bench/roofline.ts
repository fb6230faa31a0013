// Each kernel's bytes by its time, over sizes from a core's cache to memory, beside the machine's own limit y = 2x.
import { OutOfMemoryError } from "../src/index.js";
import { prepare } from "./call.js";
import { Tensors } from "./cells.js";
import { caseOf, type Family, KERNELS, type Kernel } from "./kernels.js";
import { Limit } from "./limit.js";
import { BenchPool } from "./pool.js";
import { type Sampling, sampleOne, type Timing } from "./samples.js";
import type { SectionOptions } from "./section.js";
import { formatBytes, formatThreads, type SectionText } from "./text.js";
import { LIMIT_MOVES } from "./throughput.js";

const KIB = 1 << 10;
const SIZES = Array.from({ length: 10 }, (_, i) => 4 * KIB * 4 ** i);
const QUICK_SIZES = SIZES.slice(0, 5);
/** A backward call has three tensors. */
const TENSORS = 3;

const SAMPLING: Sampling = { milliseconds: 40, fewest: 4, batchMilliseconds: 0.2 };
const QUICK_SAMPLING: Sampling = { milliseconds: 1, fewest: 2, batchMilliseconds: 0 };
/** What the section may take, in milliseconds: on a slow machine the largest sizes are left out. */
const BUDGET = 70_000;

/** Above it, one thread is never the faster one. */
const LARGEST_ON_ONE = 4 << 20;

const GROUPS = [...new Set(KERNELS.map(groupOf))];

export const LIMIT = "limit: y = 2x";

export interface RooflinePoint {
  readonly kernel: string;
  readonly family: Family | "limit";
  /** Of the input. */
  readonly bytes: number;
  /** All that is moved, reads for ownership too. */
  readonly bytesMoved: number;
  readonly time: Timing;
}

export interface RooflineResult {
  readonly threads: number;
  readonly points: readonly RooflinePoint[];
  /** Sizes that were not measured, and why. */
  readonly leftOut: readonly string[];
}

export async function measureRoofline(options: SectionOptions): Promise<RooflineResult> {
  const { threads, quick, memory, onShare, signal } = options;
  const sampling = quick ? QUICK_SAMPLING : SAMPLING;
  const sizes = quick ? QUICK_SIZES : SIZES;
  const points: RooflinePoint[] = [];
  const leftOut: string[] = [];
  const started = performance.now();
  const pool = new BenchPool(threads);
  let previous = 0;
  try {
    for (const [i, bytes] of sizes.entries()) {
      const needed = TENSORS * bytes;
      const spent = performance.now() - started;
      if (needed > memory) {
        leftOut.push(
          `${formatBytes(bytes)}: ${formatBytes(needed)} of memory are needed, ${formatBytes(memory)} may be used`,
        );
      } else if (spent + 4 * previous > BUDGET) {
        leftOut.push(`${formatBytes(bytes)}: it would take too long on this machine`);
      } else {
        const share = (done: number) => onShare((i + done) / sizes.length);
        try {
          points.push(...(await measureSize(pool, bytes, sampling, share, signal)));
        } catch (error) {
          if (!(error instanceof OutOfMemoryError)) throw error;
          leftOut.push(`${formatBytes(bytes)}: ${error.message}`);
        }
        previous = performance.now() - started - spent;
      }
      onShare((i + 1) / sizes.length);
    }
  } finally {
    await pool.close();
  }
  return { threads, points, leftOut };
}

async function measureSize(
  pool: BenchPool,
  bytes: number,
  sampling: Sampling,
  onShare: (share: number) => void,
  signal: AbortSignal | undefined,
): Promise<RooflinePoint[]> {
  const calls = pool.at();
  const points: RooflinePoint[] = [];
  // Kernels of one dtype and shape after another: each group in the same memory.
  for (const group of GROUPS) {
    const tensors = new Tensors(calls);
    try {
      for (const kernel of KERNELS.filter((one) => groupOf(one) === group)) {
        signal?.throwIfAborted();
        const of = caseOf(kernel, bytes);
        const time = await sampleOne(await prepare(calls, tensors, of), sampling);
        points.push({ kernel: kernel.name, family: kernel.family, bytes, bytesMoved: bytes * kernel.moved, time });
        onShare(points.length / (KERNELS.length + 1));
      }
      if (group === GROUPS[0]) {
        const shape = caseOf(KERNELS[0] as Kernel, bytes).shape;
        const limit = new Limit(pool, tensors.get("x", "float32", shape), tensors.get("y", "float32", shape));
        const time = await sampleLimit(limit, sampling);
        points.push({ kernel: LIMIT, family: "limit", bytes, bytesMoved: bytes * LIMIT_MOVES, time });
      }
    } finally {
      tensors.dispose();
    }
  }
  return points;
}

/** On the calling thread or on all, whichever is faster. */
async function sampleLimit(limit: Limit, sampling: Sampling): Promise<Timing> {
  const workers = await sampleOne({ name: LIMIT, run: () => limit.outOfPlace() }, sampling);
  if (limit.bytes > LARGEST_ON_ONE) return workers;
  const one = await sampleOne({ name: LIMIT, run: () => limit.outOfPlace("calling thread") }, sampling);
  return one.median < workers.median ? one : workers;
}

function groupOf({ dtype, over }: Kernel): string {
  return `${dtype} ${over}`;
}

export function gigabytesPerSecond({ bytesMoved, time }: RooflinePoint): number {
  return bytesMoved / time.median / 1e6;
}

export function describeRoofline({ threads, points, leftOut }: RooflineResult): SectionText {
  const sizes = [...new Set(points.map(({ bytes }) => bytes))];
  const kernels = [...new Set([LIMIT, ...points.map(({ kernel }) => kernel)])];
  const lines = kernels.map((kernel) => [
    kernel,
    ...sizes.map((size) => {
      const found = points.find((point) => point.kernel === kernel && point.bytes === size);
      return found === undefined ? "" : gigabytesPerSecond(found).toFixed(1);
    }),
  ]);
  return {
    title: "Roofline",
    notes: [
      `GB/s on up to ${formatThreads(threads)}, by the size of the input; medians.`,
      "GB/s counts each read, each write and the reads for ownership. Small tensors are computed on the calling thread, in its cache.",
    ],
    tables: [{ rows: [["", ...sizes.map(formatBytes)], ...lines] }],
    leftOut,
  };
}
