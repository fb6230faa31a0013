// The bench: that it measures what it says, and that its report stands alone. No test fails on a time.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { caseOf, KERNELS } from "../bench/kernels.js";
import { SERIES } from "../bench/latency.js";
import { errorOf, predict, threadCounts } from "../bench/model.js";
import { makePage } from "../bench/report/page.js";
import { makePicture } from "../bench/report/picture.js";
import type { Results } from "../bench/results.js";
import { LIMIT } from "../bench/roofline.js";
import type { Timing } from "../bench/samples.js";
import { formatBytes } from "../bench/text.js";

const COMMAND = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "normpool-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, "bench", ...args], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

describe("the model is max(work / threads, bytes / bandwidth) + hand-over", () => {
  const constants = { work: 60, bytes: 2000, bandwidth: 100, handOver: 0.5 };

  test.each([
    [1, 60.5],
    [2, 30.5],
    [3, 20.5],
    [4, 20.5],
    [64, 20.5],
  ])("%i threads: %f ms", (threads, expected) => {
    expect(predict(constants, threads)).toBe(expected);
  });

  test("its error is a share of what was measured", () => {
    expect(errorOf(constants, 2, 61)).toBe(-0.5);
    expect(errorOf(constants, 2, 15.25)).toBe(1);
  });
});

