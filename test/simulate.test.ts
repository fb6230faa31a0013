// The model of jobs on many machines: its own laws, on no clock. And that it measures what it says. No test fails on a time.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { type Cluster, type Costs, LIMITS, MOST_PARTS, partsOf, simulateJob } from "../bench/simulate/job.js";
import { LAYERS, workOf } from "../bench/simulate/layers.js";
import { type Failures, type PhaseModel, runPhase } from "../bench/simulate/phase.js";
import { seeded } from "../bench/simulate/random.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-simulate-"));
afterAll(() => rmSync(folder, { recursive: true }));

const PLAIN: PhaseModel = {
  parts: 24,
  partBytes: 100,
  workers: 1,
  own: 50,
  shared: Number.POSITIVE_INFINITY,
  partSeconds: 0.5,
  handOverSeconds: 0,
  failures: null,
};
const FAILURES: Failures = { everySeconds: 20, lockSeconds: 3, backSeconds: 5, seed: 1 };

/** Of all kinds: more and fewer parts than workers, with and without limits and waits. */
const MODELS = Array.from({ length: 40 }, (_, i): PhaseModel => {
  const random = seeded(i);
  const pick = (...values: number[]) => values[Math.floor(random() * values.length)] as number;
  return {
    parts: 1 + Math.floor(random() * 60),
    partBytes: 1 + random() * 1000,
    workers: 1 + Math.floor(random() * 12),
    own: 10 + random() * 100,
    shared: pick(20, 100, 500, Number.POSITIVE_INFINITY),
    partSeconds: pick(0, 0.1, 5),
    handOverSeconds: pick(0, 0.01, 1),
    failures: null,
  };
});

/** Sums are rounded. */
const ROUNDING = 1e-9;

describe("a phase", () => {
  test.each(MODELS)(
    "moves the bytes of each part once, no faster than any limit and no slower than all (model %#)",
    (model) => {
      const { parts, partBytes, workers, own, shared, partSeconds, handOverSeconds } = model;
      const { seconds, movedBytes, lostBytes, lostParts } = runPhase(model);
      expect([movedBytes, lostBytes, lostParts]).toEqual([parts * partBytes, 0, 0]);
      const bounds = [
        (parts * partBytes) / shared,
        (parts * (partSeconds + partBytes / own)) / workers,
        parts * handOverSeconds,
        handOverSeconds + partSeconds + partBytes / own,
      ];
      expect(seconds * (1 + ROUNDING)).toBeGreaterThanOrEqual(Math.max(...bounds));
      // Each worker has a part at a time, and moves it with its own share at least.
      const slowest = partSeconds + partBytes / Math.min(own, shared / workers) + workers * handOverSeconds;
      expect(seconds * (1 - ROUNDING)).toBeLessThanOrEqual(Math.ceil(parts / workers) * slowest);
    },
  );

  test.each(MODELS)("by one worker takes the sum of its parts (model %#)", (model) => {
    const { parts, partBytes, own, shared, partSeconds, handOverSeconds } = model;
    const { seconds } = runPhase({ ...model, workers: 1 });
    const sum = parts * (handOverSeconds + partSeconds + partBytes / Math.min(own, shared));
    expect(Math.abs(seconds / sum - 1)).toBeLessThan(ROUNDING);
  });

  test("is never slower with more workers, where they share nothing", () => {
    let before = Number.POSITIVE_INFINITY;
    for (let workers = 1; workers <= 30; workers++) {
      const { seconds } = runPhase({ ...PLAIN, workers });
      expect(seconds).toBeLessThanOrEqual(before);
      expect(seconds).toBeCloseTo(Math.ceil(PLAIN.parts / workers) * 2.5, 9);
      before = seconds;
    }
  });

  test("is faster with more workers until what they share is all used, and then no more", () => {
    const times = [1, 2, 3, 4, 6, 8, 12, 24].map(
      (workers) => runPhase({ ...PLAIN, workers, partSeconds: 0, shared: 4 * PLAIN.own }).seconds,
    );
    for (const [i, expected] of [48, 24, 16, 12, 12, 12, 12, 12].entries()) expect(times[i]).toBeCloseTo(expected, 9);
  });

  test("waits for a queue that gives parts slower than they are done", () => {
    const { seconds } = runPhase({ ...PLAIN, workers: 24, handOverSeconds: 10 });
    expect(seconds).toBeCloseTo(24 * 10 + 2.5, 9);
  });
});

