// What a look at every cell tells, beside plain sums of all cells at once.
import { fileURLToPath } from "node:url";
import { NormPool, type Tensor } from "normpool";
import { afterAll, expect, test } from "vitest";
import { histograms } from "../src/summary/histogram.js";
import { channelsOf, summarise } from "../src/summary/summary.js";
import { toHalf } from "./half.js";
import { normal, seeded } from "./support.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

/** Larger than a piece, and no multiple of it. */
const SHAPE = [37, 19, 301];
const SIZE = 37 * 19 * 301;

function cells(): Float32Array {
  const values = normal(SIZE, 1, 1e4, 3);
  const random = seeded(2);
  for (let i = 0; i < SIZE; i++) {
    const lot = random();
    if (lot < 0.01) values[i] = Number.NaN;
    else if (lot < 0.02) values[i] = lot < 0.015 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }
  return values;
}

test.each([[null], [0], [1], [2]])("counts, extremes and moments, channels at %s", async (axis) => {
  const x = pool.from(cells(), SHAPE);
  const channels = channelsOf(x, axis);
  const shares: number[] = [];
  const found = await summarise("test", x, channels, { onShare: (share) => shares.push(share) });
  expect([shares[0], shares.at(-1), shares.length]).toEqual([0, 1, Math.ceil(SIZE / (1 << 17)) + 1]);
  const bins = await histograms("test", x, channels, found, { bins: 10, first: 4 }, {});
  expect(bins.length).toBe(Math.min(4, channels.channels));
  for (let channel = 0; channel < channels.channels; channel += 18) {
    const own = [...x.data].filter((_, i) => Math.floor(i / channels.after) % channels.channels === channel);
    const finite = own.filter(Number.isFinite);
    const mean = finite.reduce((sum, value) => sum + value, 0) / finite.length;
    const m2 = finite.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    expect(found.counts[channel]).toBe(finite.length);
    expect(found.nans[channel]).toBe(own.filter(Number.isNaN).length);
    expect((found.nans[channel] as number) + (found.infinities[channel] as number)).toBe(own.length - finite.length);
    expect(found.least[channel]).toBe(finite.reduce((a, b) => Math.min(a, b)));
    expect(found.largest[channel]).toBe(finite.reduce((a, b) => Math.max(a, b)));
    expect((found.moments[2 * channel] as number) / mean).toBeCloseTo(1, 13);
    expect((found.moments[2 * channel + 1] as number) / m2).toBeCloseTo(1, 9);
    for (const { from, to, count } of bins[channel] ?? []) {
      const inside = finite.filter((value) => value >= from && (value < to || value === found.largest[channel]));
      // A cell at an edge may be taken for the next bin's.
      expect(Math.abs(inside.length - count)).toBeLessThanOrEqual(1);
    }
    expect((bins[channel] ?? []).reduce((sum, { count }) => sum + count, 0)).toBe(bins[channel] ? finite.length : 0);
  }
});

test("of every dtype, from the largest numbers to none", async () => {
  const values = [1, 2, 2, 250];
  const tensors: Tensor[] = [
    pool.from(Float64Array.from(values)),
    pool.from(Uint8Array.from(values)),
    pool.from(toHalf("float16", values), [4], "float16"),
    pool.from(toHalf("bfloat16", values), [4], "bfloat16"),
  ];
  for (const x of tensors) {
    const { counts, least, largest, moments } = await summarise("test", x, channelsOf(x, null), {});
    expect([...counts, ...least, ...largest, moments[0]]).toEqual([4, 1, 250, 63.75]);
  }
  const huge = pool.from(Float64Array.of(-1e300, 1e300, 1e300));
  const all = channelsOf(huge, null);
  const found = await summarise("test", huge, all, {});
  expect([...found.moments]).toEqual([expect.closeTo(1e300 / 3, -290), Number.POSITIVE_INFINITY]);
  const [bins = []] = await histograms("test", huge, all, found, { bins: 2, first: 1 }, {});
  expect(bins.map(({ count }) => count)).toEqual([1, 2]);
  const same = pool.from(Float64Array.of(3, 3));
  const [one] = await histograms("test", same, all, await summarise("test", same, all, {}), { bins: 2, first: 1 }, {});
  expect(one).toEqual([{ from: 3, to: 3, count: 2 }]);
  const none = pool.tensor("float32", [0, 3]);
  expect([...(await summarise("test", none, channelsOf(none, 1), {})).counts]).toEqual([0, 0, 0]);
});

test("of cells in a file, big-endian ones too", async () => {
  for (const name of ["big-endian.npy", "float64.npy"]) {
    const x = await pool.open(fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url)));
    const cells = [...(await x.read())] as number[];
    const { counts, least, largest } = await summarise("test", x, channelsOf(x, null), {});
    expect([counts[0], least[0], largest[0]]).toEqual([x.size, Math.min(...cells), Math.max(...cells)]);
    expect([...(await x.read({ from: 1, to: 3 }))]).toEqual(cells.slice(1, 3));
    expect(Math.max(...cells)).toBeLessThan(1e6);
  }
});

test("an abort ends it between two pieces", async () => {
  const controller = new AbortController();
  const x = pool.from(cells(), SHAPE);
  const watch = {
    signal: controller.signal,
    onShare: (share: number) => share > 0 && controller.abort(new Error("enough")),
  };
  await expect(summarise("test", x, channelsOf(x, null), watch)).rejects.toMatchObject({
    code: "aborted",
    cause: new Error("enough"),
  });
});
