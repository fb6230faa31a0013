// pool.map: results in order, no more in flight than asked for, and an end of everything when one end fails or stops.
import { afterAll, describe, expect, test } from "vitest";
import { AbortedError, BatchNorm1d, LayerNorm, type MapOptions, NormPool, type Tensor } from "../src/index.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

/** Large ones, that workers compute, and small ones, which are done at once. */
const sizes = [4000, 1, 2000, 3, 4000, 2, 1000, 4000];
const tensorOf = (rows: number, seed: number) => pool.from(normal(rows * 256, seed, seed), [rows, 256]);
const layer = new LayerNorm(256);

/** What happens to a stream, as it happens. */
function source(events: string[], rows: readonly number[] = sizes) {
  return (async function* () {
    try {
      for (const [i, size] of rows.entries()) {
        events.push(`ask ${i}`);
        yield tensorOf(size, i);
      }
      events.push("end");
    } finally {
      events.push("closed");
    }
  })();
}

async function collect<T>(results: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const result of results) all.push(result);
  return all;
}

describe("results", () => {
  test.each([1, 2, 5, 100])("are in the order of the tensors, with %i in flight", async (inFlight) => {
    const events: string[] = [];
    const results = await collect(pool.map(source(events), layer, { inFlight }));
    expect(results.length).toBe(sizes.length);
    for (const [i, y] of results.entries()) {
      expectSameBits(y.data as Float32Array, (await pool.forward(layer, tensorOf(sizes[i] as number, i))).data);
    }
    expect(events.slice(-2)).toEqual(["end", "closed"]);
  });

  test("come from arrays too, and from nothing", async () => {
    expect((await collect(pool.map([tensorOf(2, 1), tensorOf(3, 1)], layer))).map(({ shape }) => shape[0])).toEqual([
      2, 3,
    ]);
    expect(await collect(pool.map([], layer))).toEqual([]);
  });

  test.each([1, 2, 3])("that nobody takes hold the stream up: %i in flight", async (inFlight) => {
    const events: string[] = [];
    const results = pool.map(source(events), layer, { inFlight });
    expect(events).toEqual([]);
    for (let taken = 1; taken <= 3; taken++) {
      await results.next();
      // Whatever runs has time to end.
      for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate);
      expect(events.length).toBeLessThanOrEqual(taken + inFlight);
      expect(events.length).toBeGreaterThanOrEqual(taken);
    }
    await results.return();
    expect(events.at(-1)).toBe("closed");
  });

  test("do not wait for a stream that is slower", async () => {
    let release = () => {};
    const slow = (async function* () {
      yield tensorOf(4000, 1);
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      yield tensorOf(1, 2);
    })();
    const results = pool.map(slow, layer, { inFlight: 2 });
    expect((await results.next()).value?.shape).toEqual([4000, 256]);
    release();
    expect((await results.next()).value?.shape).toEqual([1, 256]);
    expect((await results.next()).done).toBe(true);
  });

  test("of a layer with running statistics update them in order", async () => {
    const [mapped, looped] = [new BatchNorm1d(256), new BatchNorm1d(256)];
    const rows = [4000, 2, 2000, 3];
    await collect(pool.map(source([], rows), mapped, { inFlight: 4 }));
    for (const [i, size] of rows.entries()) await pool.forward(looped, tensorOf(size, i));
    expectSameBits(mapped.runningMean as Float32Array, looped.runningMean as Float32Array);
    expectSameBits(mapped.runningVar as Float32Array, looped.runningVar as Float32Array);
  });
});

describe("an end before the end", () => {
  test("of a call that fails: it rejects after the results before, and closes the stream", async () => {
    const events: string[] = [];
    const inputs = (async function* () {
      try {
        yield tensorOf(4000, 1);
        yield pool.tensor("float32", [2, 3]);
        for (;;) yield tensorOf(1, 2);
      } finally {
        events.push("closed");
      }
    })();
    const results = pool.map(inputs, layer, { inFlight: 3 });
    expect((await results.next()).value?.shape).toEqual([4000, 256]);
    await expect(results.next()).rejects.toMatchObject({ code: "invalid-shape" });
    expect(events).toEqual(["closed"]);
    expect(await results.next()).toEqual({ done: true, value: undefined });
  });

  test("of the stream, by an error: it rejects, and gives back what runs", async () => {
    const inputs = (async function* () {
      yield tensorOf(4000, 1);
      throw new Error("no more");
    })();
    await expect(collect(pool.map(inputs, layer, { inFlight: 3 }))).rejects.toThrow("no more");
  });

  test("by who takes the results: running calls are aborted, and their memory is given back", async () => {
    // A pool of its own: the collector may take what other tests left, and change the count.
    await using own = new NormPool({ threads: 2 });
    const [x, events] = [own.from(normal(4000 * 256, 1, 1), [4000, 256]), [] as string[]];
    const before = own.stats().memoryInUse;
    const inputs = (async function* () {
      try {
        for (;;) yield x;
      } finally {
        events.push("closed");
      }
    })();
    for await (const y of own.map(inputs, layer, { inFlight: 4 })) {
      y.dispose();
      break;
    }
    expect(events).toEqual(["closed"]);
    expect(own.stats().memoryInUse).toBe(before);
  });

  test("by a signal, in the middle and before", async () => {
    const controller = new AbortController();
    const results = pool.map(source([]), layer, { signal: controller.signal });
    await results.next();
    controller.abort("enough");
    await expect(collect(results)).rejects.toMatchObject({ code: "aborted", cause: "enough" });
    await expect(pool.map([], layer, { signal: controller.signal }).next()).rejects.toMatchObject({ code: "aborted" });
  });

  test("of the pool", async () => {
    const other = new NormPool({ threads: 1 });
    const results = other.map([other.tensor("float32", [2, 256])], layer);
    await other.close();
    await expect(results.next()).rejects.toMatchObject({ code: "pool-closed" });
  });
});

test.each<[source: unknown, options: unknown, message: string]>([
  [7, {}, "pool.map: expected an iterable of tensors for source but got 7"],
  [[1], {}, "LayerNorm: expected a tensor for x but got 1"],
  [[], { inFlight: 0 }, "a positive safe integer for inFlight"],
  [[], { out: 1 }, "pool.map: expected only inFlight, channelAxis, signal, timeout, onProgress for options"],
])("%o with %o is refused", async (inputs, options, message) => {
  const results = pool.map(inputs as Iterable<Tensor>, layer, options as MapOptions);
  await expect(results.next()).rejects.toThrow(message);
});

test("an abort ends it while its source does not answer", async () => {
  const controller = new AbortController();
  async function* silence(): AsyncGenerator<Tensor<"float32">> {
    await new Promise(() => {});
    yield pool.tensor("float32", [1, 4]);
  }
  const results = pool.map(silence(), new LayerNorm(4), { signal: controller.signal });
  const next = results.next();
  controller.abort();
  await expect(next).rejects.toThrow(AbortedError);
});