describe("workers that are lost", () => {
  test.each(MODELS)("only add, where nothing is shared, and what they had begun is done again (model %#)", (model) => {
    const alone = { ...model, shared: Number.POSITIVE_INFINITY, handOverSeconds: 0 };
    const { parts, partBytes } = model;
    const least = runPhase(alone).seconds;
    for (let seed = 0; seed < 5; seed++) {
      const everySeconds = Math.max(20, least / 2);
      const { seconds, movedBytes, lostBytes, lostParts } = runPhase({
        ...alone,
        failures: { ...FAILURES, everySeconds, seed },
      });
      expect(seconds * (1 + ROUNDING)).toBeGreaterThanOrEqual(least);
      expect(movedBytes).toBe(parts * partBytes + lostBytes);
      expect(lostBytes).toBeLessThanOrEqual(lostParts * partBytes * (1 + ROUNDING));
    }
  });

  test("make nothing faster than what is shared", () => {
    for (let seed = 0; seed < 20; seed++) {
      const model = { ...PLAIN, workers: 8, shared: 100, failures: { ...FAILURES, seed } };
      const { seconds, movedBytes } = runPhase(model);
      expect(seconds * (1 + ROUNDING)).toBeGreaterThanOrEqual(movedBytes / 100);
    }
  });

  test("are the same ones in each run of a seed", () => {
    const run = (seed: number) => runPhase({ ...PLAIN, workers: 5, failures: { ...FAILURES, seed } });
    const runs = Array.from({ length: 10 }, (_, seed) => run(seed));
    expect(runs.some(({ lostParts }) => lostParts > 0)).toBe(true);
    expect(new Set(runs.map(({ seconds }) => seconds)).size).toBeGreaterThan(1);
    for (const [seed, made] of runs.entries()) expect(run(seed)).toEqual(made);
  });

  test("hold up a part for the lock's time", () => {
    // One worker, lost once in its only part, and another at once in its place.
    const once = { everySeconds: 3, lockSeconds: 100, backSeconds: 0 };
    const model = { ...PLAIN, parts: 1, partBytes: 100 };
    const found = Array.from({ length: 50 }, (_, seed) => runPhase({ ...model, failures: { ...once, seed } })).find(
      ({ lostParts }) => lostParts === 1,
    );
    expect(found?.seconds).toBeGreaterThan(100);
    expect(found?.seconds).toBeLessThan(100 + 2 * 2.5);
  });
});

const COSTS: Costs = {
  momentsRate: 3e9,
  applyRate: 2e9,
  mergeRate: 1e9,
  planSeconds: 0.01,
  mergeSeconds: 0.01,
  finishSeconds: 0.01,
  momentsPartSeconds: 0.005,
  applyPartSeconds: 0.01,
  mergePartSeconds: 0.0005,
  finishPartSeconds: 0.0005,
};
const CLUSTER: Cluster = {
  workers: 10,
  costs: COSTS,
  shared: { moments: 1e11, apply: 1e11 },
  startSeconds: 0,
  queueRate: 3600,
  failures: null,
};

describe("a job", () => {
  const [planes, columns, last, rows] = LAYERS.map((layer) => workOf(layer, 2 ** 40));

  test("leaves partials as its plan does: 1/4096 of float32 in full segments, 1/1024 in columns, none of sets in a cache", () => {
    expect(planes).toEqual({ bytes: 2 ** 40, partialsBytes: 2 ** 28 });
    expect(columns).toEqual({ bytes: 2 ** 40, partialsBytes: 2 ** 30 });
    expect(last).toEqual({ bytes: 2 ** 40, partialsBytes: 2 ** 32 });
    expect(rows).toEqual({ bytes: 2 ** 40, partialsBytes: 0 });
  });

  test("takes the sum of its steps, and has no merge where it has no moments", () => {
    for (const work of [planes, rows]) {
      const { stages, seconds } = simulateJob(work as NonNullable<typeof work>, CLUSTER, 4096);
      expect(stages.map(({ name }) => name)).toEqual(
        work === rows ? ["plan", "apply", "finish"] : ["plan", "moments", "merge", "apply", "finish"],
      );
      expect(seconds).toBeCloseTo(
        stages.reduce((sum, stage) => sum + stage.seconds, 0),
        9,
      );
    }
  });

  test("has no more parts than its folder may have files of", () => {
    expect([1, 2 ** 28, 2 ** 28 + 1, 2 ** 40, 2 ** 60].map((bytes) => partsOf(bytes, 2 ** 28))).toEqual([
      1,
      1,
      2,
      4096,
      MOST_PARTS,
    ]);
  });

  test.each<[(typeof LIMITS)[number], Partial<Cluster>, number]>([
    ["machines", { workers: 2 }, 4096],
    ["storage", { workers: 1000 }, 4096],
    ["queue", { workers: 1000, queueRate: 10 }, 4096],
    ["merge", { costs: { ...COSTS, mergeRate: 1e5 } }, 4096],
    ["finish", { costs: { ...COSTS, finishPartSeconds: 1 } }, 4096],
    ["start and end of parts", { startSeconds: 10 }, 4096],
    ["too few parts", { workers: 1000 }, 4],
  ])("says that %s are what limits it", (limit, change, parts) => {
    const { limit: found, share } = simulateJob(
      { bytes: 2 ** 40, partialsBytes: 2 ** 28 },
      { ...CLUSTER, ...change },
      parts,
    );
    expect(found).toBe(limit);
    expect(share).toBeGreaterThan(1 / LIMITS.length);
  });

  test("has its luck from a seed, another in each phase", () => {
    const failures = { ...FAILURES, everySeconds: 100, seed: 7 };
    const run = () => simulateJob({ bytes: 2 ** 40, partialsBytes: 2 ** 28 }, { ...CLUSTER, failures }, 1000);
    expect(run()).toEqual(run());
    expect(run().lostParts).toBeGreaterThan(0);
    expect(run().seconds).toBeGreaterThan(
      simulateJob({ bytes: 2 ** 40, partialsBytes: 2 ** 28 }, CLUSTER, 1000).seconds,
    );
  });
});

