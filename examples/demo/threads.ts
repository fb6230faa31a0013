// 256 MiB at one thread and at two.
import { LayerNorm, NormPool } from "normpool";

const SHAPE = [65_536, 1024];
const CALLS = 9;

/** Milliseconds of the median call, in place. The first calls, which fault in memory, do not count. */
async function timeInPlace(threads: number): Promise<number> {
  const pool = new NormPool({ threads });
  const x = pool.tensor("float32", SHAPE);
  for (let i = 0; i < x.data.length; i++) x.data[i] = i % 1013;
  const layer = new LayerNorm(1024);
  const times: number[] = [];
  for (let call = -2; call < CALLS; call++) {
    const start = performance.now();
    await pool.forward(layer, x, { out: x });
    if (call >= 0) times.push(performance.now() - start);
  }
  await pool.close();
  return times.sort((a, b) => a - b)[CALLS >> 1] ?? Number.NaN;
}

export async function runThreads(): Promise<void> {
  console.log(`3. LayerNorm of [${SHAPE.join(", ")}] float32, 256 MiB, in place; median of ${CALLS} calls\n`);
  const one = await timeInPlace(1);
  const two = await timeInPlace(2);
  const rate = (milliseconds: number) => ((2 * 256 * 2 ** 20) / milliseconds / 1e6).toFixed(1);
  console.log(`  1 thread   ${one.toFixed(1).padStart(6)} ms  ${rate(one).padStart(5)} GB/s`);
  console.log(`  2 threads  ${two.toFixed(1).padStart(6)} ms  ${rate(two).padStart(5)} GB/s`);
  console.log(`  speed-up   ${(one / two).toFixed(2).padStart(6)}`);
}
