import { describe, expect, test } from "vitest";
import { InvalidArgumentError, LayerNorm, NormPool, OutOfMemoryError } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { collectGarbage } from "../src/memory/collect.js";
import { Regions } from "../src/memory/regions.js";
import { layerNorm } from "./reference.js";
import { expectWithinUlps, seeded } from "./support.js";

const MIB = 1 << 20;

/** A turn of the event loop: WeakRefs made before it may be collected after it. */
function turn(): Promise<void> {
  return new Promise(setImmediate);
}

describe("Regions", () => {
  test("never overlap, are aligned, and join again when freed, over 5,000 random steps", () => {
    const random = seeded(1);
    const regions = new Regions(64, 64 * MIB);
    const taken = new Map<number, number>();
    for (let step = 0; step < 5000; step++) {
      if (taken.size > 0 && random() < 0.5) {
        const address = [...taken.keys()][Math.floor(random() * taken.size)] as number;
        regions.free(address);
        taken.delete(address);
        continue;
      }
      const bytes = Math.floor(random() ** 4 * 4 * MIB);
      const address = regions.take(bytes);
      if (address === undefined) continue;
      expect(address % (bytes >= 65_536 ? 4096 : 64)).toBe(0);
      expect(address + bytes).toBeLessThanOrEqual(64 * MIB);
      for (const [other, size] of taken) {
        expect(address + Math.max(1, bytes) <= other || other + Math.max(1, size) <= address).toBe(true);
      }
      taken.set(address, bytes);
    }
    for (const address of taken.keys()) regions.free(address);
    expect(regions.inUse).toBe(0);
    expect(regions.take(64 * MIB - 4096)).toBe(4096);
  });

  test("large tensors of equal size do not lie a power of two apart, unless only so they fit", () => {
    const regions = new Regions(64, 64 * MIB);
    const [x, y] = [regions.take(16 * MIB) as number, regions.take(16 * MIB) as number];
    expect((y - x) % (4 * MIB)).toBeGreaterThanOrEqual(65_536);
    const between = regions.take(4096);
    expect(between).toBeLessThan(y);
    regions.free(y);
    const again = regions.take(16 * MIB) as number;
    expect(again).toBeGreaterThan(x);
    regions.free(again);
    expect(regions.take(regions.largest(64 * MIB))).toBeDefined();
  });

  test("a second free of an address is an error, not a second gap", () => {
    const regions = new Regions(64, MIB);
    const address = regions.take(100) as number;
    regions.free(address);
    expect(() => regions.free(address)).toThrow(RangeError);
  });
});

describe("Arena", () => {
  test("gives zeros, also where something lay before", () => {
    const arena = new Arena();
    const first = arena.own("test", 1000, false);
    new Uint8Array(first.buffer, first.address, 1000).fill(255);
    arena.free(first);
    const second = arena.own("test", 2000, true);
    expect(second.address).toBe(first.address);
    expect(new Uint8Array(second.buffer, second.address, 2000).every((byte) => byte === 0)).toBe(true);
    const scratch = arena.take("test", 64);
    arena.float64(scratch, 8).fill(1);
    arena.giveBack(scratch, 64);
    const third = arena.own("test", 64, true);
    expect(third.address).toBe(scratch);
    expect(new Float64Array(third.buffer, third.address, 8)).toEqual(new Float64Array(8));
  });

  test("says how much was asked, in use and possible when there is not enough", () => {
    const arena = new Arena(17 * 65_536); // the first of its pages is scratch
    const region = arena.own("test", 8 * 65_536, false);
    const error = catchError(() => arena.own("LayerNorm", 12 * 65_536, false));
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({ asked: 12 * 65_536, inUse: 8 * 65_536, possible: 8 * 65_536 });
    expect((error as Error).message).toBe(
      "LayerNorm: asked for 786432 bytes, but 524288 are in use and the pool's memory can hold 524288 in one piece at most",
    );
    arena.free(region);
    expect(arena.own("test", 12 * 65_536, false).address).toBe(region.address);
  });

  test("frees a dropped region before it says out of memory", async () => {
    const arena = new Arena(17 * 65_536);
    let dropped: object | undefined = arena.own("test", 12 * 65_536, false);
    expect(() => arena.own("test", 12 * 65_536, false)).toThrow(OutOfMemoryError);
    dropped = undefined;
    expect(dropped).toBeUndefined();
    await turn();
    expect(arena.own("test", 12 * 65_536, false).address).toBeGreaterThan(0);
    expect(arena.inUse).toBe(12 * 65_536);
  });
});

