// StandardScaler beside scikit-learn's (fixtures/make-scaler.py), and what it promises beyond: parts, places, order, errors.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NormPool, readSafetensors, StandardScaler, type StateDict, type Tensor, writeSafetensors } from "normpool";
import { afterAll, describe, expect, test } from "vitest";
import { fromHalf, toHalf } from "./half.js";
import { expectSameBits, normal } from "./support.js";

const FIXTURES = fileURLToPath(new URL("../../test/fixtures/", import.meta.url));

interface Case {
  readonly name: string;
  readonly options: { readonly withMean: boolean; readonly withStd: boolean };
  readonly dtype: "float64" | "float32";
  readonly shape: readonly [number, number];
  readonly parts: readonly number[];
  readonly data: readonly (number | null)[];
  readonly mean: readonly (number | null)[] | null;
  readonly var: readonly (number | null)[] | null;
  readonly scale: readonly (number | null)[] | null;
  readonly nSamplesSeen: number | readonly number[];
  readonly transformed: readonly (number | null)[];
  readonly inverse: readonly (number | null)[];
}
const CASES = JSON.parse(readFileSync(join(FIXTURES, "scaler.json"), "utf8")) as Case[];

const pool = new NormPool({ threads: 2 });
const folder = mkdtempSync(join(tmpdir(), "normpool-scaler-"));
afterAll(async () => {
  await pool.close();
  rmSync(folder, { recursive: true });
});

const numbers = (values: readonly (number | null)[]) => Float64Array.from(values, (value) => value ?? Number.NaN);

function tensorOf({ dtype, data, shape }: Case, from = 0, rows = shape[0]): Tensor {
  const cells = numbers(data).subarray(from * shape[1], (from + rows) * shape[1]);
  return pool.from(dtype === "float32" ? new Float32Array(cells) : cells, [rows, shape[1]]);
}

async function fittedInParts(given: Case): Promise<StandardScaler> {
  const scaler = new StandardScaler(given.options);
  let from = 0;
  for (const rows of given.parts) {
    await scaler.partialFit(pool, tensorOf(given, from, rows));
    from += rows;
  }
  return scaler;
}

/** Holds numbers within a bound of each, and NaN to NaN. */
function expectNear(
  actual: ArrayLike<number> | null,
  expected: readonly (number | null)[] | null,
  bound: (i: number) => number,
): void {
  if (expected === null || actual === null) {
    expect(actual).toBe(expected);
    return;
  }
  expect(actual.length).toBe(expected.length);
  numbers(expected).forEach((value, i) => {
    const got = actual[i] as number;
    if (Object.is(got, value) || Math.abs(got - value) <= bound(i)) return;
    expect.fail(`${i}: got ${got}, expected ${value} within ${bound(i)}`);
  });
}

/** Half the distance of 1 to the next float64. */
const U = 2 ** -53;