test("thread counts are each up to 8, then fewer, and always 1 and all", () => {
  expect(threadCounts(1)).toEqual([1]);
  expect(threadCounts(3)).toEqual([1, 2, 3]);
  expect(threadCounts(8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(threadCounts(24)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24]);
});

test("sizes are powers of 1024", () => {
  expect([0, 1000, 4096, 3 << 20, 1.5 * 2 ** 30].map(formatBytes)).toEqual([
    "0 bytes",
    "1000 bytes",
    "4 KiB",
    "3 MiB",
    "1.5 GiB",
  ]);
});

test.each(KERNELS)("$name: its tensors have the size that is asked for", (kernel) => {
  for (let bytes = 4096; bytes <= 2 ** 30; bytes *= 4) {
    const { shape, dtype } = caseOf(kernel, bytes);
    const cells = shape.reduce((a, b) => a * b);
    expect(shape.every((size) => Number.isInteger(size) && size > 0)).toBe(true);
    expect(cells * { float32: 4, float64: 8, float16: 2, bfloat16: 2, uint8: 1 }[dtype ?? "float32"]).toBe(bytes);
  }
});

describe("normpool bench --quick", () => {
  let results: Results;
  let page: string;

  beforeAll(() => {
    const { status, stdout, stderr } = run("--quick", "--threads", "2", "--html", "report.html", "--json", "all.json");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(
      /^Roofline: [\s\S]*\nScaling: [\s\S]*\nLatency: [\s\S]*\nWrote report\.html\n\nWrote all\.json\n$/,
    );
    results = JSON.parse(readFileSync(join(folder, "all.json"), "utf8"));
    page = readFileSync(join(folder, "report.html"), "utf8");
  });

  test("JSON has the machine, and each section's every sample", () => {
    const { machine, roofline, scaling, latency, ...rest } = results;
    expect(rest).toEqual({ schema: 1, threads: 2, quick: true });
    expect(Object.keys(machine)).toEqual(["cpu", "cores", "memory", "platform", "node", "normpool", "commit", "date"]);
    expect(machine.node).toBe(process.version);
    for (const name of [LIMIT, ...KERNELS.map((kernel) => kernel.name)]) {
      const points = roofline?.points.filter(({ kernel }) => kernel === name) ?? [];
      expect(points.map(({ bytes }) => bytes)).toEqual([4096, 16_384, 65_536, 262_144, 1_048_576]);
      for (const { time } of points) expectTiming(time);
    }
    expect(roofline?.leftOut).toEqual([]);
    expect(scaling?.series.map(({ name }) => name)).toEqual(["LayerNorm", "GroupNorm", "BatchNorm training"]);
    for (const { points, predictions, constants } of scaling?.series ?? []) {
      expect(points.map(({ threads }) => threads)).toEqual([1, 2]);
      expect(predictions.map(({ threads }) => threads)).toEqual([4, 6, 8]);
      for (const { threads, predicted } of [...points, ...predictions]) {
        expect(predicted).toBe(predict(constants, threads));
      }
      for (const { time } of points) expectTiming(time);
    }
    expect(new Set(latency?.points.map(({ series }) => series))).toEqual(new Set(SERIES));
    for (const { time } of latency?.points ?? []) expectTiming(time);
    const { calls, shape, ...times } = latency?.atOnce ?? { calls: 0, shape: [] };
    expect([calls, shape]).toEqual([10, [256, 1024]]);
    expect(Object.keys(times)).toEqual(["alone", "first", "middle", "last"]);
    for (const time of Object.values(times)) expectTiming(time);
  });

  test("the page is well-formed, and needs nothing from elsewhere", () => {
    expect(page).toMatch(/^<!DOCTYPE html>\n<html lang="en">/);
    expectBalanced(page);
    expect(page.match(/<figure>/g)?.length).toBe(8);
    expect(page.match(/<svg [^>]*role="img"/g)?.length).toBe(8);
    expect(page).not.toMatch(/<(script|link|img|iframe)\b|@import|url\(|https?:|(src|href)=/);
    const ids = [...page.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("the page fits a phone, and is light or dark as its reader's system", () => {
    expect(page).toContain('name="viewport" content="width=device-width, initial-scale=1"');
    expect(page).toContain("@media (prefers-color-scheme: dark)");
    expect(page).not.toMatch(/<svg [^>]*role="img"[^>]* (width|height)=/);
  });

  test("a hostile machine's name, and reasons, are text", async () => {
    const evil = `</title><script>alert("1")</script>&'`;
    const hostile: Results = {
      ...results,
      machine: { ...results.machine, cpu: evil, platform: evil, commit: evil },
      peers: { rounds: 1, bytes: 1, versions: [evil], rows: [], leftOut: [evil] },
    };
    for (const text of [await makePage(hostile), await makePicture(hostile)]) {
      expect(text).not.toContain("<script");
      expect(text).toContain("&#60;script&#62;");
      expectBalanced(text);
    }
  });

  test("the picture is an SVG of one picture a section", async () => {
    const picture = await makePicture(results);
    expect(picture).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    expect(picture.match(/<svg /g)?.length).toBe(4);
  });
});

describe("bad options", () => {
  test.each([["--threads", "0"], ["--threads", "many"], ["--html"], ["nonsense"], ["--sizes", "4"]])(
    "%s %s has exit code 2",
    (...args) => {
      expect(run(...args)).toMatchObject({ status: 2, stdout: "" });
    },
  );

  test("a file that cannot be written is said before anything is measured", () => {
    expect(run("--html", "absent/report.html")).toMatchObject({
      status: 1,
      stdout: "",
      stderr: "normpool: bench: absent: no such file or directory (ENOENT)\n",
    });
    expect(run("--json", ".")).toMatchObject({ status: 1, stdout: "" });
    expect(existsSync(join(folder, "absent"))).toBe(false);
  });

  test("--help names the options", () => {
    const { status, stdout } = run("--help");
    expect(status).toBe(0);
    for (const option of ["--html", "--json", "--threads", "--quick"]) expect(stdout).toContain(option);
  });
});

function expectTiming({ median, fastest, slowest, samples }: Timing): void {
  expect(samples.length).toBeGreaterThan(0);
  expect(fastest).toBeGreaterThan(0);
  expect(median).toBeGreaterThanOrEqual(fastest);
  expect(slowest).toBeGreaterThanOrEqual(median);
}

/** Every element is closed, in order; attributes are quoted; no bare & or <. */
function expectBalanced(text: string): void {
  const open: string[] = [];
  const rest = text.replace(
    /<!DOCTYPE html>|<(\/?)([a-zA-Z][\w]*)((?:\s+[\w:-]+(?:="[^"<]*")?)*)\s*(\/?)>/g,
    (_, end, name, __, empty) => {
      if (end) expect(open.pop()).toBe(name);
      else if (name !== undefined && !empty && name !== "meta") open.push(name);
      return "";
    },
  );
  expect(open).toEqual([]);
  expect(rest).not.toContain("<");
  expect(rest.replace(/&(#\d+|[a-z]+);/g, "")).not.toContain("&");
}
