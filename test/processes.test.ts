// What a process comes to whose worker threads die, cannot start, or hang: its calls have the bits that they have without, or the error that is
// documented; the process goes on, `close` settles, and no thread is left.
import { execFileSync } from "node:child_process";
import { cp, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { type Child, type Outcome, ran } from "./child.js";

/**
 * Three large calls at once. Prints what each came to: the hash of its results, or its error's name and cause; then how the pool ended. `before`
 * runs when the pool is there, and `after` when the calls have settled; words that workers see, too, are `words`.
 */
function program(before = "", { options = "threads: 2", after = "" } = {}): string {
  return `
    import { createHash } from "node:crypto";
    import { BroadcastChannel, setEnvironmentData } from "node:worker_threads";
    const { BatchNorm1d, LayerNorm, NormPool } = normpool;
    const words = new Int32Array(new SharedArrayBuffer(16));
    setEnvironmentData("words", words);
    const born = [];
    process.on("worker", (worker) => void born.push(worker));
    const hash = (...arrays) => {
      const all = createHash("sha256");
      for (const { buffer, byteOffset, byteLength } of arrays) all.update(new Uint8Array(buffer, byteOffset, byteLength).slice());
      return all.digest("hex");
    };
    const say = (ends) => {
      for (const { value, reason } of ends) console.log(value ?? reason.name + " because of " + reason.cause?.message);
    };
    const pool = new NormPool({ ${options} });
    let state = 20261125;
    const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1;
    const input = () => {
      const x = pool.empty("float32", [1200, 1024]);
      for (let i = 0; i < x.size; i++) x.data[i] = next();
      return x;
    };
    const [x, y, z] = [input(), input(), input()];
    ${before}
    const batch = new BatchNorm1d(1024);
    const calls = () => [
      pool.forward(new LayerNorm(1024), x).then(({ data }) => hash(data)),
      pool.forward(batch, y).then(({ data }) => hash(data, batch.runningMean, batch.runningVar)),
      pool.backward(new LayerNorm(1024), { input: y, gradOutput: z }).then((all) => hash(all.gradInput.data, all.gradWeight, all.gradBias)),
    ];
    say(await Promise.allSettled(calls()));
    ${after}
    const { threadsLost, slicesLost } = pool.stats();
    await pool.close();
    console.log("threads lost:", threadsLost, "slices lost:", slicesLost);
    console.log("threads left:", born.filter(({ threadId }) => threadId !== -1).length);
  `;
}

/** Before every kernel of a worker: \`meet()\`. */
function atKernels(meet: string): string {
  return `
    const { isMainThread, threadId, getEnvironmentData, BroadcastChannel } = require("node:worker_threads");
    const words = () => getEnvironmentData("words");
    const meet = () => { ${meet} };
    if (!isMainThread) {
      const { Instance } = WebAssembly;
      WebAssembly.Instance = function (...args) {
        const kernels = new Instance(...args).exports;
        const exports = {};
        for (const [name, kernel] of Object.entries(kernels)) {
          exports[name] = /F(32|64)/.test(name) ? (...operands) => (meet(), kernel(...operands)) : kernel;
        }
        return { exports };
      };
    }
  `;
}

const NO_WORKERS =
  /^\(node:\d+\) \[NORMPOOL_NO_WORKERS\] Warning: normpool: no worker thread can be had \(.+\): calls are computed on the calling thread, slice by slice\n\(Use `node --trace-warnings \.\.\.` to show where the warning was created\)\n$/;

let expected: string;
beforeAll(async () => {
  const plain = await ran(program());
  expect(plain).toMatchObject({ code: 0, stderr: "" });
  const lost = "threads lost: 0 slices lost: 0\nthreads left: 0\n";
  expect(plain.stdout).toMatch(new RegExp(`^([0-9a-f]{64}\n){3}${lost}$`));
  expected = plain.stdout.slice(0, -lost.length);
});

/** What a process prints where its calls come to what they are without faults. */
function withLost(threads: number, slices: number): string {
  return `${expected}threads lost: ${threads} slices lost: ${slices}\nthreads left: 0\n`;
}

/** The calls came to what they are without faults, in spite of so many that there were; and nothing was said. */
function expectBoring(outcome: Outcome, threads: number, slices: number): void {
  expect(outcome).toEqual({ code: 0, stdout: withLost(threads, slices), stderr: "" });
}

/** The same, and that there were no workers was said once. */
function expectWithoutWorkers({ code, stdout, stderr }: Outcome): void {
  expect(code, stderr).toBe(0);
  expect(stdout.slice(0, expected.length)).toBe(expected);
  expect(stdout).toMatch(/\nthreads left: 0\n$/);
  expect(stderr).toMatch(NO_WORKERS);
}

describe("threads that are terminated", () => {
  /** The first two hold at their first kernel until they are ended. */
  const held = atKernels(`
    if (Atomics.sub(words(), 0, 1) <= 0) return;
    new BroadcastChannel("held").postMessage(threadId);
    Atomics.wait(words(), 1, 0);
  `);
  /** Ends both when both hold, and so many of those that replace them when they start. */
  const ending = (replacements: number, when = 'once("online", end)') => `
    words[0] = 2;
    const channel = new BroadcastChannel("held");
    channel.unref();
    const held = new Set();
    channel.onmessage = ({ data }) => {
      held.add(data);
      if (held.size < 2) return;
      for (const worker of born) if (held.has(worker.threadId)) void worker.terminate();
    };
    let left = ${replacements};
    process.on("worker", (worker) => {
      const end = () => void worker.terminate();
      if (born.length > 2 && left-- > 0) worker.${when};
    });
  `;

  test("in the middle of three calls cost time only", async () => {
    expectBoring(await ran(program(ending(0)), { preload: held }), 2, 2);
  });

  test("in the middle of three calls, and their replacements while they start, cost time only", async () => {
    expectBoring(await ran(program(ending(2)), { preload: held }), 4, 2);
  });

  test("in the middle, and all that replace them, leave the calls to the calling thread", async () => {
    expectWithoutWorkers(await ran(program(ending(1000, "terminate()")), { preload: held }));
  });

  test("do not keep calls from being aborted, nor the pool from being closed", async () => {
    const abort = `
      ${ending(2)}
      const controller = new AbortController();
      process.on("worker", () => born.length > 2 && controller.abort(new Error("enough")));
      const { signal } = controller;
      say(await Promise.allSettled([1, 2, 3].map(() => pool.forward(new LayerNorm(1024), x, { signal }))));
    `;
    const { stdout, stderr, code } = await ran(program(abort), { preload: held });
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    expect(stdout).toBe("AbortError because of enough\n".repeat(3) + withLost(4, 2));
  });
});

describe("threads that cannot start", () => {
  const refused = /^(WorkerFailedError because of .+\n){3}threads lost: \d+ slices lost: 0\nthreads left: 0\n$/;

  /** The calling thread computes; or where it is not to, the calls fail. */
  async function expectNoThreads(child: Child, before = ""): Promise<void> {
    expectWithoutWorkers(await ran(program(before), child));
    const options = "threads: 2, fallback: false";
    const { code, stdout, stderr } = await ran(program(before, { options }), child);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(refused);
  }

  test("as a preload ends them: calls finish on the calling thread, or fail by choice", async () => {
    await expectNoThreads({ preload: "if (!require('node:worker_threads').isMainThread) process.exit(1);" });
  });

  test("as a preload throws in them: calls finish on the calling thread, or fail by choice", async () => {
    await expectNoThreads({
      preload: "if (!require('node:worker_threads').isMainThread) throw new Error('not here');",
    });
  });

  /** A build whose worker's file is another. Null: there is none, from the moment on that the library is loaded. */
  async function withWorker(
    worker: string | null,
    run: (child: Child, before: string) => Promise<void>,
  ): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), "normpool-broken-"));
    try {
      const build = fileURLToPath(new URL("../", import.meta.url));
      for (const part of ["src", "workers"]) {
        await cp(join(build, part), join(folder, "dist", part), { recursive: true });
      }
      for (const name of ["node_modules", "package.json"]) await symlink(join(build, "..", name), join(folder, name));
      const path = join(folder, "dist/workers/worker.js");
      await writeFile(path, worker ?? "");
      const index = pathToFileURL(join(folder, "dist/src/index.js")).href;
      const quoted = JSON.stringify(path);
      // It is there again when the next process loads the library, which looks for it.
      const remove = `
        const { rmSync, writeFileSync } = await import("node:fs");
        rmSync(${quoted});
        process.on("exit", () => writeFileSync(${quoted}, ""));
      `;
      await run({ index }, worker === null ? remove : "");
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  test.each([
    ["is gone", null],
    ["throws when it is loaded", 'throw new Error("broken");'],
    [
      "throws a turn after it is loaded",
      'setImmediate(() => { throw new Error("broken"); }); await new Promise(() => {});',
    ],
  ])("as the worker's file %s: calls finish on the calling thread, or fail by choice", async (_, worker) => {
    await withWorker(worker, (child, before) => expectNoThreads(child, before));
  });

  test("but take no tasks, as the worker's file has none: calls fail, and say why", async () => {
    await withWorker("export {};", async (child) => {
      const { code, stdout, stderr } = await ran(program(), child);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(
        /^(WorkerFailedError because of No handler function exported from .+\n){3}threads lost: 0 slices lost: 0\nthreads left: 0\n$/,
      );
    });
  });

  test("as Node's permissions have none: calls finish on the calling thread, or fail by choice", async () => {
    const [major] = process.versions.node.split(".").map(Number) as [number];
    const permission = major < 24 ? "--experimental-permission" : "--permission";
    await expectNoThreads({ nodeOptions: [permission, "--allow-fs-read=*", "--disable-warning=ExperimentalWarning"] });
  });

  describe("as the system has none", () => {
    /** Only a user with no more rights has a limit. One that nobody else is, so that nobody else's threads count. */
    const user = String(100_000 + process.pid);
    const by = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] as const;
    const isPossible = (() => {
      try {
        const [file, ...args] = [...by, "prlimit", "--version"] as const;
        execFileSync(file, args);
        return true;
      } catch {
        return false;
      }
    })();
    /** So many threads more. Those that Node starts when they are needed are there: files were read. */
    const limit = (more: number) => `
      const { execFileSync } = await import("node:child_process");
      const { readFileSync } = await import("node:fs");
      const threads = Number(/^Threads:\\s*(\\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1]) + ${more};
      execFileSync("prlimit", ["--pid", String(process.pid), "--nproc=" + threads]);
    `;

    test.runIf(isPossible)("calls finish on the calling thread, or fail by choice", async () => {
      await expectNoThreads({ by }, limit(0));
    });

    test.runIf(isPossible)("for all that there are to be: those that there are do all", async () => {
      expectBoring(await ran(program(limit(1)), { by }), 0, 0);
    });
  });

  test("as each is refused when it is made: calls finish on the calling thread, or fail by choice", async () => {
    await expectNoThreads({
      preload: `
        const threads = require("node:worker_threads");
        threads.Worker = class { constructor() { throw Object.assign(new Error("EAGAIN"), { code: "ERR_WORKER_INIT_FAILED" }); } };
      `,
    });
  });
});

