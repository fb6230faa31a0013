// Each kernel's bytes by its time, over sizes from a core's cache to memory, beside the machine's own limit y = 2x.
import { OutOfMemoryError } from "../src/index.js";
import { prepare } from "./call.js";
import type { Case } from "./cases.js";
import { Tensors } from "./cells.js";
import { caseOf, type Family, KERNELS, type Kernel } from "./kernels.js";
import { Limit } from "./limit.js";
import { BenchPool, type Place } from "./pool.js";
import { type Candidate, type Timing, timingOf } from "./samples.js";
import type { SectionOptions } from "./section.js";
import { formatBytes, formatThreads, type SectionText } from "./text.js";
import { LIMIT_MOVES } from "./throughput.js";
import { sampleTurns, type Turns } from "./turns.js";

const KIB = 1 << 10;
const SIZES = Array.from({ length: 10 }, (_, i) => 4 * KIB * 4 ** i);
const QUICK_SIZES = SIZES.slice(0, 5);
/** A backward call has three tensors. */
const TENSORS = 3;

const TURNS: Turns = { rounds: 4, milliseconds: 40, batchMilliseconds: 0.2 };
const QUICK_TURNS: Turns = { rounds: 2, milliseconds: 1, batchMilliseconds: 0 };
/** What the section may take, in milliseconds: on a slow machine the largest sizes are left out. */
const BUDGET = 70_000;

/** Above it, one thread is never the faster one. */
const LARGEST_ON_ONE = 4 << 20;

/** Kernels of one dtype and shape share their tensors. */
const GROUPS = [...new Set(KERNELS.map(groupOf))].map((group) => KERNELS.filter((kernel) => groupOf(kernel) === group));

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
  const turns = quick ? QUICK_TURNS : TURNS;
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
          points.push(...(await measureSize(pool, bytes, turns, share, signal)));
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
  turns: Turns,
  onShare: (share: number) => void,
  signal: AbortSignal | undefined,
): Promise<RooflinePoint[]> {
  const points: RooflinePoint[] = [];
  const limits = new Map<Place, number[]>(placesOf(bytes, pool.threads).map((place) => [place, []]));
  for (const [i, kernels] of GROUPS.entries()) {
    const tensors = new Tensors(pool.at());
    try {
      const candidates = await prepareGroup(pool, tensors, kernels, bytes, [...limits.keys()]);
      const samples = await sampleTurns(candidates, turns, (round) => {
        signal?.throwIfAborted();
        onShare((i + round / turns.rounds) / GROUPS.length);
      });
      for (const { name, family, moved } of kernels) {
        points.push({
          kernel: name,
          family,
          bytes,
          bytesMoved: bytes * moved,
          time: timingOf(samples.get(name) ?? []),
        });
      }
      for (const [place, all] of limits) all.push(...(samples.get(limitAt(place)) ?? []));
    } finally {
      tensors.dispose();
    }
  }
  const [best] = [...limits.values()].map(timingOf).sort((a, b) => a.median - b.median);
  points.push({ kernel: LIMIT, family: "limit", bytes, bytesMoved: bytes * LIMIT_MOVES, time: best ?? timingOf([]) });
  return points;
}

/** Kernels that share their tensors, to be sampled in turn; of float32 the limit too, on the same tensors. */
async function prepareGroup(
  pool: BenchPool,
  tensors: Tensors,
  kernels: readonly Kernel[],
  bytes: number,
  places: readonly Place[],
): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  const cases = kernels.map((kernel) => caseOf(kernel, bytes));
  for (const of of cases) candidates.push(await prepare(pool.at(), tensors, of));
  const { dtype, shape } = cases[0] as Case;
  if (dtype !== "float32") return candidates;
  const limit = new Limit(pool, tensors.get("x", dtype, shape), tensors.get("y", dtype, shape));
  const limits = places.map((place) => ({ name: limitAt(place), run: () => limit.outOfPlace(place) }));
  return [...candidates, ...limits];
}

/** Where the limit is measured: whichever is faster counts. */
function placesOf(bytes: number, threads: number): Place[] {
  return bytes > LARGEST_ON_ONE ? [threads] : [threads, "calling thread"];
}

function limitAt(place: Place): string {
  return `${LIMIT} ${place}`;
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
      `GB/s on up to ${formatThreads(threads)}, by the size of the input; medians of rounds in which each kernel of a dtype and shape has its turn.`,
      "GB/s counts each read, each write and the reads for ownership. Small tensors are computed on the calling thread, in its cache.",
    ],
    tables: [{ rows: [["", ...sizes.map(formatBytes)], ...lines] }],
    leftOut,
  };
}
