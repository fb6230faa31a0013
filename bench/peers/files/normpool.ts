import { NormPool, StandardScaler } from "../../../src/index.js";
import { describeMachine } from "../../machine.js";
import type { FileProgram, Job } from "./job.js";

/** One pool for all runs, as a program has. */
let pool: NormPool | undefined;

export async function startNormpool(): Promise<FileProgram> {
  return { version: describeMachine().normpool, run };
}

async function run({ input, output, threads }: Job): Promise<number> {
  pool ??= new NormPool({ threads });
  const start = performance.now();
  const x = await pool.open(input, { dtype: "float32" });
  const scaler = await new StandardScaler().fit(pool, x);
  using y = await pool.create(output, "float32", x.shape);
  await scaler.transform(pool, x, { out: y });
  const taken = performance.now() - start;
  // Syncs, which no peer does.
  await y.commit();
  return taken;
}
