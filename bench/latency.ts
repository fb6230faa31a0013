// Small tensors: the time of one call, awaited before the next.
import { Bench } from "tinybench";
import { LayerNorm, NormPool } from "../src/index.js";
import { formatTable } from "./samples.js";

const SHAPES = [
  [1, 768],
  [16, 768],
  [128, 768],
  [1024, 768],
];

export async function latency(): Promise<void> {
  const pool = new NormPool();
  const layer = new LayerNorm(768);
  const bench = new Bench({ time: 500, warmupTime: 200 });
  for (const shape of SHAPES) {
    const x = pool.tensor("float32", shape);
    x.data.forEach((_, i) => {
      x.data[i] = i % 11;
    });
    const out = pool.tensor("float32", shape);
    bench.add(`[${shape}] into out`, async () => {
      await pool.forward(layer, x, { out });
    });
    bench.add(`[${shape}] new output`, async () => {
      await pool.forward(layer, x);
    });
  }
  await bench.run();
  await pool.close();
  const table = [["LayerNorm", "us a call", "", "calls"]];
  for (const { name, result } of bench.tasks) {
    if (result.state !== "completed") throw new Error(`${name}: ${result.state}`);
    const { p50, min, p99, samplesCount } = result.latency;
    const us = (milliseconds: number) => (milliseconds * 1000).toFixed(1);
    table.push([name, us(p50), `(${us(min)} to 99% ${us(p99)})`, String(samplesCount)]);
  }
  console.log(`Latency: one call after another, ${pool.threads} threads; median.\n\n${formatTable(table)}\n`);
}
