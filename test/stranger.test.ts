// A stranger's path: the packed package in a strict project of its own, and the programs of docs/recipes.md and
// docs/clusters.md compiled and run there.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT, readDocument, run, runScript, snippetsOf, TSC } from "./programs.js";

/** By the heading that has it. */
const RECIPES = {
  unit: "Embeddings to unit length",
  unitFiles: "Embeddings in files to unit length",
  dataset: "A data set's mean and deviation",
  images: "Images in files, by a data set's mean and deviation",
  scaler: "A standardiser over many files",
  running: "BatchNorm's running statistics of a whole data set",
  model: "A model's layer from a safetensors file",
  server: "A server",
  job: "In a program",
};
/** What `tsc --init` says, and what finds fault with a package's types. */
const COMPILER_OPTIONS = {
  module: "nodenext",
  target: "esnext",
  types: ["node"],
  outDir: "out",
  rootDir: ".",
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noPropertyAccessFromIndexSignature: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  skipLibCheck: false,
};

const project = mkdtempSync(join(tmpdir(), "normpool-stranger-"));
afterAll(() => rmSync(project, { recursive: true }));

beforeAll(() => {
  // After the build, which prepack would do again under the tests that run.
  const tarball = run(ROOT, "npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", project).trim();
  run(project, "tar", "-xzf", tarball);
  const modules = join(project, "node_modules");
  mkdirSync(modules);
  renameSync(join(project, "package"), join(modules, "normpool"));
  const { dependencies } = JSON.parse(readDocument("package.json")) as { dependencies: Record<string, string> };
  for (const name of [...Object.keys(dependencies), "typescript", "@types/node"]) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(ROOT, "node_modules", name), join(modules, name), "junction");
  }
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "stranger", private: true, type: "module" }));
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({ compilerOptions: COMPILER_OPTIONS, include: ["*.ts"] }),
  );
  const sections = ["docs/recipes.md", "docs/clusters.md"].flatMap((name) => readDocument(name).split(/^## /m));
  for (const [name, heading] of Object.entries(RECIPES)) {
    const section = sections.find((text) => text.startsWith(`${heading}\n`));
    writeFileSync(join(project, `${name}.ts`), snippetsOf(section ?? "").join("\n"));
  }
});

test("the recipes compile against the packed package, its types and those of Node.js too", () => {
  expect(runScript(project, TSC, "-p", project)).toBe("");
});

test("embeddings come to length 1, and their dot products are cosines", () => {
  const vector = (row: number) => Array.from({ length: 768 }, (_, i) => Math.fround(Math.sin(row + i * i)));
  const [a, b] = [vector(7), vector(8)];
  const dot = a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
  const [printed] = linesOf("unit");
  expect(printed).toEqual({
    length: expect.closeTo(1, 6),
    cosine: expect.closeTo(dot / Math.hypot(...a) / Math.hypot(...b), 6),
  });
});

test("a job of several parts is done", () => {
  expect(linesOf("job")).toEqual(["true"]);
});

test("embeddings in a file come to length 1", () => {
  expect(linesOf("unitFiles")).toEqual([{ shape: [2000, 256], length: expect.closeTo(1, 6) }]);
});

test("a data set's statistics are those of all its images, and what images are normalised with", () => {
  const sums = Array.from({ length: 3 }, () => ({ count: 0, sum: 0, squares: 0 }));
  for (const images of [32, 32, 32, 5]) {
    for (let i = 0; i < images * 96 * 96 * 3; i++) {
      const value = (i % 3) * 60 + ((i * 7919) % 101);
      const channel = sums[i % 3] as (typeof sums)[number];
      channel.count++;
      channel.sum += value;
      channel.squares += value * value;
    }
  }
  const mean = sums.map(({ count, sum }) => sum / count);
  const deviation = sums.map(({ count, squares }, c) => Math.sqrt(squares / count - (mean[c] as number) ** 2));
  const first = mean.map((m, c) => (c * 60 + ((c * 7919) % 101) - m) / (deviation[c] as number));

  const [statistics, ...normalised] = linesOf("dataset");
  expect(statistics).toEqual({
    count: 101 * 96 * 96,
    mean: mean.map((m) => expect.closeTo(m, 9)),
    deviation: deviation.map((d) => expect.closeTo(d, 9)),
  });
  expect(normalised).toEqual(
    [32, 32, 32, 5].map((n) => ({ shape: [n, 96, 96, 3], first: first.map((y) => expect.closeTo(y, 5)) })),
  );
});

