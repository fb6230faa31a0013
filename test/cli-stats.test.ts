// normpool stats, run as users run it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { emptyFolder, runIn, writeNpy } from "./command.js";

const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const run = (...args: string[]) => runIn(folder, args);

describe("stats", () => {
  const cells = Float32Array.of(1, -2, Number.NaN, 4, 5, 6, Number.NEGATIVE_INFINITY, 8);
  beforeEach(() => writeNpy(at("x.npy"), cells, [2, 2, 2]));

  test("over all, as a table", () => {
    const { status, stdout, stderr } = run("stats", "x.npy");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("shape    [2, 2, 2] float32\nchannels all cells at once\n");
    expect(stdout.split("\n\n")[1]).toBe(
      [
        "channel  count  NaN  infinite      mean  deviation  min  max",
        `    all      8    1         1  3.666667   3.299832   -2    8`,
        "",
      ].join("\n"),
    );
  });

  test("by channel, as JSON", () => {
    const { stdout } = run("stats", "x.npy", "--channel-axis", "-2", "--json");
    const { input, shape, dtype, channelAxis, channels } = JSON.parse(stdout);
    expect({ input, shape, dtype, channelAxis }).toEqual({
      input: "x.npy",
      shape: [2, 2, 2],
      dtype: "float32",
      channelAxis: 1,
    });
    expect(channels).toEqual([
      {
        channel: 0,
        count: 4,
        nan: 0,
        infinite: 0,
        mean: 2.5,
        deviation: expect.closeTo(Math.sqrt(10.25), 12),
        min: -2,
        max: 6,
      },
      { channel: 1, count: 4, nan: 1, infinite: 1, mean: 6, deviation: 2, min: 4, max: 8 },
    ]);
    writeNpy(at("none.npy"), Float32Array.of(Number.NaN), [1]);
    expect(JSON.parse(run("stats", "none.npy", "--json").stdout).channels).toEqual([
      { count: 1, nan: 1, infinite: 0, mean: null, deviation: null, min: null, max: null },
    ]);
  });

  test("as a page with a histogram of each channel, whose text is escaped", () => {
    writeNpy(at("<b>.npy"), cells, [2, 2, 2]);
    const { status, stdout } = run("stats", "<b>.npy", "--channel-axis", "1", "--html", "page.html");
    expect(status).toBe(0);
    expect(stdout).toContain("Wrote page.html");
    const page = readFileSync(at("page.html"), "utf8");
    expect(page.match(/<svg [^>]*role="img"/g)).toHaveLength(2);
    expect(page).toContain("<h1>What is in &#60;b&#62;.npy</h1>");
    expect(page).toContain("1 of its 8 cells are NaN, 1 infinite.");
    expect(page).toContain("Mean 2.5, deviation 3.201562, from -2 to 6.");
    expect(page).not.toMatch(/(src|href)=|url\(| d="[^"]*NaN|undefined/);
    expect(run("stats", "x.npy", "--html", "page.html").stderr).toContain(
      "(--force replaces it, once the new one is complete)",
    );
    expect(run("stats", "x.npy", "--html", "page.html", "--force", "--quiet")).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
  });

  test("of one value, of none, of a wrong axis", () => {
    writeNpy(at("same.npy"), new Float32Array(4), [4]);
    writeNpy(at("empty.npy"), new Float32Array(0), [0, 2]);
    expect(run("stats", "same.npy", "--html", "same.html").status).toBe(0);
    expect(readFileSync(at("same.html"), "utf8")).toContain("Mean 0, deviation 0, from 0 to 0.");
    expect(run("stats", "empty.npy", "--channel-axis", "1", "--html", "empty.html").status).toBe(0);
    expect(readFileSync(at("empty.html"), "utf8")).toContain("No finite cell.");
    expect(run("stats", "x.npy", "--channel-axis", "3")).toEqual({
      status: 1,
      stdout: "",
      stderr: "normpool: stats: x.npy: expected a dimension of shape [2, 2, 2] for --channel-axis but got 3\n",
    });
    expect(run("stats", "x.npy", "--channel-axis", "x").status).toBe(2);
    expect(existsSync(at("x.html"))).toBe(false);
  });
});