describe.each(CASES.map((given) => [given.name, given] as const))("as scikit-learn: %s", (_, given) => {
  const [rows, features] = given.shape;
  const columns = Array.from({ length: features }, (_, c) =>
    numbers(given.data).filter((value, i) => i % features === c && !Number.isNaN(value)),
  );
  const largest = columns.map((column) => column.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
  // Both sum at most `rows` cells, each addition rounded once: so much of the largest cell a mean is off. A variance is off by that much of itself, and
  // where parts are merged by what the rounding of their means does to their distance, which is no more than a few deviations.
  const meanError = (c: number) => 2 * rows * U * (largest[c] as number);
  const varError = (c: number) => {
    const variance = Math.abs(given.var?.[c] ?? 0);
    const ofMeans = 4 * U * (largest[c] as number);
    return 8 * rows * U * variance + 4 * given.parts.length * Math.sqrt(variance) * ofMeans + meanError(c) ** 2;
  };

  test("mean, variance, scale and samples, of parts and at once", async () => {
    const whole = await new StandardScaler(given.options).fit(pool, tensorOf(given));
    for (const scaler of [whole, await fittedInParts(given)]) {
      expectNear(scaler.mean, given.mean, meanError);
      expectNear(scaler.var, given.var, varError);
      // A square root halves the relative error; constant features have exactly 1.
      const of = (c: number) => (given.scale?.[c] === 1 ? 0 : varError(c) / (given.scale?.[c] as number));
      expectNear(scaler.scale, given.scale, of);
      const seen = scaler.nSamplesSeen;
      expect(typeof seen === "number" ? seen : [...seen]).toEqual(given.nSamplesSeen);
    }
  });

  test("transformed and back", async () => {
    const scaler = await fittedInParts(given);
    const x = tensorOf(given);
    const y = await scaler.transform(pool, x);
    const back = await scaler.inverseTransform(pool, y);
    const deviation = (c: number) => given.scale?.[c] ?? 1;
    const precision = given.dtype === "float32" ? 2 ** -24 : 4 * U;
    const error = (i: number) => {
      const c = i % features;
      const value = Math.abs(given.transformed[i] ?? 0);
      const ofStatistics = meanError(c) / deviation(c) + (value * varError(c)) / deviation(c) ** 2;
      return ofStatistics + precision * value + 4 * U * ((largest[c] as number) / deviation(c));
    };
    expectNear(y.data as Float64Array, given.transformed, error);
    const cell = (i: number) => Math.abs(given.inverse[i] ?? 0);
    const ofInverse = (i: number) => deviation(i % features) * error(i) * 4 + 2 * precision * cell(i);
    expectNear(back.data as Float64Array, given.inverse, ofInverse);
  });
});

test.each([
  // Of float32 cells some short sums are float32.
  ["float32", 2 ** -24],
  ["float64", 1e-13],
] as const)("parts of any size come to the whole's statistics, within rounding: %s", async (dtype, bound) => {
  const [rows, features] = [5000, 7];
  const floats = normal(rows * features, 3, 100, 2);
  const cells = dtype === "float32" ? floats : Float64Array.from(floats);
  const whole = await new StandardScaler().fit(pool, pool.from(cells, [rows, features]));
  const scaler = new StandardScaler();
  for (let from = 0, part = 1; from < rows; from += part, part *= 3) {
    const some = cells.subarray(from * features, Math.min(rows, from + part) * features);
    expect(await scaler.partialFit(pool, pool.from(some, [some.length / features, features]))).toBe(scaler);
  }
  expect(scaler.nSamplesSeen).toBe(rows);
  for (let c = 0; c < features; c++) {
    expect(Math.abs((scaler.mean?.[c] as number) / (whole.mean?.[c] as number) - 1)).toBeLessThan(bound);
    expect(Math.abs((scaler.var?.[c] as number) / (whole.var?.[c] as number) - 1)).toBeLessThan(bound);
  }
});

test("the same bits at any number of threads, and of calls at once", async () => {
  const [rows, features] = [1 << 13, 96];
  const cells = normal(rows * features, 4, 5);
  const found: StandardScaler[] = [];
  for (const threads of [1, 3]) {
    await using own = new NormPool({ threads });
    const x = own.from(cells, [rows, features]);
    const one = own.from(cells.subarray(0, features), [1, features]);
    const scaler = new StandardScaler();
    // The second is done long before the first.
    await Promise.all([scaler.partialFit(own, x), scaler.partialFit(own, one), scaler.partialFit(own, x)]);
    found.push(scaler);
  }
  expect(found[1]?.stateDict()).toEqual(found[0]?.stateDict());
});

test("channels anywhere, and of every dtype", async () => {
  const [n, c, s] = [6, 4, 50];
  const cells = Float32Array.from(normal(n * c * s, 5), (x) => Math.max(0, Math.round(30 + 8 * x)));
  const first = await new StandardScaler({ channelAxis: 1 }).fit(pool, pool.from(cells, [n, c, s]));
  const last = new Float32Array(cells.length);
  cells.forEach((x, i) => {
    const [sample, channel, at] = [Math.floor(i / c / s), Math.floor(i / s) % c, i % s];
    last[(sample * s + at) * c + channel] = x;
  });
  const tensors: Tensor[] = [
    pool.from(last, [n, s, c]),
    pool.from(Float64Array.from(last), [n, s, c]),
    pool.from(Uint8Array.from(last), [n, s, c]),
    pool.from(toHalf("float16", last), [n, s, c], "float16"),
    pool.from(toHalf("bfloat16", last), [n, s, c], "bfloat16"),
  ];
  for (const x of tensors) {
    const scaler = await new StandardScaler().fit(pool, x);
    for (let i = 0; i < c; i++) expect(scaler.mean?.[i]).toBeCloseTo(first.mean?.[i] as number, 12);
    for (let i = 0; i < c; i++) expect(scaler.var?.[i]).toBeCloseTo(first.var?.[i] as number, 11);
    const y = await scaler.transform(pool, x);
    expect([y.dtype, y.shape]).toEqual([x.dtype === "uint8" ? "float32" : x.dtype, x.shape]);
    const standardised = (value: number, i: number) =>
      (value - (scaler.mean?.[i % c] as number)) / (scaler.scale?.[i % c] as number);
    const numbersOf = (tensor: Tensor) =>
      tensor.dtype === "float16" || tensor.dtype === "bfloat16"
        ? fromHalf(tensor.dtype, new Uint16Array(tensor.data.buffer, tensor.data.byteOffset, tensor.size))
        : Float64Array.from(tensor.data as ArrayLike<number>);
    // Half the distance of two numbers of the dtype, up to 8 deviations from 0; and of cells, up to 64, with what y's rounding is times the scale.
    const precision = { float64: 2 ** -51, float32: 2 ** -24, uint8: 2 ** -24, float16: 2 ** -11, bfloat16: 2 ** -8 }[
      x.dtype
    ];
    expectNear(numbersOf(y), [...Float64Array.from(last, standardised)], () => 8 * precision);
    const back = numbersOf(await scaler.inverseTransform(pool, y));
    expectNear(back, [...last], () => (8 * 16 + 64) * precision);
    // A call's axis goes before the scaler's.
    const again = await new StandardScaler({ channelAxis: 0 }).fit(pool, x, { channelAxis: 2 });
    expect(again.stateDict()).toEqual(scaler.stateDict());
  }
});

test("from file to file, and in place", async () => {
  const [rows, features] = [700, 33];
  const x = pool.from(normal(rows * features, 6, 3, 2), [rows, features]);
  const scaler = await new StandardScaler().fit(pool, x);
  const y = await scaler.transform(pool, x);
  const path = join(folder, "y.npy");
  const out = await pool.create(path, "float32", x.shape);
  expect(await scaler.transform(pool, x, { out })).toBe(out);
  await out.commit();
  const inFile = await pool.open(path, { dtype: "float32" });
  expectSameBits(await inFile.read(), y.data);
  expect((await new StandardScaler().fit(pool, inFile)).stateDict()).toEqual(
    (await new StandardScaler().fit(pool, y)).stateDict(),
  );
  expect(await scaler.transform(pool, x, { out: x })).toBe(x);
  expectSameBits(x.data, y.data);
});

test("a part without any number of a feature leaves it as it was", async () => {
  const scaler = new StandardScaler();
  const part = (...cells: number[]) =>
    scaler.partialFit(pool, pool.from(Float64Array.from(cells), [cells.length / 2, 2]));
  await part(Number.NaN, 1, Number.NaN, 3);
  expect([...(scaler.mean as Float64Array)]).toEqual([Number.NaN, 2]);
  const dones: number[] = [];
  const x = pool.from(Float64Array.of(4, 5, 8, Number.NaN), [2, 2]);
  await scaler.partialFit(pool, x, { onProgress: ({ done }) => dones.push(done) });
  expect(dones).toEqual([0, 1000]);
  await part(Number.NaN, Number.NaN);
  expect([...(scaler.mean as Float64Array)]).toEqual([6, 3]);
  expect([...(scaler.var as Float64Array)]).toEqual([4, 8 / 3]);
  expect(scaler.nSamplesSeen).toEqual(Float64Array.of(2, 3));
  await scaler.partialFit(pool, pool.tensor("float64", [0, 2]));
  expect(scaler.nSamplesSeen).toEqual(Float64Array.of(2, 3));
});

describe("the state", () => {
  const cells = normal(300 * 5, 7, 10);
  const part = (from: number, to: number) => pool.from(cells.subarray(5 * from, 5 * to), [to - from, 5]);

  test("that was saved goes on with the same bits", async () => {
    const scaler = await new StandardScaler().fit(pool, part(0, 100));
    const path = join(folder, "scaler.safetensors");
    await writeSafetensors(path, scaler.stateDict({ prefix: "s." }));
    const loaded = new StandardScaler();
    loaded.loadStateDict(await readSafetensors(path), { prefix: "s." });
    for (const one of [scaler, loaded]) await one.partialFit(pool, part(100, 300));
    expect(loaded.stateDict()).toEqual(scaler.stateDict());
    expect(loaded.nSamplesSeen).toBe(300);
  });

  test("of scikit-learn is one, with samples by feature", async () => {
    const given = CASES.find(({ name }) => name === "with NaN") as Case;
    const scaler = new StandardScaler();
    scaler.loadStateDict(await readSafetensors(join(FIXTURES, "sklearn.safetensors")));
    expect([...(scaler.nSamplesSeen as Float64Array)]).toEqual(given.nSamplesSeen);
    const own = await fittedInParts(given);
    expect([...(scaler.scale as Float64Array)].map((x) => x.toPrecision(6))).toEqual(
      [...(own.scale as Float64Array)].map((x) => x.toPrecision(6)),
    );
    expect(Object.values(scaler.stateDict()).at(-1)?.shape).toEqual([given.shape[1]]);
  });

  test("that does not fit is refused, and what was fitted stays", async () => {
    const scaler = await new StandardScaler().fit(pool, part(0, 100));
    const before = scaler.stateDict();
    const bad: [StateDict, RegExp][] = [
      [{}, /missing keys "mean_", "var_", "scale_", "n_samples_seen_"/],
      [{ ...before, more: { shape: [], data: Float32Array.of(1) } }, /unexpected keys "more"/],
      [{ ...before, var_: { shape: [4], data: new Float64Array(4) } }, /"var_" of shape \[4\]/],
      [{ ...before, n_samples_seen_: { shape: [], data: Float32Array.of(0.5) } }, /a number of samples/],
    ];
    for (const [dict, message] of bad) expect(() => scaler.loadStateDict(dict)).toThrow(message);
    expect(scaler.stateDict()).toEqual(before);
  });
});

describe("errors", () => {
  const x = pool.tensor("float32", [4, 3]);

  test("of a scaler that was not fitted", async () => {
    const scaler = new StandardScaler();
    const message = /expected a scaler that was fitted/;
    await expect(scaler.transform(pool, x)).rejects.toThrow(message);
    await expect(scaler.inverseTransform(pool, x)).rejects.toThrow(message);
    expect(() => scaler.stateDict()).toThrow(message);
    expect([scaler.mean, scaler.var, scaler.scale, scaler.nSamplesSeen]).toEqual([null, null, null, 0]);
  });

  test("of shapes", async () => {
    const scaler = await new StandardScaler().fit(pool, x);
    const other = pool.tensor("float32", [4, 2]);
    const expected = "expected 3 channels at dimension 1 but got 2 in input of shape [4, 2]";
    await expect(scaler.partialFit(pool, other)).rejects.toMatchObject({
      code: "invalid-shape",
      message: `StandardScaler.partialFit: ${expected}`,
    });
    await expect(scaler.transform(pool, other)).rejects.toThrow(`StandardScaler.transform: ${expected}`);
    await expect(scaler.fit(pool, pool.tensor("float32", [4]))).rejects.toThrow(/at least 2D input.* of shape \[4\]/);
    await expect(scaler.fit(pool, pool.tensor("float32", [4, 0]))).rejects.toThrow("expected some channels");
    await expect(scaler.fit(pool, x, { channelAxis: 2 })).rejects.toMatchObject({ argument: "channelAxis" });
    // None of them has changed it; fit takes another number of channels.
    expect(scaler.nSamplesSeen).toBe(4);
    expect((await scaler.fit(pool, other)).mean?.length).toBe(2);
  });

  test("of two first calls that do not go together", async () => {
    const scaler = new StandardScaler();
    const [first, second] = await Promise.allSettled([
      scaler.partialFit(pool, x),
      scaler.partialFit(pool, pool.tensor("float32", [4, 2])),
    ]);
    expect([first.status, second.status]).toEqual(["fulfilled", "rejected"]);
    expect(scaler.mean?.length).toBe(3);
  });

  test("of arguments, signals, and cells that are infinite", async () => {
    const scaler = new StandardScaler();
    const options = (value: unknown) => value as ConstructorParameters<typeof StandardScaler>[0];
    expect(() => new StandardScaler(options({ with_mean: true }))).toThrow(/only withMean, withStd, channelAxis/);
    expect(() => new StandardScaler(options({ withStd: 1 }))).toThrow(/true or false for withStd/);
    expect(() => new StandardScaler(options({ channelAxis: 0.5 }))).toThrow(/safe integer for channelAxis/);
    await expect(scaler.fit({} as NormPool, x)).rejects.toThrow(/a NormPool for pool/);
    await expect(scaler.fit(pool, {} as Tensor)).rejects.toThrow(/a tensor for x/);
    await expect(scaler.fit(pool, x, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
    const infinite = pool.from(Float32Array.of(1, 2, Number.POSITIVE_INFINITY, Number.NaN), [2, 2]);
    await expect(scaler.fit(pool, infinite)).rejects.toThrow("1 infinite ones in channel 0");
    // The second look ends in time as well, and when it is told to.
    const controller = new AbortController();
    const abort = () => controller.abort();
    const watched = { signal: controller.signal, onProgress: abort };
    await expect(scaler.fit(pool, infinite, watched)).rejects.toMatchObject({ code: "aborted" });
    await scaler.fit(pool, x);
    await expect(scaler.transform(pool, x, { out: infinite })).rejects.toMatchObject({ code: "invalid-shape" });
  });
});
