// What becomes of calls and of files when something goes wrong: no wrong result, one error by name, and nothing left behind.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { BatchNorm1d, LayerNorm, NormPool, type NormpoolError, type Tensor } from "../src/index.js";
import { printed } from "./child.js";
import { emptyFolder, writeNpy } from "./command.js";
import { expectSameBits, normal } from "./support.js";

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());
const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const left = () => readdirSync(folder).sort();

/** Large enough for several slices a phase. */
const SHAPE = [4096, 256];
const CELLS = normal(4096 * 256, 1, 3, 2);

/** Written long ago: whatever changes it changes its time too. */
function write(name: string, cells = CELLS, shape: readonly number[] = SHAPE): string {
  writeNpy(at(name), cells, shape);
  utimesSync(at(name), 1e9, 1e9);
  return at(name);
}
beforeEach(() => void write("x.npy"));

const failure = (call: Promise<unknown>) =>
  call.then(
    () => expect.fail("expected a failure"),
    (error: NormpoolError) => error,
  );

const CHANGES: readonly (readonly [what: string, change: () => void, says: RegExp])[] = [
  ["truncated", () => truncateSync(at("x.npy"), 1000), /shorter|was changed/],
  ["written to", () => writeNpy(at("x.npy"), normal(4096 * 256, 2), SHAPE), /was changed since it was opened first/],
  [
    "replaced by rename",
    () => {
      writeNpy(at("other.npy"), normal(4096 * 256, 2), SHAPE);
      renameSync(at("other.npy"), at("x.npy"));
    },
    /it is another file than when it was opened first|was changed/,
  ],
  ["deleted", () => rmSync(at("x.npy")), /no such file or directory \(ENOENT\)/],
];

describe("an input that is", () => {
  test.each(CHANGES)("%s between open and call fails the call, and the read", async (_, change, says) => {
    using x = await pool.open(at("x.npy"));
    const layer = new BatchNorm1d(256);
    change();
    const error = await failure(pool.forward(layer, x));
    expect(error).toMatchObject({ code: "read-failed", operation: "BatchNorm1d", path: at("x.npy") });
    expect(error.message).toMatch(says);
    expect(layer.numBatchesTracked).toBe(0);
    expect(await failure(x.read())).toMatchObject({ code: "read-failed", operation: "tensor.read" });
  });

  test.each(CHANGES.slice(0, 2))("%s in the middle of a call fails it", async (_, change, says) => {
    using x = await pool.open(at("x.npy"));
    await using y = await pool.create(at("y.npy"), "float32", SHAPE);
    const layer = new BatchNorm1d(256);
    const { runningMean, runningVar } = structuredClone({ ...layer });
    const before = pool.stats().memoryInUse;
    let changed = false;
    const onProgress = () => {
      if (!changed) change();
      changed = true;
    };
    const error = await failure(pool.forward(layer, x, { out: y, onProgress }));
    expect(changed).toBe(true);
    expect(error).toMatchObject({ code: "read-failed", path: at("x.npy") });
    expect(error.message).toMatch(says);
    expect({ ...layer }).toMatchObject({ runningMean, runningVar, numBatchesTracked: 0 });
    await y[Symbol.asyncDispose]();
    expect(left()).toEqual(["x.npy"]);
    expect(pool.stats().memoryInUse).toBe(before);
    // The pool goes on.
    write("x.npy");
    using again = await pool.open(at("x.npy"));
    using _of = await pool.forward(layer, again);
    expect(layer.numBatchesTracked).toBe(1);
  });

  test.each(CHANGES.slice(2))("%s in the middle of a call: the call has the file that it opened", async (_, change) => {
    using x = await pool.open(at("x.npy"));
    using same = pool.from(CELLS, SHAPE);
    const expected = await pool.forward(new BatchNorm1d(256), same);
    let changed = false;
    const onProgress = () => {
      if (!changed) change();
      changed = true;
    };
    const y = await pool.forward(new BatchNorm1d(256), x, { onProgress });
    expect(changed).toBe(true);
    expectSameBits(y.data as Float32Array, expected.data);
  });

  test("changed just before its moments are told fails the call: nothing is told", async () => {
    using x = await pool.open(at("x.npy"));
    let [done, told] = [false, false];
    const call = pool.forward(new LayerNorm(256), x, {
      onProgress: ({ done: slices, total }) => {
        if (slices === total && !done) utimesSync(at("x.npy"), 2e9, 2e9);
        done = slices === total;
      },
      onMoments: () => {
        told = true;
      },
    });
    await expect(call).rejects.toThrow("was changed since it was opened first");
    expect([done, told]).toEqual([true, false]);
  });

  test.each<[what: string, make: () => string, code: string, says: RegExp]>([
    ["not there", () => at("absent.npy"), "read-failed", /no such file or directory \(ENOENT\)/],
    ["a folder", () => folder, "file-format", /expected a file but it is a folder/],
    ["in a file that is no folder", () => join(at("x.npy"), "y.npy"), "read-failed", /not a directory \(ENOTDIR\)/],
    [
      "cut short",
      () => {
        truncateSync(at("x.npy"), 1000);
        return at("x.npy");
      },
      "file-format",
      /expected 4194304 bytes of cells for shape \[4096, 256\] but the file has 872/,
    ],
  ])("%s is not opened", async (_, make, code, says) => {
    const path = make();
    const error = await failure(pool.open(path));
    expect(error).toMatchObject({ code, path });
    expect(error.message).toMatch(says);
  });

  test.skipIf(process.getuid?.() === 0)("kept from being read or written is not opened so", async () => {
    chmodSync(at("x.npy"), 0o400);
    expect(await failure(pool.open(at("x.npy"), { writable: true }))).toMatchObject({ code: "write-failed" });
    chmodSync(at("x.npy"), 0);
    expect(await failure(pool.open(at("x.npy")))).toMatchObject({ code: "read-failed" });
  });
});

