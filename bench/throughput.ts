// Each case beside the machine's limit and plain JavaScript, at 1 and 2 threads. Every group has a pool of its own, and its memory.
import { NormPool, type SetMoments, type Tensor } from "../src/index.js";
import type { Case, Group } from "./cases.js";
import { reader, Tensors } from "./cells.js";
import { checkBackward, checkForward } from "./check.js";
import { Limit } from "./limit.js";
import { plainLayerNorm } from "./plain.js";
import { type Candidate, formatTable, median, medianRatio, type Samples, sample } from "./samples.js";

const ROUNDS = 15;
const LIMIT = "limit: y = 2x";
const LIMIT_IN_PLACE = "limit: x = 2x in place";
const PLAIN = "plain JavaScript LayerNorm";

/** Times that y = 2x moves its tensor's bytes. */
const LIMIT_MOVES = 3;

function bytesOf(tensors: Tensors, { dtype = "float32", shape }: Case): number {
  return tensors.get("x", dtype, shape).data.byteLength;
}

/** The case as a call, run once and checked. */
async function prepare(pool: NormPool, tensors: Tensors, of: Case): Promise<Candidate> {
  const { name, layer, shape, dtype = "float32", channelAxis } = of;
  const x = tensors.get("x", dtype, shape);
  const y = tensors.get("y", dtype === "uint8" ? "float32" : dtype, shape);
  const computation = layer.prepare(shape, { dtype, channelAxis, partOfBatch: false });
  if (of.backward !== true) {
    const forward = (input: Tensor) => pool.forward(layer, input, { out: y as Tensor<"float32">, channelAxis });
    await forward(x);
    // Evaluation reads statistics that no call here changes: what prepare saw still holds.
    checkForward(name, computation, dtype, reader(x), reader(y));
    return { name, run: () => forward(of.inPlace === true ? y : x) };
  }
  const gradOutput = tensors.get("g", dtype, shape);
  let moments: SetMoments | undefined;
  if (of.recompute !== true && computation.kind === "normalization") {
    moments = await pool.setMoments(layer, x, { channelAxis });
  }
  const backward = () => pool.backward(layer, { input: x, gradOutput, out: y, moments, channelAxis });
  await backward();
  checkBackward(name, computation, dtype, reader(x), reader(gradOutput), reader(y));
  return { name, run: backward };
}

interface Measured {
  readonly samples: Samples;
  readonly bytes: ReadonlyMap<string, number>;
  readonly limitBytes: number;
}

async function measure(group: Group, threads: number, rounds: number): Promise<Measured> {
  const pool = new NormPool({ threads });
  const tensors = new Tensors(pool);
  const bytes = new Map(group.cases.map((of) => [of.name, bytesOf(tensors, of)]));
  const limitBytes = Math.min(256 << 20, Math.max(...bytes.values()));
  // The limit's slices are whole: a power of 2 of cells, at most those of the group's tensors.
  const limit = new Limit(threads, 2 ** Math.floor(Math.log2(limitBytes / 4)));
  const candidates: Candidate[] = [
    { name: LIMIT, run: () => limit.outOfPlace() },
    { name: LIMIT_IN_PLACE, run: () => limit.inPlace() },
  ];
  for (const of of group.cases) candidates.push(await prepare(pool, tensors, of));
  if (threads === 1 && group.name === "float32") {
    const shape = [65_536, 1024];
    const x = tensors.get("x", "float32", shape).data as Float32Array;
    const y = tensors.get("y", "float32", shape).data as Float32Array;
    candidates.push({ name: PLAIN, run: async () => plainLayerNorm(x, y, 1024, 1e-5) });
  }
  const samples = await sample(candidates, rounds);
  await Promise.all([pool.close(), limit.close()]);
  return { samples, bytes, limitBytes: limit.bytes };
}

function row(group: Group, name: string, threads: number, { samples, bytes, limitBytes }: Measured, single?: number) {
  const of = group.cases.find((one) => one.name === name);
  const values = samples.get(name) ?? [];
  const milliseconds = median(values);
  const inPlace = of?.inPlace === true || name === LIMIT_IN_PLACE;
  const moved = inPlace ? LIMIT_MOVES : (of?.moved ?? LIMIT_MOVES);
  const size = bytes.get(name) ?? (name === PLAIN ? 256 << 20 : limitBytes);
  // The limit's time for as many bytes as the case moves.
  const share = (size / limitBytes) * (moved / LIMIT_MOVES);
  const ratio = medianRatio(samples, name, inPlace ? LIMIT_IN_PLACE : LIMIT) / share;
  return [
    name,
    String(threads),
    milliseconds.toFixed(1),
    `(${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`,
    ((size * moved) / milliseconds / 1e6).toFixed(1),
    ratio.toFixed(2),
    of?.floor?.toFixed(2) ?? "",
    single === undefined ? "" : (single / milliseconds).toFixed(2),
  ];
}

export async function throughput(
  groups: readonly Group[],
  threadCounts: readonly number[],
  rounds = ROUNDS,
): Promise<void> {
  console.log(`Throughput: medians of ${rounds} rounds (fastest to slowest).`);
  console.log(
    "GB/s counts each read, each write and the reads for ownership; the ratio is the median of the rounds' own ratios,",
  );
  console.log("to the limit's time for as many bytes.\n");
  for (const group of groups) {
    const table: string[][] = [[group.name, "threads", "ms", "", "GB/s", "ratio to limit", "floor", "times 1 thread"]];
    let single: Samples | undefined;
    for (const threads of threadCounts) {
      const measured = await measure(group, threads, rounds);
      for (const name of measured.samples.keys()) {
        table.push(row(group, name, threads, measured, single && median(single.get(name) ?? [])));
      }
      single ??= measured.samples;
    }
    console.log(`${formatTable(table)}\n`);
  }
}