describe("npm run simulate", () => {
  const script = fileURLToPath(new URL("../bench/simulate/main.js", import.meta.url));
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, "--quick", ...args], {
      cwd: folder,
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };

  test("measures constants, holds the model against runs of 1 to 4 processes, and leaves nothing but what it writes", () => {
    const { status, stdout, stderr } = run("--folder", folder, "--json", "all.json");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^Constants: [\s\S]*\nThe model beside this machine: [\s\S]*\nScale: [\s\S]*\nMerge: /);
    const { moments, plain, held } = JSON.parse(readFileSync(join(folder, "all.json"), "utf8"));
    for (const [name, value] of Object.entries(moments.costs)) {
      expect(value, name).toBeGreaterThanOrEqual(0);
    }
    for (const { costs, shared } of [moments, plain]) {
      expect(costs.applyRate).toBeGreaterThan(0);
      expect(shared.apply).toBeGreaterThan(0);
    }
    expect(held).toHaveLength(2);
    for (const { rows } of held) {
      expect(rows.map(({ processes }: { processes: number }) => processes)).toEqual([1, 2, 3, 4]);
      for (const { predicted, measured } of rows) {
        for (const times of [predicted, measured]) {
          expect(times.plan).toBeGreaterThan(0);
          expect(times.apply).toBeGreaterThan(0);
        }
      }
    }
  });

  test("takes what an earlier run measured, and what options say of other machines: the same each time", () => {
    const machine = {
      cpu: "A processor",
      cores: 2,
      memory: 2 ** 34,
      platform: "linux x64",
      node: "v20",
      normpool: "1",
    };
    const measured = { costs: COSTS, shared: { moments: 4e9, apply: 3e9 }, startSeconds: 0.2 };
    const earlier = { machine: { ...machine, commit: null, date: "" }, moments: measured, plain: measured, held: [] };
    writeFileSync(join(folder, "earlier.json"), JSON.stringify(earlier));
    const texts = ["postgres", "none"].map((queue) => {
      const once = run("--from", "earlier.json", "--queue", queue, "--machine-gbps", "2", "--storage-gbps", "10");
      expect(once).toMatchObject({ status: 0, stderr: "" });
      expect(run("--from", "earlier.json", "--queue", queue, "--machine-gbps", "2", "--storage-gbps", "10")).toEqual(
        once,
      );
      return once.stdout;
    });
    expect(texts[0]).toContain(
      "machines that move 2.00 and 2.00 GB/s in moments and apply, storage that moves 10 GB/s for all",
    );
    expect(texts[0]).toContain("a queue that gives 1100 parts a second");
    expect(texts[1]).toContain("no queue");
  });

  test("names an option that is no number, and a queue that there is not, before it measures anything", () => {
    for (const [option, value] of [
      ["--queue", "mail"],
      ["--storage-gbps", "fast"],
      ["--seed", "-1"],
    ] as const) {
      const { status, stdout, stderr } = run("--from", "none.json", `${option}=${value}`);
      expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
      expect(stderr).toContain(`for ${option} but got ${value}`);
    }
  });
});