describe("writing in place", () => {
  test("needs a file that was opened as writable, and then changes that file", async () => {
    const layer = new LayerNorm(256);
    using same = pool.from(CELLS, SHAPE);
    const expected = await pool.forward(layer, same);
    using toRead = await pool.open(at("x.npy"), { dtype: "float32" });
    const refused = await failure(pool.forward(layer, toRead, { out: toRead }));
    expect(refused).toMatchObject({ code: "invalid-argument", argument: "out" });
    using x = await pool.open(at("x.npy"), { dtype: "float32", writable: true });
    expect(await pool.forward(layer, x, { out: x })).toBe(x);
    expectSameBits(new Float32Array(readFileSync(at("x.npy")).buffer.slice(128)), expected.data);
  });

  test("refuses what overlaps an input, through whatever tensor", async () => {
    const options = { format: "raw", dtype: "float32", shape: [64, 256], writable: true } as const;
    const open = (offset: number) => pool.open(at("x.npy"), { ...options, offset });
    const [x, y, apart] = [await open(128), await open(132), await open(128 + 4 * 64 * 256)];
    const layer = new LayerNorm(256);
    expect(await failure(pool.forward(layer, x, { out: y }))).toMatchObject({
      code: "invalid-argument",
      argument: "out",
    });
    const [same, other] = [await open(128), await pool.forward(layer, x)];
    await pool.forward(layer, x, { out: apart });
    expectSameBits(await apart.read(), other.data);
    await pool.forward(layer, x, { out: same });
    expectSameBits(await x.read(), other.data);
  });

  test("fails where the file is deleted meanwhile: the result would be lost", async () => {
    using x = await pool.open(at("x.npy"), { dtype: "float32", writable: true });
    const onProgress = () => rmSync(at("x.npy"), { force: true });
    const error = await failure(pool.forward(new LayerNorm(256), x, { out: x, onProgress }));
    expect(error).toMatchObject({ code: "write-failed" });
    expect(error.message).toContain("it was deleted, or replaced by another, while it was open");
  });
});

