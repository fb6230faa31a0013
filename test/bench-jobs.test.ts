// The bench's section jobs: that it compares and measures what it says. No test fails on a time.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { compareFiles } from "../bench/jobs/cases.js";
import { measureJobs } from "../bench/jobs/measure.js";
import { describeJobs } from "../bench/jobs.js";
import { formatSection } from "../bench/text.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a quick run times a job's parts by two processes beside a pool of two threads, step by step", async () => {
  const shares: number[] = [];
  const options = { threads: 2, quick: true, memory: 2 ** 30, onShare: (share: number) => void shares.push(share) };
  const result = await measureJobs(options);
  expect(result).toMatchObject({ rounds: 1, processes: 2, bytes: 2 ** 26, partBytes: 2 ** 24 });
  expect(shares).toEqual([0.5]);
  const [batch, layer] = result.rows;
  expect([batch?.shape, layer?.shape]).toEqual([
    [16, 256, 64, 64],
    [65_536, 256],
  ]);
  for (const { job, pool, steps, ratio } of result.rows) {
    for (const time of [job, pool]) expect(time.samples).toHaveLength(1);
    expect(ratio).toBeGreaterThan(0);
    for (const step of [steps.plan, steps.apply, steps.finish]) expect(step).toBeGreaterThan(0);
  }
  expect(batch?.steps.merge).toBeGreaterThan(0);
  expect([layer?.steps.moments, layer?.steps.merge]).toEqual([0, 0]);
  expect(formatSection(describeJobs(result))).toContain("from a file of 64 MiB float32");
});

test("files that differ in a byte, or in length, are no result", async () => {
  const [a, b] = [join(folder, "a"), join(folder, "b")];
  const bytes = Buffer.alloc(10_000_000, 1);
  writeFileSync(a, bytes);
  writeFileSync(b, bytes);
  await compareFiles("same", a, b);
  writeFileSync(b, bytes.subarray(1));
  await expect(compareFiles("shorter", a, b)).rejects.toThrow("shorter");
  bytes[9_000_000] = 2;
  writeFileSync(b, bytes);
  await expect(compareFiles("other", a, b)).rejects.toThrow("differ");
});
