// npm run checksums: a SHA-256 of what every layer gives, by dtype, layout and way of running. A change that is to keep the bits is compared
// by it: print to a file before and after, and `diff` the two.
import { createHash } from "node:crypto";
import { type Dtype, NormPool, type SetMoments, SyncBatchNorm, type Tensor } from "../src/index.js";
import { CELL_BYTES } from "../src/plan/cells.js";
import { DTYPES } from "../src/tensor/dtype.js";
import { bytesOf } from "./cells.js";
import {
  batchNormCase,
  groupNormCase,
  instanceNormCase,
  type LayerCase,
  layerNormCase,
  localResponseNormCase,
  rmsNormCase,
} from "./layer-cases.js";
import { CASES, inputOf, layerFor, momentsOfBatch, PARTS } from "./same-bits-cases.js";

/** Those that the calling thread computes alone. */
const SMALL: readonly LayerCase[] = [
  layerNormCase([16], [768]),
  layerNormCase([3], [20_001]),
  layerNormCase([101], [7], { affine: false }),
  rmsNormCase([16], [768]),
  groupNormCase(2, [3, 6, 11, 13]),
  groupNormCase(2, [3, 11, 13, 6], { channelAxis: -1 }),
  instanceNormCase([3, 5, 300]),
  batchNormCase([64, 100]),
  batchNormCase([4, 3, 31, 37]),
  batchNormCase([4, 31, 7, 12], { channelAxis: -1 }),
  batchNormCase([64, 100], { runningMean: 1 }),
  localResponseNormCase(3, [2, 9, 50]),
];

const pools = [1, 3].map((threads) => new NormPool({ threads }));
const [one, three] = pools as [NormPool, NormPool];

/** Where input and output are, and who computes. */
const WAYS = [
  { name: "1 thread", pool: one, wrapped: false, inPlace: false },
  { name: "3 threads", pool: three, wrapped: false, inPlace: false },
  { name: "in place", pool: three, wrapped: false, inPlace: true },
  { name: "wrapped", pool: three, wrapped: true, inPlace: false },
  { name: "wrapped, in place", pool: three, wrapped: true, inPlace: true },
] as const;
type Way = (typeof WAYS)[number];

function print(dtype: Dtype, what: string, found: readonly (ArrayBufferView | null | undefined)[]): void {
  const hash = createHash("sha256");
  for (const array of found) hash.update(array ? bytesOf(array) : "none");
  console.log(`${hash.digest("hex").slice(0, 16)}  ${dtype}, ${what}`);
}

function tensorOf({ pool, wrapped }: Way, dtype: Dtype, shape: readonly number[], cells?: ArrayBufferView): Tensor {
  const bytes = CELL_BYTES[dtype];
  const { view } = DTYPES[dtype];
  const size = shape.reduce((a, b) => a * b, 1);
  const tensor = wrapped
    ? pool.wrap(view(new SharedArrayBuffer((size + 3) * bytes), 3 * bytes, size), shape, dtype)
    : pool.tensor(dtype, shape);
  const { buffer, byteOffset, byteLength } = tensor.data;
  if (cells !== undefined) new Uint8Array(buffer, byteOffset, byteLength).set(bytesOf(cells));
  return tensor;
}

async function forward(layerCase: LayerCase, dtype: Dtype, way: Way, moments?: SetMoments): Promise<void> {
  const { shape, channelAxis } = layerCase;
  const layer = layerFor(layerCase, dtype);
  using x = tensorOf(way, dtype, shape, inputOf(layerCase, dtype));
  using fresh = tensorOf(way, dtype === "uint8" ? "float32" : dtype, shape);
  const out = (way.inPlace && dtype !== "uint8" ? x : fresh) as Tensor<never>;
  let told: SetMoments | undefined;
  const onMoments = (found: SetMoments) => {
    told = found;
  };
  await way.pool.forward(layer, x, { out, channelAxis, onMoments, moments });
  const { runningMean, runningVar } = layer as { runningMean?: ArrayBufferView; runningVar?: ArrayBufferView };
  const found = [out.data, told?.mean, told?.m2, runningMean, runningVar];
  print(dtype, `${layerCase.name}: forward, ${way.name}`, found);
}

async function backward(layerCase: LayerCase, dtype: Dtype, way: Way): Promise<void> {
  const { shape, channelAxis } = layerCase;
  const layer = layerFor(layerCase, dtype);
  using input = tensorOf(way, dtype, shape, inputOf(layerCase, dtype));
  using gradOutput = tensorOf(way, dtype, shape, inputOf(layerCase, dtype, 12));
  let moments: SetMoments | undefined;
  const options = { input, gradOutput, channelAxis, out: way.inPlace ? gradOutput : undefined };
  if (!way.inPlace && layer.training && layerCase.mean !== "none") {
    moments = await way.pool.momentsOf(layer, input, { channelAxis });
    print(dtype, `${layerCase.name}: moments, ${way.name}`, [moments.mean, moments.m2]);
  }
  for (const saved of moments === undefined ? [undefined] : [undefined, moments]) {
    const { gradInput, gradWeight, gradBias } = await way.pool.backward(layer, { ...options, moments: saved });
    const how = saved === undefined ? "" : ", saved moments";
    print(dtype, `${layerCase.name}: backward, ${way.name}${how}`, [gradInput.data, gradWeight, gradBias]);
  }
}

async function sums(layerCase: LayerCase, dtype: Dtype, way: Way): Promise<void> {
  const { shape, channelAxis } = layerCase;
  const layer = layerFor(layerCase, dtype);
  if (!(layer instanceof SyncBatchNorm)) throw new Error(`${layer} merges no sums`);
  using input = tensorOf(way, dtype, shape, inputOf(layerCase, dtype));
  using gradOutput = tensorOf(way, dtype, shape, inputOf(layerCase, dtype, 12));
  const moments = momentsOfBatch(layerCase);
  const part = { input, gradOutput, moments, channelAxis };
  const found = await way.pool.gradientSums(layer, part);
  print(dtype, `${layerCase.name}: gradientSums, ${way.name}`, [found.sumDy, found.sumDyXmu]);
  const whole = { ...found, count: moments.count };
  const { gradInput, gradWeight, gradBias } = await way.pool.backward(layer, { ...part, sums: whole });
  print(dtype, `${layerCase.name}: backward of a part, ${way.name}`, [gradInput.data, gradWeight, gradBias]);
}

for (const dtype of Object.keys(DTYPES) as Dtype[]) {
  const cases = [...SMALL, ...CASES.map(([, layerCase]) => layerCase)];
  for (const way of WAYS) {
    for (const layerCase of cases) {
      await forward(layerCase, dtype, way);
      if (dtype !== "uint8") await backward(layerCase, dtype, way);
    }
    for (const [, layerCase] of PARTS) {
      await forward(layerCase, dtype, way, momentsOfBatch(layerCase));
      if (dtype !== "uint8") await sums(layerCase, dtype, way);
    }
    using x = tensorOf(way, dtype, [700_001], inputOf(layerNormCase([1], [700_001]), dtype));
    const { mean, m2 } = await way.pool.moments(x);
    print(dtype, `pool.moments, ${way.name}`, [Float64Array.of(mean, m2)]);
  }
}
await Promise.all(pools.map((pool) => pool.close()));
