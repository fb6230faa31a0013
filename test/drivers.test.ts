// What every driver promises, held against each; the failing one too, as long as it is not told to fail. A new driver is one more line here.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Spec } from "../src/storage/spec.js";
import type { Driver } from "../workers/drivers/driver.js";
import { addDrivers, driverOf } from "../workers/drivers/drivers.js";
import { type WasmMemory, wasm } from "../workers/webassembly.js";
import { FAILING_DRIVER, failingSpec } from "./failing-driver.js";
import { seeded } from "./support.js";

const PAGE = 65_536;
/** Bytes of each driver's tensor. */
const SIZE = 4 * PAGE;
/** Where the stage of the tests is. */
const STAGE = 8 * PAGE;

await addDrivers(FAILING_DRIVER);

interface Made {
  readonly spec: Spec;
  readonly memory: WasmMemory;
  /** The tensor's bytes as they are now. */
  bytes(): Uint8Array;
  /** Sets them. Default: through `bytes`, which views them. */
  fill?(content: Uint8Array): void;
}

function memoryOf(): WasmMemory {
  return new wasm.Memory({ initial: 16, maximum: 65_536, shared: true });
}

function onBuffer(make: (buffer: SharedArrayBuffer, byteOffset: number) => Spec): (offset: number) => Made {
  return (offset) => {
    const buffer = new SharedArrayBuffer(SIZE + 128);
    return {
      spec: make(buffer, offset),
      memory: memoryOf(),
      bytes: () => new Uint8Array(buffer, offset, SIZE),
    };
  };
}

const folder = mkdtempSync(join(tmpdir(), "normpool-drivers-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file whose bytes are seen, and set, as if they were memory's: what is set reaches it when it is opened. */
function inFile(offset: number): Made {
  const path = join(folder, String(offset));
  writeFileSync(path, Buffer.alloc(offset + SIZE));
  const { dev, ino } = statSync(path);
  const spec = {
    kind: "file",
    path,
    name: path,
    offset,
    id: `${dev}:${ino}`,
    size: offset + SIZE,
    modified: null,
    swapped: 1,
  } as const;
  return {
    spec,
    memory: memoryOf(),
    bytes: () => new Uint8Array(readFileSync(path)).subarray(offset),
    fill: (content) => writeFileSync(path, Buffer.concat([Buffer.alloc(offset), content])),
  };
}

const DRIVERS: readonly (readonly [name: string, make: (offset: number) => Made])[] = [
  [
    "arena",
    (offset) => {
      const memory = memoryOf();
      const address = PAGE + offset;
      return { spec: { kind: "arena", address }, memory, bytes: () => new Uint8Array(memory.buffer, address, SIZE) };
    },
  ],
  ["shared", onBuffer((buffer, byteOffset) => ({ kind: "shared", buffer, byteOffset }))],
  ["file", inFile],
  ["failing", onBuffer((buffer, byteOffset) => failingSpec(buffer, byteOffset).spec)],
];

/** About the lengths at which copying changes its way, in rows that lie apart, next to each other, and alone. */
const RUNS = [1, 2, 3, 4, 127, 128, 129, 8191, 8192, 8193, 60_000].flatMap((bytes) =>
  [1, 2, 5].flatMap((rows) =>
    [0, 1, 4, 30].map((between) => ({ at: 12 + between, rows, bytes, stride: bytes + between })),
  ),
);
const FITTING = RUNS.filter(({ at, rows, bytes, stride }) => at + (rows - 1) * stride + bytes <= SIZE);

describe.each(DRIVERS)("the driver of %s", (_, make) => {
  const offsets = [0, 3, 8, 72];

  function open(offset: number) {
    const made = make(offset);
    const driver: Driver = driverOf(made.spec);
    const spec = driver.open?.(made.spec) ?? made.spec;
    const random = seeded(offset);
    const content = Uint8Array.from({ length: SIZE }, () => random() * 256);
    if (made.fill === undefined) made.bytes().set(content);
    else made.fill(content);
    return { ...made, driver, spec };
  }

  test.each(offsets)("loads runs side by side, and touches nothing beside them, %i bytes off a line", (offset) => {
    const { spec, driver, memory, bytes } = open(offset);
    for (const runs of FITTING) {
      const length = runs.rows * runs.bytes;
      const to = STAGE + driver.lineOffsetOf(spec, runs.at);
      const stage = new Uint8Array(memory.buffer, to - 1, length + 2).fill(7);
      driver.load(spec, runs, memory, to);
      const expected = new Uint8Array(length + 2).fill(7);
      for (let row = 0; row < runs.rows; row++) {
        const start = runs.at + row * runs.stride;
        expected.set(bytes().subarray(start, start + runs.bytes), 1 + row * runs.bytes);
      }
      expect(Buffer.compare(stage, expected), JSON.stringify(runs)).toBe(0);
    }
    driver.close?.(spec);
  });

  test.each(offsets)("stores to runs, and touches nothing between them, %i bytes off a line", (offset) => {
    const { spec, driver, memory, bytes } = open(offset);
    for (const [i, runs] of FITTING.entries()) {
      const length = runs.rows * runs.bytes;
      const from = STAGE + driver.lineOffsetOf(spec, runs.at);
      const stage = new Uint8Array(memory.buffer, from, length);
      for (let j = 0; j < length; j++) stage[j] = (i + j * 31) % 251;
      const expected = bytes().slice();
      for (let row = 0; row < runs.rows; row++) {
        expected.set(stage.subarray(row * runs.bytes, (row + 1) * runs.bytes), runs.at + row * runs.stride);
      }
      driver.store(spec, runs, memory, from, i % 2 === 0);
      expect(Buffer.compare(bytes(), expected), JSON.stringify(runs)).toBe(0);
    }
    driver.close?.(spec);
  });

  test("loads to memory that the arena has grown by since", () => {
    const { spec, driver, memory, bytes } = open(0);
    expect(memory.buffer.byteLength).toBe(16 * PAGE);
    // As another thread's growth: this thread's buffer object is the one from before.
    const before = memory.buffer;
    memory.grow(16);
    const to = 20 * PAGE;
    driver.load(spec, { at: 0, rows: 2, bytes: 100, stride: 200 }, memory, to);
    expect(before.byteLength).toBe(16 * PAGE);
    expect([...new Uint8Array(memory.buffer, to, 100)]).toEqual([...bytes().subarray(0, 100)]);
    driver.close?.(spec);
  });

  test("says a place in a cache line, and where kernels work in place, the address of the byte", () => {
    const { spec, driver, memory, bytes } = open(8);
    for (const at of [0, 1, 63, 64, 1000]) {
      expect(driver.lineOffsetOf(spec, at)).toBeGreaterThanOrEqual(0);
      expect(driver.lineOffsetOf(spec, at)).toBeLessThan(64);
      const address = driver.addressOf?.(spec, at);
      if (address !== undefined) expect(new Uint8Array(memory.buffer, address, 1)[0]).toBe(bytes()[at]);
    }
    driver.close?.(spec);
  });
});

test("a spec of a kind that nobody drives is named", () => {
  const unknown = { kind: "tape" } as unknown as Spec;
  expect(() => driverOf(unknown)).toThrow("expected a spec of arena, shared, file, failing but got tape");
});
