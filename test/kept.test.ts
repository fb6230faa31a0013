// What a call keeps until it has succeeded: the same numbers from memory and from a file, and nothing left behind.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { forward } from "../src/calls/forward.js";
import { BatchNorm1d } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { Executor } from "../src/run/executor.js";
import { Kept } from "../src/run/kept.js";
import { normal } from "./support.js";

const { TMPDIR } = process.env;
const folder = mkdtempSync(join(tmpdir(), "normpool-kept-"));
function useFolder(path: string): void {
  Object.assign(process.env, { TMPDIR: path });
}
beforeAll(() => {
  useFolder(folder);
});
afterAll(() => {
  useFolder(TMPDIR ?? "/tmp");
  rmSync(folder, { recursive: true, force: true });
});

const CHUNKS = [1, 100, 5, 0, 1000].map((length, i) => Float64Array.from(normal(length, i)));

describe.each([
  ["all in memory", 1e9],
  ["some in a file", 808],
  ["all in a file", 0],
])("kept %s", (_, inMemory) => {
  test("comes back in order, and leaves no file", () => {
    const kept = new Kept(inMemory);
    for (const chunk of CHUNKS) {
      const own = chunk.slice();
      kept.put(own);
      own.fill(7);
    }
    expect([...kept.all()].length).toBe(CHUNKS.length);
    let i = 0;
    for (const chunk of kept.all()) expect(chunk).toEqual(CHUNKS[i++]);
    kept.close();
    kept.close();
    expect(readdirSync(folder)).toEqual([]);
  });
});

test("where no file can be made, memory has to do", () => {
  useFolder(join(folder, "absent"));
  const kept = new Kept(0);
  for (const chunk of CHUNKS) kept.put(chunk);
  useFolder(folder);
  expect([...kept.all()]).toEqual(CHUNKS);
  kept.close();
});

test("running statistics are those of one stripe, however many there are, and unchanged by a call that fails", async () => {
  const arena = new Arena();
  const whole = new Executor(1, arena, { placer: () => "calling thread" });
  const striped = new Executor(1, arena, { placer: () => "calling thread", stripeBytes: 2000 });
  const x = whole.allocate("test", "float32", [50, 300], false);
  x.data.set(normal(x.size, 1, 3, 2));
  const [one, many] = [new BatchNorm1d(300), new BatchNorm1d(300)];
  await forward(whole, one, x, undefined);
  await forward(striped, many, x, undefined);
  expect(many.stateDict()).toEqual(one.stateDict());
  expect(many.numBatchesTracked).toBe(1);
  const boom = new Error("boom");
  const onMoments = () => {
    throw boom;
  };
  await expect((async () => forward(striped, many, x, { onMoments }))()).rejects.toBe(boom);
  expect(many.stateDict()).toEqual(one.stateDict());
});
