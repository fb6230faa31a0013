// The page of `normpool bench --html`, of made-up results: what it says, and that a colour says one thing.
import { beforeAll, describe, expect, test } from "vitest";
import { makePage as makeHtml } from "../bench/report/page.js";
import { makePicture } from "../bench/report/picture.js";
import type { Results } from "../bench/results.js";
import { madeUpResults } from "./bench-results.js";

let page: string;

/** Apostrophes as they are read. */
async function makePage(results: Results): Promise<string> {
  return (await makeHtml(results)).replaceAll("&#39;", "'");
}

beforeAll(async () => {
  page = await makePage(madeUpResults());
});

test("each series has one colour in all charts, and no colour means two series", () => {
  const colours = new Map<string, Set<string>>();
  const series = new Map<string, Set<string>>();
  for (const { label, colour } of figuresOf(page).flatMap(({ legend }) => legend)) {
    colours.set(label, (colours.get(label) ?? new Set()).add(colour));
    series.set(colour, (series.get(colour) ?? new Set()).add(label.replace(/[,:] (measured|the model|until).*/, "")));
  }
  // What is no series, such as a model's ground, has the colours of text and axes.
  for (const neutral of ["currentColor", "var(--axis)"]) series.delete(neutral);
  expect(colours.size).toBeGreaterThan(20);
  expect(series.size).toBe(16);
  for (const found of [...colours.values(), ...series.values()]) expect([...found]).toHaveLength(1);
});

