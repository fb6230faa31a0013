// The numbers in README.md and docs/performance.md are what `npm run bench:readme` writes: its shape, and one run. No test fails on a time.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { performanceTexts, readmeTexts, type Texts, withTexts } from "../docs/numbers.js";
import { madeUpResults } from "./bench-results.js";

const { peers, ...made } = madeUpResults();
const { peers: _, ...slower } = madeUpResults({ times: 3.7 });

describe.each([
  ["README.md", readmeTexts],
  ["docs/performance.md", performanceTexts],
])("%s", (name, textsOf) => {
  const document = readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");

  test("has the script's shape", () => {
    const message = `${name} is not what npm run bench:readme writes`;
    expect(shapeOf(withTexts(document, textsOf(made))), message).toBe(shapeOf(document));
  });

  test("changes in numbers only when it is written again", () => {
    const [first, second] = [textsOf(made), textsOf(slower)].map((texts) => withTexts(document, texts)) as [
      string,
      string,
    ];
    expect(second).not.toBe(first);
    expect(shapeOf(second)).toBe(shapeOf(first));
    expect(withTexts(second, textsOf(made))).toBe(first);
  });

  test("keeps what was not measured", () => {
    const { throughput, latency, cold, memory, ...rest } = made;
    expect(withTexts(document, textsOf(rest))).toBe(document);
  });
});

describe.each([
  ["committed", undefined],
  ["made of other numbers", slower],
])("README.md, %s", (_, results) => {
  const document = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const readme = results === undefined ? document : withTexts(document, readmeTexts(results));
  const large = rowsOf(readme, "large");

  test("has every ratio from the times beside it", () => {
    const compared = large.filter(({ cells }) => cells[3] !== undefined && !Number.isNaN(cells[3]));
    expect(compared.length).toBe(8);
    for (const { cells } of compared) {
      const [time = 0, limit = 0, ratio = 0] = cells.slice(-4);
      expect(ratio).toBe(Number((time / limit).toFixed(2)));
    }
  });

  test("has the limit of BatchNorm in training from the table's own limits", () => {
    const time = (label: string, column: number) =>
      large.find((row) => row.label.startsWith(label))?.cells[column] ?? 0;
    const sum = time("limit: `y = 2x`", 1) + time("limit: one read", 1);
    expect(Math.abs(time("BatchNorm2d, training", 2) - sum)).toBeLessThan(0.2);
  });

  test("has the table's numbers in its first sentence", () => {
    const [, threads, own, plain, limit] =
      /(\d+) threads? normalises? 256 MiB in (\d+) ms; plain JavaScript takes (\d+) ms, and .* is (\d+) ms\./.exec(
        readme,
      ) ?? [];
    expect(threads).toBe("2");
    const time = (label: string, column: number) =>
      large.find((row) => row.label.startsWith(label))?.cells[column] ?? 0;
    for (const [said, shown] of [
      [own, time("LayerNorm", 1)],
      [plain, time("plain JavaScript", 0)],
      [limit, time("limit: `y = 2x`", 1)],
    ] as const) {
      expect(Math.abs(Number(said) - shown)).toBeLessThan(0.6);
    }
  });

  test("says the machine, Node's version and the day", () => {
    expect(textOf(readme, "run")).toMatch(
      /^Measured on \d{4}-\d\d-\d\d on \d+ cores? of .+ with Node \d+\.\d+\.\d+: medians of \d+ rounds\.$/,
    );
  });
});

test("other libraries' table has a place, and a column for each", () => {
  const document = readFileSync(new URL("../../docs/performance.md", import.meta.url), "utf8");
  const texts: Texts = performanceTexts({ ...made, ...(peers && { peers }) });
  expect(withTexts(document, texts)).toContain("| LayerNorm backward | 1.5 | 3.0 | 4.5 | 6.0 |");
  const { peers: theirs = "" } = texts;
  const header = (text: string) => text.split("\n")[0];
  expect(header(textOf(document, "peers"))).toBe(header(theirs));
});

test("a text without a place is an error", () => {
  expect(() => withTexts("<!-- numbers: x, large -->1<!-- /numbers -->", { small: "2" })).toThrow(
    "no place for the numbers of small",
  );
  // Not the next place's end.
  expect(() => withTexts("<!-- numbers: x, a -->1 <!-- numbers: x, b -->2<!-- /numbers -->", { a: "3" })).toThrow(
    "numbers of a",
  );
});

/** Numbers, and the machine's name, are not part of it. */
function shapeOf(document: string): string {
  return document
    .replace(/on \d+ cores? of .* with Node/g, "on MACHINE with Node")
    .replace(/(?<=numbers: [^>]*-->)[\s\S]*?(?=<!-- \/numbers)/g, (text) => text.replace(/\d+(\.\d+)?/g, "#"));
}

function textOf(document: string, name: string): string {
  return new RegExp(`, ${name} -->([\\s\\S]*?)<!-- /numbers`).exec(document)?.[1]?.trim() ?? "";
}

/** Of the table: labels, and what is in the other columns; NaN where that is nothing. */
function rowsOf(document: string, name: string) {
  return textOf(document, name)
    .split("\n")
    .slice(2)
    .map((line) => {
      const [label = "", ...cells] = line
        .slice(2, -1)
        .split("|")
        .map((cell) => cell.trim());
      return { label, cells: cells.map((cell) => (cell === "" ? Number.NaN : Number.parseFloat(cell))) };
    });
}