test("images in files are normalised by the statistics of all files", () => {
  const value = (file: number, i: number) => (i % 3) * 60 + ((i * 7919) % 101) + 10 * file;
  const pixels = [20, 7].flatMap((images, file) =>
    Array.from({ length: images * 32 * 32 }, (_, row) => [0, 1, 2].map((c) => value(file, 3 * row + c))),
  );
  const { mean, variance } = statisticsOf(pixels);
  const first = (file: number) =>
    mean.map((m, c) => expect.closeTo((value(file, c) - m) / Math.sqrt((variance[c] as number) + 1e-5), 4));
  expect(linesOf("images")).toEqual([
    { shape: [20, 32, 32, 3], first: first(0) },
    { shape: [7, 32, 32, 3], first: first(1) },
  ]);
});

test("a standardiser has the statistics of all files, and its inverse is what there was", () => {
  const rows: number[][] = [];
  for (const [file, samples] of [3000, 500].entries()) {
    for (let row = 0; row < samples; row++) {
      rows.push(Array.from({ length: 6 }, (_, c) => file * 7 + c * 10 + (((row * 6 + c) * 7919) % 101)));
    }
  }
  const { mean, variance } = statisticsOf(rows);
  const scale = variance.map(Math.sqrt);
  const first = rows[3000] as number[];
  expect(linesOf("scaler")).toEqual([
    { samples: 3500, mean: mean.map((m) => expect.closeTo(m, 5)), scale: scale.map((s) => expect.closeTo(s, 5)) },
    {
      y: first.map((x, c) => expect.closeTo((x - (mean[c] as number)) / (scale[c] as number), 5)),
      back: first.map((x) => expect.closeTo(x, 4)),
    },
  ]);
});

test("running statistics are those of all samples, not of batches averaged", () => {
  const all = [64, 64, 64, 3].map((samples, batch) =>
    Array.from({ length: samples }, (_, row) =>
      Array.from({ length: 4 }, (_, c) => (batch === 3 ? 60 : 0) + c + (((row * 4 + c) * 7919) % 51)),
    ),
  );
  const { mean, variance } = statisticsOf(all.flat());
  const ofBatches = all.map((rows) => statisticsOf(rows).mean);
  const averaged = mean.map((_, c) => ofBatches.reduce((sum, means) => sum + (means[c] as number), 0) / 4);
  expect(linesOf("running")).toEqual([
    { exact: mean.map((m) => expect.closeTo(m, 4)), averaged: averaged.map((m) => expect.closeTo(m, 4)) },
    { variance: variance.map((v) => expect.closeTo((v * 195) / 194, 3)) },
  ]);
  expect(Math.abs((averaged[0] as number) - (mean[0] as number))).toBeGreaterThan(1);
});

test("a model's layer has the weights of its file", () => {
  const row = Array.from({ length: 512 }, (_, i) => [(i * 7919) % 1009]);
  const { mean, variance } = statisticsOf(row);
  const first = [0, 1].map((i) => {
    const normalised = ((row[i]?.[0] as number) - (mean[0] as number)) / Math.sqrt((variance[0] as number) + 1e-5);
    return expect.closeTo((1 + i / 512) * normalised + 1 + i / 512, 4);
  });
  expect(linesOf("model")).toEqual([{ layer: "LayerNorm((512,), eps=1e-05, elementwise_affine=True)", first }]);
});

test("a server answers clients at once, outlives those that leave and refuses what is wrong; calls are given up", () => {
  const row = Array.from({ length: 1024 }, (_, i) => (i * 7919) % 1009);
  const mean = row.reduce((sum, x) => sum + x, 0) / 1024;
  const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 1024;
  expect(linesOf("server")).toEqual([
    { statuses: new Array(8).fill(200), first: expect.closeTo(-mean / Math.sqrt(variance + 1e-5), 6), same: true },
    { left: "TimeoutError", refused: 400, why: "expected rows of 1024 float32" },
    "fulfilled",
    "fulfilled",
    "aborted: Error: not needed any more",
    "aborted: TimeoutError: The operation was aborted due to timeout",
  ]);
});

test("the command of the packed package answers", () => {
  expect(runScript(project, join(project, "node_modules/normpool/dist/src/cli/main.js"), "--help")).toContain(
    "layer-norm",
  );
});

/** By column; the variance is biased. */
function statisticsOf(rows: readonly (readonly number[])[]): { mean: number[]; variance: number[] } {
  const average = (of: (row: readonly number[]) => number) => rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
  const mean = (rows[0] ?? []).map((_, c) => average((row) => row[c] as number));
  return { mean, variance: mean.map((m, c) => average((row) => ((row[c] as number) - m) ** 2)) };
}

/** What a recipe prints: JSON, or else text. */
function linesOf(name: string): unknown[] {
  const lines = runScript(project, join(project, `out/${name}.js`))
    .trim()
    .split("\n");
  return lines.map((line) => (line.startsWith("{") ? JSON.parse(line) : line));
}