describe("garbage collection", () => {
  test("leaves the region of a tensor that was disposed of during a call alone until the call ends", async () => {
    const pool = new NormPool({ threads: 1 });
    const shape = [600, 1024];
    const a = pool.tensor("float32", shape);
    const first = pool.forward(new LayerNorm(1024), a, { out: a });
    const second = (() => {
      const x = pool.tensor("float32", shape);
      const running = pool.forward(new LayerNorm(1024), x, { out: x });
      x.dispose();
      return running.then(() => {});
    })();
    await turn();
    collectGarbage();
    await turn();
    const other = pool.tensor("float32", shape);
    other.data.fill(7);
    await Promise.all([first, second]);
    expect(other.data.every((cell) => cell === 7)).toBe(true);
    expect(pool.tensor("float32", shape).data.byteOffset).not.toBe(other.data.byteOffset);
    await pool.close();
  });

  test("tensors made and dropped between calls on the calling thread do not run out of memory", async () => {
    const pool = new NormPool({ threads: 1 });
    const row = new Float32Array(128 * 1024);
    let top = 0;
    for (let i = 0; i < 2000; i++) {
      const x = pool.from(row, [128, 1024]);
      await pool.forward(new LayerNorm(1024), x, { out: x });
      top = Math.max(top, x.data.byteOffset + x.data.byteLength);
    }
    expect(top).toBeLessThan(256 * MIB);
    await pool.close();
  });

  test("a subarray keeps the region of a tensor that was dropped", async () => {
    const pool = new NormPool({ threads: 1 });
    const view = (() => pool.from(new Float32Array(1000).fill(7)).data.subarray(10, 20))();
    await turn();
    collectGarbage();
    await turn();
    const later = pool.from(new Float32Array(1000).fill(9));
    expect(later.data[0]).toBe(9);
    expect(view).toEqual(new Float32Array(10).fill(7));
    await pool.close();
  });

  test("1,000 calls that drop 8 MiB each stay within 256 MiB", async () => {
    const pool = new NormPool({ threads: 2 });
    const layer = new LayerNorm(1024);
    const x = pool.tensor("float32", [2048, 1024]);
    let top = 0;
    for (let i = 0; i < 1000; i++) {
      const y = await pool.forward(layer, x);
      top = Math.max(top, y.data.byteOffset + y.data.byteLength);
    }
    expect(top).toBeLessThan(256 * MIB);
    await pool.close();
  });

  test("10,000 small calls on the calling thread that drop their outputs stay within 256 MiB", async () => {
    const pool = new NormPool({ threads: 1 });
    const layer = new LayerNorm(768);
    const x = pool.tensor("float32", [64, 768]);
    let top = 0;
    for (let i = 0; i < 10_000; i++) {
      const y = await pool.forward(layer, x);
      top = Math.max(top, y.data.byteOffset + y.data.byteLength);
    }
    expect(top).toBeLessThan(256 * MIB);
    await pool.close();
  });
});

test("the last addresses of a full pool are normalised like any other", async () => {
  const pool = new NormPool({ threads: 2 });
  const end = 65_535 * 65_536; // one page below 4 GiB, whose end address would be 0 in 32 bits
  const shape = [16, 16_384];
  const bytes = 16 * 16_384 * 4;
  const filler = pool.tensor("float32", [(end - 65_536 - bytes) / 4]); // never touched: only addresses
  const x = pool.tensor("float32", shape);
  expect(x.data.byteOffset + bytes).toBe(end);
  for (let i = 0; i < x.data.length; i++) x.data[i] = i % 7;
  expect(() => pool.tensor("float32", [1])).toThrow(OutOfMemoryError);
  const expected = layerNorm(x.data, [16_384]).y;
  await pool.forward(new LayerNorm(16_384, { elementwiseAffine: false }), x, { out: x });
  expectWithinUlps(x.data, expected, 2);
  filler.dispose();
  await pool.close();
});

describe("tensors", () => {
  test("a disposed tensor gives its place to the next, and refuses use", async () => {
    const pool = new NormPool({ threads: 1 });
    const x = pool.from(new Float32Array([1, 2, 3]));
    const { byteOffset } = x.data;
    x.dispose();
    x.dispose();
    expect(pool.tensor("float32", [3]).data.byteOffset).toBe(byteOffset);
    expect(() => x.data).toThrow("tensor.data: expected a live tensor for tensor but got a disposed one");
    await expect(pool.forward(new LayerNorm(3), x)).rejects.toThrow(
      "LayerNorm: expected a live tensor for x but got a disposed one",
    );
    await pool.close();
  });

  test("disposing of input and output during a call does not move what the call works on", async () => {
    const pool = new NormPool({ threads: 2 });
    const shape = [512, 1024];
    const x = pool.tensor("float32", shape);
    for (let i = 0; i < x.data.length; i++) x.data[i] = i % 7;
    const out = pool.tensor("float32", shape);
    const before = [x.data.byteOffset, out.data.byteOffset];
    const running = pool.forward(new LayerNorm(1024), x, { out });
    x.dispose();
    out.dispose();
    const other = pool.tensor("float32", shape);
    expect(before).not.toContain(other.data.byteOffset);
    await running;
    expect(other.data.every((cell) => cell === 0)).toBe(true);
    expect(before).toContain(pool.tensor("float32", shape).data.byteOffset);
    await pool.close();
  });

  test("`using` disposes", () => {
    const pool = new NormPool({ threads: 1 });
    let kept: { readonly data: Float32Array };
    {
      using x = pool.tensor("float32", [2]);
      kept = x;
      expect(kept.data.length).toBe(2);
    }
    expect(() => kept.data).toThrow(InvalidArgumentError);
  });
});

function catchError(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
