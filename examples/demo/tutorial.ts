// The worked examples of the PyTorch tutorial on normalisation layers: tensors whose channel i is all i + 1.
import {
  BatchNorm2d,
  GroupNorm,
  InstanceNorm2d,
  type Layer,
  LayerNorm,
  NormPool,
  type Shape,
  type Tensor,
} from "normpool";

/** A [N, C, H, W] tensor whose channel i is all i + 1. */
function channelRamp(pool: NormPool, shape: Shape): Tensor<"float32"> {
  const [n = 0, c = 0, h = 0, w = 0] = shape;
  const x = pool.tensor("float32", shape);
  for (let i = 0; i < n * c; i++) x.data.fill(1 + (i % c), i * h * w, (i + 1) * h * w);
  return x;
}

/** The first sample's channels, a line each, with equal neighbours said once. */
function formatChannels(y: Tensor<"float32">): string {
  const [, c = 0, h = 0, w = 0] = y.shape;
  return Array.from({ length: c }, (_, i) => {
    const cells = y.data.subarray(i * h * w, (i + 1) * h * w);
    const row = Array.from(cells.subarray(0, w), (value) => format(value)).join(" ");
    return `    channel ${i}  ${h} rows of ${row}${cells.every((cell) => cell === cells[0]) ? "" : " ..."}`;
  }).join("\n");
}

function format(value: number): string {
  return (Object.is(value, -0) ? 0 : value).toFixed(4).padStart(7);
}

async function show(pool: NormPool, title: string, set: string, layer: Layer, shape: Shape): Promise<void> {
  const y = await pool.forward(layer, channelRamp(pool, shape));
  console.log(`  ${title} of [${shape.join(", ")}]\n    a set is ${set}\n${formatChannels(y)}`);
}

function showRunning({ runningMean, runningVar }: BatchNorm2d | InstanceNorm2d): void {
  const list = (values: ArrayLike<number> | null) => Array.from(values ?? [], (value) => value.toFixed(4)).join(", ");
  console.log(`    running mean ${list(runningMean)}; running variance ${list(runningVar)}`);
}

export async function runTutorial(): Promise<void> {
  console.log(
    "1. The worked examples of PyTorch's layers: every input cell of channel i is i + 1; the first sample's output\n",
  );
  const pool = new NormPool();
  await show(
    pool,
    "LayerNorm([3, 3, 4])",
    "one sample: all its channels and space",
    new LayerNorm([3, 3, 4]),
    [8, 3, 3, 4],
  );
  const instance = new InstanceNorm2d(3, { momentum: 0.3, trackRunningStats: true });
  await show(pool, "InstanceNorm2d(3)", "one channel of one sample: its space", instance, [3, 3, 2, 2]);
  showRunning(instance);
  await show(pool, "GroupNorm(2, 4)", "two channels of one sample, and their space", new GroupNorm(2, 4), [2, 4, 2, 2]);
  const batch = new BatchNorm2d(3);
  await show(pool, "BatchNorm2d(3)", "one channel of all samples, and its space", batch, [8, 3, 3, 4]);
  showRunning(batch);
  console.log("");
  await pool.close();
}