describe("a thread that has nothing to do", () => {
  /** Each worker throws when it is told to. */
  const preload = `
    const { isMainThread, BroadcastChannel } = require("node:worker_threads");
    if (!isMainThread) {
      const channel = new BroadcastChannel("throw");
      channel.onmessage = ({ data }) => { throw new Error(data); };
      channel.unref();
    }
  `;

  test("and throws does not end the process, and the next calls are as the first ones", async () => {
    const after = `
      const ends = born.map((worker) => new Promise((resolve) => worker.once("exit", resolve)));
      const channel = new BroadcastChannel("throw");
      channel.postMessage("an agent's fault");
      await Promise.all(ends);
      channel.close();
      console.log("lost:", ends.length, pool.stats().threadsLost, "there:", pool.stats().threads);
      batch.resetRunningStats();
      say(await Promise.allSettled(calls()));
    `;
    const { code, stdout, stderr } = await ran(program("", { after }), { preload });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toBe(`${expected}lost: 2 2 there: 0\n${withLost(2, 0)}`);
  });
});

describe("the calling thread, where it computes for want of workers", () => {
  test("lets the event loop have a turn after each slice", async () => {
    const before = `
      let all = 0, turns = 0, isOver = false;
      const { subscribe } = await import("node:diagnostics_channel");
      subscribe("normpool:phase:start", ({ slices }) => { all += slices; });
      const turn = () => { turns++; if (!isOver) setImmediate(turn); };
      setImmediate(turn);
    `;
    const after = "isOver = true; console.log(all > 50, turns >= all);";
    const preload = "if (!require('node:worker_threads').isMainThread) process.exit(1);";
    const { code, stdout, stderr } = await ran(program(before, { after }), { preload });
    expect(code).toBe(0);
    expect(stdout.slice(0, -1).split("\n").at(3)).toBe("true true");
    expect(stderr).toMatch(NO_WORKERS);
  });
});

describe("a thread that fails in a kernel", () => {
  test.each([
    ["runs out of heap", "const hog = []; for (;;) hog.push(new Array(65536).fill(0.5));"],
    ["exits", "process.exit(7);"],
  ])("because it %s costs time only", async (_, fault) => {
    const preload = atKernels(`if (Atomics.sub(words(), 0, 1) <= 0) return; ${fault}`);
    expectBoring(await ran(program("words[0] = 2;"), { preload }), 2, 2);
  });

  test("because it hangs is ended after sliceTimeout, and costs time only", async () => {
    const preload = atKernels("if (Atomics.sub(words(), 0, 1) > 0) for (;;);");
    expectBoring(await ran(program("words[0] = 2;", { options: "threads: 2, sliceTimeout: 1000" }), { preload }), 2, 2);
  });
});