describe("an output", () => {
  test("has its name only after commit, replaces what had it, and can then be read and not written to", async () => {
    writeFileSync(at("y.npy"), "old");
    using x = await pool.open(at("x.npy"), { dtype: "float32" });
    await using y = await pool.create(at("y.npy"), "float32", SHAPE);
    await pool.forward(new LayerNorm(256), x, { out: y });
    expect(readFileSync(at("y.npy"), "utf8")).toBe("old");
    await y.commit();
    expect(left()).toEqual(["x.npy", "y.npy"]);
    await pool.moments(y);
    const refused = await failure(pool.forward(new LayerNorm(256), x, { out: y }));
    expect(refused).toMatchObject({ code: "invalid-argument", argument: "out" });
    await y.commit();
    y.dispose();
    await expect(y.commit()).rejects.toThrow("a disposed one");
    expect(left()).toEqual(["x.npy", "y.npy"]);
  });

  test("that is not committed leaves nothing: await using, dispose, dropped", async () => {
    {
      await using y = await pool.create(at("y.npy"), "float32", SHAPE);
      expect(left().length).toBe(2);
      expect(y.size).toBe(4096 * 256);
    }
    expect(left()).toEqual(["x.npy"]);
    const y = await pool.create(at("y.npy"), "float32", SHAPE);
    y.dispose();
    await y[Symbol.asyncDispose]();
    expect(left()).toEqual(["x.npy"]);
  });

  test("that is dropped leaves nothing, and a process that ends neither", async () => {
    const program = (end: string) => `
      import { readdirSync } from "node:fs";
      const pool = new normpool.NormPool({ threads: 1 });
      await (async () => void (await pool.create(${JSON.stringify(at("y.npy"))}, "float32", [4])))();
      const left = () => readdirSync(${JSON.stringify(folder)}).length;
      console.log(left());
      ${end}
      console.log(left());`;
    const collect = "while (left() > 1) { gc(); await new Promise(setImmediate); }";
    expect(await printed(program(collect), "--expose-gc")).toBe("2\n1\n");
    expect(await printed(program(""))).toBe("2\n2\n");
    expect(left()).toEqual(["x.npy"]);
  });

  test("that a call works on cannot be committed, and one that is being committed cannot be worked on", async () => {
    using x = await pool.open(at("x.npy"), { dtype: "float32" });
    await using y = await pool.create(at("y.npy"), "float32", SHAPE);
    const call = pool.forward(new LayerNorm(256), x, { out: y });
    await expect(y.commit()).rejects.toThrow("tensor.commit: expected one that no call works on for tensor");
    await call;
    const committed = [y.commit(), y.commit()];
    for (const other of [
      () => pool.forward(new LayerNorm(256), x, { out: y }),
      () => pool.moments(y),
      () => y.read(),
    ]) {
      await expect(other()).rejects.toThrow("expected a tensor at rest");
    }
    await Promise.all(committed);
    expect(left()).toEqual(["x.npy", "y.npy"]);
  });

  test("disposed of while a call works on it is gone after the call", async () => {
    using x = await pool.open(at("x.npy"), { dtype: "float32" });
    const y = await pool.create(at("y.npy"), "float32", SHAPE);
    const call = pool.forward(new LayerNorm(256), x, { out: y });
    y.dispose();
    await call;
    await y[Symbol.asyncDispose]();
    expect(left()).toEqual(["x.npy"]);
  });

  test("whose folder goes away fails its commit, and is then disposed of", async () => {
    mkdirSync(at("sub"));
    const y = await pool.create(at("sub/y.npy"), "float32", [4]);
    rmSync(at("sub"), { recursive: true });
    const error = await failure(y.commit());
    expect(error).toMatchObject({ code: "write-failed", operation: "pool.create" });
    await expect(pool.moments(y)).rejects.toThrow("a disposed one");
    await y[Symbol.asyncDispose]();
  });

  test("of an aborted call leaves nothing", async () => {
    using x = await pool.open(at("x.npy"), { dtype: "float32" });
    {
      await using y = await pool.create(at("y.npy"), "float32", SHAPE);
      const controller = new AbortController();
      const onProgress = () => controller.abort();
      const call = pool.forward(new LayerNorm(256), x, { out: y, signal: controller.signal, onProgress });
      // All slices may be done by then.
      await call.catch((error: NormpoolError) => expect(error.code).toBe("aborted"));
    }
    await nextTurn();
    expect(left()).toEqual(["x.npy"]);
  });

  test.each([
    ["absent/y.npy", /no such file or directory \(ENOENT\)/],
    [".", /it is a folder/],
    ["y/", /it is no file name/],
  ])("%s cannot be created", async (name, says) => {
    const error = await failure(pool.create(name === "." ? folder : `${folder}/${name}`, "float32", [4]));
    expect(error).toMatchObject({ code: "write-failed", operation: "pool.create" });
    expect(error.message).toMatch(says);
    expect(left()).toEqual(["x.npy"]);
  });

  test("larger than the disk is refused at once", async () => {
    const error = await failure(pool.create(at("y.npy"), "float32", [2 ** 50]));
    expect(error.message).toMatch(/expected room for \d+ bytes but \d+ are available \(ENOSPC\)/);
    expect(left()).toEqual(["x.npy"]);
  });

  // As a full disk: the system refuses a write in the middle.
  test("that the system does not let grow fails the call, and nothing is left", () => {
    const program = `
      import { LayerNorm, NormPool } from ${JSON.stringify(new URL("../src/index.js", import.meta.url).href)};
      const pool = new NormPool({ threads: 2 });
      const x = await pool.open("x.npy", { writable: true });
      // Cells beyond the limit, in a file that was that long before: extending another would fail already.
      await pool.forward(new LayerNorm(256), x, { out: x }).catch((error) => console.log(error.code, error.message));
      await pool.create("y.npy", "float32", [4096, 256]).catch((error) => console.log(error.code, error.message));
      await pool.close();`;
    writeFileSync(at("program.mjs"), program);
    const script = `trap '' XFSZ; ulimit -f 2048; exec "${process.execPath}" program.mjs`;
    const { stdout, stderr } = spawnSync("bash", ["-c", script], { cwd: folder, encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^write-failed LayerNorm: .*x\.npy: cannot write there: file too large \(EFBIG\)\n/);
    expect(stdout).toMatch(/\nwrite-failed pool\.create: y\.npy: cannot write there: file too large \(EFBIG\)\n$/);
    expect(left()).toEqual(["program.mjs", "x.npy"]);
  });
});

test("tensors of files and of memory in one call; two outputs at once", async () => {
  using x = await pool.open(at("x.npy"), { dtype: "float32" });
  using same = pool.from(CELLS, SHAPE);
  const make = (): Promise<[Tensor<"float32">, Tensor<"float32">]> =>
    Promise.all([pool.create(at("a.npy"), "float32", SHAPE), pool.create(at("b.npy"), "float32", SHAPE)]);
  const [a, b] = await make();
  const layer = new LayerNorm(256);
  await Promise.all([pool.forward(layer, x, { out: a }), pool.forward(layer, same, { out: b })]);
  expectSameBits(await a.read(), await b.read());
  const gradients = await pool.backward(layer, { input: x, gradOutput: a });
  const expected = await pool.backward(layer, { input: same, gradOutput: b });
  expectSameBits(gradients.gradInput.data, expected.gradInput.data);
  a.dispose();
  b.dispose();
  expect(existsSync(at("a.npy"))).toBe(false);
});

test("onSets is told the moments of a file's sets while they are found: those that onMoments has in the end", async () => {
  using x = await pool.open(at("x.npy"));
  for (const layer of [new LayerNorm(256), new BatchNorm1d(256)]) {
    const told: number[] = [];
    let whole: readonly number[] = [];
    await pool.forward(layer, x, {
      onSets: ({ mean }, first) => {
        expect(first).toBe(told.length);
        told.push(...mean);
      },
      onMoments: ({ mean }) => {
        whole = [...mean];
      },
    });
    expect(told).toEqual(whole);
  }
  using small = pool.from(CELLS.slice(0, 512), [2, 256]);
  const sets: number[] = [];
  await pool.forward(new LayerNorm(256), small, { onSets: ({ mean }) => void sets.push(mean.length) });
  expect(sets).toEqual([2]);
});
