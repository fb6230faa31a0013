// 256 MiB of float32 through each layer, beside the machine's limit and plain JavaScript, at 1 and 2 threads.
import {
  BatchNorm2d,
  GroupNorm,
  InstanceNorm2d,
  type Layer,
  LayerNorm,
  NormPool,
  RMSNorm,
  type Tensor,
} from "../src/index.js";
import { checkSets } from "./check.js";
import { Limit } from "./limit.js";
import { plainLayerNorm } from "./plain.js";
import { type Candidate, formatTable, median, medianRatio, type Samples, sample } from "./samples.js";

const ROWS = [65_536, 1024];
const PLANES = [32, 64, 181, 181];
const CELLS = 65_536 * 1024;
const ROUNDS = 15;

const LIMIT = "limit: y = 2x";
const LIMIT_IN_PLACE = "limit: x = 2x in place";
const PLAIN = "plain JavaScript LayerNorm";

interface Row {
  readonly name: string;
  readonly layer: Layer;
  readonly shape: readonly number[];
  readonly inPlace?: boolean;
  /** What the issue that built this asks for, as a ratio to the limit. */
  readonly floor?: number;
}

function rows(): Row[] {
  const trained = new LayerNorm(1024);
  trained.weight = Float32Array.from({ length: 1024 }, (_, i) => 0.5 + (i % 97) / 97);
  trained.bias = Float32Array.from({ length: 1024 }, (_, i) => (i % 89) / 89 - 0.5);
  return [
    { name: "LayerNorm", layer: new LayerNorm(1024), shape: ROWS, floor: 1.6 },
    { name: "LayerNorm in place", layer: new LayerNorm(1024), shape: ROWS, inPlace: true },
    { name: "LayerNorm, trained weights", layer: trained, shape: ROWS },
    { name: "RMSNorm", layer: new RMSNorm(1024), shape: ROWS },
    { name: "GroupNorm(32)", layer: new GroupNorm(32, 64), shape: PLANES, floor: 1.6 },
    { name: "InstanceNorm2d", layer: new InstanceNorm2d(64), shape: PLANES, floor: 1.6 },
    { name: "BatchNorm2d training", layer: new BatchNorm2d(64), shape: PLANES, floor: 2.4 },
    { name: "BatchNorm2d eval", layer: new BatchNorm2d(64).eval(), shape: PLANES, floor: 1.6 },
  ];
}

/** Median times by row, for the speed-up. */
async function measure(threads: number): Promise<Samples> {
  const pool = new NormPool({ threads });
  const limit = new Limit(threads, CELLS);
  const x = pool.tensor("float32", ROWS);
  const y = pool.tensor("float32", ROWS);
  let state = 1;
  for (let i = 0; i < CELLS; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    x.data[i] = 3 + (state / 2 ** 31) * 1.7;
  }
  const planes = {
    x: pool.from(
      x.data.subarray(
        0,
        PLANES.reduce((a, b) => a * b),
      ),
      PLANES,
    ),
    y: pool.tensor("float32", PLANES),
  };
  const operands = (row: Row): { x: Tensor<"float32">; y: Tensor<"float32"> } =>
    row.shape === ROWS ? { x, y } : planes;

  const candidates: Candidate[] = [
    { name: LIMIT, run: () => limit.outOfPlace() },
    { name: LIMIT_IN_PLACE, run: () => limit.inPlace() },
  ];
  for (const row of rows()) {
    const { x: from, y: to } = operands(row);
    const normalization = row.layer.prepare(from.shape, {
      dtype: "float32",
      channelAxis: undefined,
      partOfBatch: false,
    });
    await pool.forward(row.layer, from, { out: to });
    // Evaluation reads statistics that no call here changes: what prepare saw still holds.
    checkSets(row.name, normalization, from.data, to.data);
    candidates.push({ name: row.name, run: () => pool.forward(row.layer, row.inPlace ? to : from, { out: to }) });
  }
  if (threads === 1) candidates.push({ name: PLAIN, run: async () => plainLayerNorm(x.data, y.data, 1024, 1e-5) });
  const samples = await sample(candidates, ROUNDS);
  await Promise.all([pool.close(), limit.close()]);
  return samples;
}

export async function throughput(threadCounts: readonly number[]): Promise<void> {
  console.log(
    `Throughput: 256 MiB float32, [${ROWS}] and [${PLANES}]; median of ${ROUNDS} rounds (fastest to slowest).`,
  );
  console.log("GB/s counts one read and one write of the tensor; the ratio is the median of the rounds' own ratios.\n");
  const measured = new Map<number, Samples>();
  for (const threads of threadCounts) measured.set(threads, await measure(threads));
  const floors = new Map(rows().map(({ name, floor }) => [name, floor]));
  const table: string[][] = [["", "threads", "ms", "", "GB/s", "ratio to limit", "floor", "times 1 thread"]];
  for (const [threads, samples] of measured) {
    for (const [name, values] of samples) {
      const inPlace = name.endsWith("in place");
      const milliseconds = median(values);
      const floor = floors.get(name);
      const single = median(measured.get(threadCounts[0] ?? 1)?.get(name) ?? []);
      table.push([
        name,
        String(threads),
        milliseconds.toFixed(1),
        `(${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`,
        ((2 * CELLS * 4) / milliseconds / 1e6).toFixed(1),
        medianRatio(samples, name, inPlace ? LIMIT_IN_PLACE : LIMIT).toFixed(2),
        floor?.toFixed(2) ?? "",
        threads === threadCounts[0] ? "" : (single / milliseconds).toFixed(2),
      ]);
    }
  }
  console.log(`${formatTable(table)}\n`);
}