test("a colour is said for light and for dark, and no two are the same", () => {
  const [light = "", dark = ""] = page.split("@media (prefers-color-scheme: dark)");
  const used = new Set([...page.matchAll(/var\((--[\w-]+)\)/g)].map(([, name]) => name as string));
  const values = [light, dark].map((css) => {
    const found = new Map([...css.matchAll(/(--[\w-]+): (#\w+);/g)].map(([, name = "", value]) => [name, value]));
    for (const name of used) expect(found.has(name), name).toBe(true);
    return [...found.values()];
  });
  for (const all of values) expect(new Set(all).size).toBe(all.length);
});

test("each chart has a legend of all that it draws, its dashes and marks whole", () => {
  const figures = figuresOf(page);
  expect(figures.map(({ title }) => title)).toEqual([
    "Forward",
    "Backward",
    "LayerNorm of other number types",
    "LayerNorm",
    "GroupNorm",
    "BatchNorm training",
    "One call after another",
    "10 calls at once",
    "Forward",
    "Backward",
  ]);
  for (const { chart, legend } of figures) {
    const drawn = new Set([...chart.matchAll(/var\(--(?!grid|axis|surface)[\w-]+\)/g)].map(([colour]) => colour));
    const explained = new Set(legend.map(({ colour }) => colour));
    for (const colour of drawn) expect([...explained]).toContain(colour);
    for (const { sample } of legend) {
      const [, width] = /viewBox="0 0 (\d+) /.exec(sample) ?? [];
      const [, dashes] = /stroke-dasharray="([\d,]+)"/.exec(sample) ?? [];
      const length = (dashes ?? "0").split(",").reduce((sum, part) => sum + Number(part), 0);
      expect(Number(width)).toBeGreaterThanOrEqual(3 * length);
    }
  }
});

test("the page says what the limit and a roofline are, before the first chart", () => {
  const before = page.slice(0, page.indexOf("<figure>"));
  expect(before).toContain("<dt>The limit</dt> <dd>is y = 2x");
  expect(before).toContain("<dt>A roofline</dt> <dd>is a chart of speed under that limit");
});

test("the first numbers can be derived from each other", () => {
  expect(factsOf(page)).toEqual([
    "256 MiB on 2 threads: 25.0 ms LayerNorm. The limit takes 20.0 ms: 80\u00a0% of what memory allows.",
    "2 threads: 2.00× as fast as on one: LayerNorm. Memory allows 2.50×.",
    "A small call: 128.0 µs LayerNorm of [16, 768], one call after another.",
    "10 calls at once: 5.0 ms until the first is done, 13\u00a0% of the time of all.",
    "Beside others: 1.5× as fast as PyTorch as installed, the fastest other library here: LayerNorm on 2 threads.",
  ]);
});

describe("the model's error", () => {
  test("is a percentage where the model holds", () => {
    const captions = figuresOf(page).map(({ caption }) => caption);
    expect(captions.filter((text) => text.includes("The model's times are off by 10\u00a0% at most."))).toHaveLength(3);
  });

  test.each([1.02, -0.6])("%f is said in milliseconds, and that the model does not hold", async (error) => {
    const captions = figuresOf(await makePage(madeUpResults({ error }))).map(({ caption }) => caption);
    const said = captions.filter((text) =>
      /the model says [\d.]+ ms where [\d.]+ were measured: it does not hold/.test(text),
    );
    expect(said).toHaveLength(3);
    for (const text of captions) expect(text).not.toMatch(/off by|within/);
  });
});

describe("a quick run", () => {
  test("says first that its numbers show nothing, and headlines none", async () => {
    const text = await makePage(madeUpResults({ quick: true }));
    expect(text.slice(0, text.indexOf("<section>"))).toContain("This is a quick run: it shows that the bench works");
    expect(text.includes("How fast normpool is")).toBe(false);
    expect(factsOf(text)).toEqual([]);
    for (const { caption, legend } of figuresOf(text)) {
      expect(caption).not.toMatch(/\d (%|times|µs|ms)|\u00a0%/);
      for (const { value } of legend) expect(value).toBe("");
    }
  });

  test("is called one in the picture, too", async () => {
    expect(await makePicture(madeUpResults({ quick: true }))).toContain("a quick run, which shows nothing of speed");
    expect(await makePicture(madeUpResults())).not.toContain("quick");
  });
});

test("the peers' files are a table of their own, beside normpool", () => {
  const table = page.slice(page.indexOf("From file to file: StandardScaler"));
  expect(table).toContain("a float32 [1048576, 256] of 1 GiB");
  const rows = [...table.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row = ""]) =>
    [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) => cell),
  );
  expect(rows).toEqual([
    ["", "files", "threads", "ms", "ratio", "peak, MiB"],
    ["normpool", ".npy", "2", "2000", "", "90"],
    ["a reader of files 2.0", "Parquet", "1", "5000", "2.50", ""],
  ]);
});

test("what was not measured is not there", async () => {
  const { roofline, scaling, latency, peers, ...rest } = madeUpResults();
  const text = await makePage({ ...rest, ...(latency && { latency }) });
  expect(figuresOf(text).map(({ title }) => title)).toEqual(["One call after another", "10 calls at once"]);
  expect(factsOf(text)).toHaveLength(2);
});

function figuresOf(text: string) {
  return [...text.matchAll(/<figure>([\s\S]*?)<\/figure>/g)].map(([, figure = ""]) => {
    const [chart = "", rest = ""] = figure.split('<ul class="legend');
    const legend = [...rest.matchAll(/<li>(<svg.*?<\/svg>)([^<]*)(?:<span>([^<]*)<\/span>)?<\/li>/g)].map(
      ([, sample = "", label = "", value = ""]) => ({
        sample,
        label: label.trim(),
        value,
        colour: /(?:stroke|fill)="((?:var|current)[^"]*)"/.exec(sample)?.[1] ?? "",
      }),
    );
    const [, title] = /<h3>(.*?)<\/h3>/.exec(figure) ?? [];
    const [, caption = ""] = /<figcaption>(.*?)<\/figcaption>/.exec(figure) ?? [];
    return { title, chart, legend, caption };
  });
}

function factsOf(text: string): string[] {
  return [...text.matchAll(/<li><span>(.*?)<\/span> <b>(.*?)<\/b> <span>(.*?)<\/span><\/li>/g)].map(
    ([, of, value, says]) => `${of}: ${value} ${says}`,
  );
}
