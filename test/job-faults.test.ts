// A job whose processes are killed, stopped and repeated: the same bits, and nothing left. One whose files are not what they were: refused.
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  finishJob,
  jobStatus,
  LayerNorm,
  mergeParts,
  NormPool,
  type NormpoolError,
  planFitJob,
  planJob,
  planMomentsJob,
  removeJob,
  runPart,
} from "../src/index.js";
import type { Job } from "../src/jobs/job.js";
import { COMMAND, emptyFolder, runIn, writeNpy } from "./command.js";
import { readJob, resultOf, rewriteJob, runAllParts } from "./job-files.js";
import { normal } from "./support.js";

const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

const SHAPE = [20_011, 64];
const X = normal(20_011 * 64, 3, 5, 2);
const PARTS = 3;
const layer = new BatchNorm1d(64, { affine: false, trackRunningStats: false });
let expected: Buffer;

beforeEach(async () => {
  writeNpy(at("x.npy"), X, SHAPE);
  if (expected === undefined) {
    const y = await pool.create(at("y.npy"), "float32", SHAPE);
    await pool.forward(layer, (await pool.open(at("x.npy"))) as never, { out: y });
    await y.commit();
    expected = readFileSync(at("y.npy"));
    rmSync(at("y.npy"));
  }
});

const plan = () => planJob(layer, at("x.npy"), at("y.npy"), { folder: at("job"), parts: PARTS });
const isSame = () => Buffer.compare(readFileSync(at("y.npy")), expected) === 0;

/** Starts a command, and does something to it at the first moment at which `when` is so. */
async function meeting(args: readonly string[], when: () => boolean, signal: NodeJS.Signals): Promise<ChildProcess> {
  const child = spawn(process.execPath, [COMMAND, ...args], { cwd: folder, stdio: "ignore" });
  while (child.exitCode === null && child.signalCode === null && !when()) await new Promise(setImmediate);
  child.kill(signal);
  return child;
}

function ended(child: ChildProcess): Promise<unknown> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.signalCode ?? child.exitCode);
  return new Promise((resolve) => child.once("close", (code, signal) => resolve(signal ?? code)));
}

const isIn = (place: string, name: RegExp) => () =>
  existsSync(at(place)) && readdirSync(at(place)).some((own) => name.test(own));

/** Whether cells of the last part are in the output that is being written. */
function isWritten(): boolean {
  const [name] = readdirSync(folder).filter((own) => own.endsWith(".partial"));
  if (name === undefined) return false;
  const file = openSync(at(name), "r");
  const last = Buffer.alloc(4);
  readSync(file, last, 0, 4, expected.length - 4 * 64 * 6000);
  closeSync(file);
  return last.readUInt32LE() !== 0;
}

describe("killed", () => {
  const KILLS: readonly (readonly [
    what: string,
    before: readonly string[],
    args: readonly string[],
    when: () => boolean,
  ])[] = [
    ["while the job's file is written", [], ["plan"], isIn("job", /^job\.json\./)],
    ["when the job's file is there", [], ["plan"], isIn("job", /^job\.json$/)],
    ["when the output is begun", [], ["plan"], isIn(".", /\.partial$/)],
    ["while partials are written", ["plan"], ["run", "job", "moments", "1"], isIn("job", /^moments-1\..*tmp$/)],
    ["when partials are there", ["plan"], ["run", "job", "moments", "1"], isIn("job", /^moments-1$/)],
    ["while moments are merged", ["plan", "moments"], ["merge", "job"], isIn("job", /^moments\..*tmp$/)],
    ["when moments are merged", ["plan", "moments"], ["merge", "job"], isIn("job", /^moments$/)],
    ["while cells are written", ["plan", "moments", "merge"], ["run", "job", "apply", "2"], isWritten],
    ["when a part is noted", ["plan", "moments", "merge"], ["run", "job", "apply", "2"], isIn("job", /^apply-2$/)],
    [
      "before the output has its name",
      ["plan", "moments", "merge", "apply"],
      ["finish", "job"],
      isIn("job", /^output\.json$/),
    ],
    ["when the output has its name", ["plan", "moments", "merge", "apply"], ["finish", "job"], isIn(".", /^y\.npy$/)],
    [
      "when the job is finished",
      ["plan", "moments", "merge", "apply"],
      ["finish", "job"],
      isIn("job", /^finished\.json$/),
    ],
  ];
  const PLAN = ["plan", "batch-norm", "x.npy", "-o", "y.npy", "--parts", String(PARTS), "--job", "job"];

  test.each(KILLS)("%s, what is left is gone on with to the same bits", async (_, before, args, when) => {
    if (before.includes("plan")) await plan();
    for (const phase of ["moments", "apply"] as const) {
      if (before.includes(phase)) for (let part = 0; part < PARTS; part++) await runPart(pool, at("job"), phase, part);
      if (phase === "moments" && before.includes("merge")) await mergeParts(pool, at("job"));
    }
    const child = await meeting(["job", ...(args[0] === "plan" ? PLAN : args)], when, "SIGKILL");
    await ended(child);
    if (existsSync(at("y.npy"))) expect(isSame()).toBe(true);
    // Anew from the start: each step may be repeated.
    await plan();
    await runAllParts([pool], at("job"));
    await finishJob(at("job"));
    expect(isSame()).toBe(true);
    expect(readdirSync(at("job")).sort()).toEqual(["finished.json", "job.json"]);
    await removeJob(at("job"));
    expect(readdirSync(folder).sort()).toEqual(["x.npy", "y.npy"]);
  });
});

test("a process that was stopped and is woken when all is done changes nothing", async () => {
  await plan();
  for (let part = 0; part < PARTS; part++) await runPart(pool, at("job"), "moments", part);
  await mergeParts(pool, at("job"));
  const late = await meeting(["job", "run", "job", "apply", "2"], isWritten, "SIGSTOP");
  for (let part = 0; part < PARTS; part++) await runPart(pool, at("job"), "apply", part);
  await finishJob(at("job"));
  // Whatever it would read now is not what it was.
  const file = openSync(at("x.npy"), "r+");
  writeSync(file, Buffer.alloc(4 * X.length, 1), 0, undefined, 128);
  closeSync(file);
  late.kill("SIGCONT");
  expect(await ended(late)).toBe(0);
  expect(isSame()).toBe(true);
  expect(
    readdirSync(at("job"))
      .filter((name) => name !== "apply-2")
      .sort(),
  ).toEqual(["finished.json", "job.json"]);
});

test("every step may be repeated, by several at once, and also when the job is finished", async () => {
  const ids = await Promise.all([plan(), plan(), plan()]);
  expect(new Set(ids).size).toBe(1);
  const twice = async (step: () => Promise<unknown>) => void (await Promise.all([step(), step()]));
  for (const phase of ["moments", "apply"] as const) {
    for (let part = 0; part < PARTS; part++) await twice(() => runPart(pool, at("job"), phase, part));
    if (phase === "moments") await twice(() => mergeParts(pool, at("job")));
  }
  await twice(() => finishJob(at("job")));
  expect(isSame()).toBe(true);
  expect(await plan()).toBe(ids[0]);
  for (const phase of ["moments", "apply"] as const) await runPart(pool, at("job"), phase, 1);
  await mergeParts(pool, at("job"));
  await finishJob(at("job"));
  expect(isSame()).toBe(true);
  expect(readdirSync(folder).sort()).toEqual(["job", "x.npy", "y.npy"]);
  expect(readdirSync(at("job")).sort()).toEqual(["finished.json", "job.json"]);
  expect(await jobStatus(at("job"))).toMatchObject({ finished: true, merged: true });
});

describe("a file is to get its name", () => {
  const { rename } = promises;
  afterEach(() => become(rename));

  function become(other: typeof rename): void {
    promises.rename = other;
    syncBuiltinESMExports();
  }

  /** Does something before a file gets a name like `pattern`, once. Returns whether it has. */
  function whenNaming(pattern: RegExp, meanwhile: () => Promise<void>): () => boolean {
    let isMet = false;
    become(async (from, to) => {
      if (!isMet && pattern.test(String(to))) {
        isMet = true;
        await meanwhile();
      }
      await rename(from, to);
    });
    return () => isMet;
  }

  async function finishAll(): Promise<void> {
    await runAllParts([pool], at("job"));
    await finishJob(at("job"));
  }

  test.each([/moments-1$/, /moments$/, /apply-1$/, /output\.json$/, /y\.npy$/, /finished\.json$/])(
    "%s, and others finish the job: so its step is done",
    async (name) => {
      await plan();
      const isMet = whenNaming(name, finishAll);
      await finishAll();
      expect(isMet()).toBe(true);
      expect(isSame()).toBe(true);
      expect(readdirSync(at("job")).sort()).toEqual(["finished.json", "job.json"]);
      expect(readdirSync(folder).sort()).toEqual(["job", "x.npy", "y.npy"]);
    },
  );

  const KINDS = {
    fit: () => planFitJob([at("x.npy")], at("found.safetensors"), { folder: at("job"), parts: PARTS }),
    moments: () => planMomentsJob(layer, at("x.npy"), at("found.safetensors"), { folder: at("job"), parts: PARTS }),
  };

  test.each(["fit", "moments"] as const)("that %s is finished, and does not: it is finished again", async (kind) => {
    await KINDS[kind]();
    await finishAll();
    const whole = readFileSync(at("found.safetensors"));
    await removeJob(at("job"));
    rmSync(at("found.safetensors"));
    await KINDS[kind]();
    whenNaming(/finished\.json$/, () => Promise.reject(new Error("killed")));
    await expect(finishAll()).rejects.toThrow("killed");
    become(rename);
    await finishAll();
    expect(readFileSync(at("found.safetensors")).equals(whole)).toBe(true);
    expect(readdirSync(at("job")).sort()).toEqual(["finished.json", "job.json"]);
  });

  test("and a file that is not of the job has its output's: it stays", async () => {
    await KINDS.fit();
    await runAllParts([pool], at("job"));
    writeFileSync(at("found.safetensors"), "another's");
    await expect(finishJob(at("job"))).rejects.toThrow("it exists, and the job was planned to replace none");
    expect(readFileSync(at("found.safetensors"), "utf8")).toBe("another's");
    expect(readdirSync(at("job")).some((own) => own.endsWith(".tmp"))).toBe(false);
  });
});

test("steps in another order are refused, and say what is missing", async () => {
  await plan();
  await expect(runPart(pool, at("job"), "apply", 0)).rejects.toThrow("expected a job whose moments are merged");
  await runPart(pool, at("job"), "moments", 0);
  await expect(mergeParts(pool, at("job"))).rejects.toThrow("without part 1");
  await expect(finishJob(at("job"))).rejects.toThrow("one whose moments are not merged");
  for (let part = 0; part < PARTS; part++) await runPart(pool, at("job"), "moments", part);
  await mergeParts(pool, at("job"));
  await runPart(pool, at("job"), "apply", 1);
  await expect(finishJob(at("job"))).rejects.toThrow("one without parts 0, 2 of apply");
  expect(existsSync(at("y.npy"))).toBe(false);
  await removeJob(at("job"));
  expect(readdirSync(folder)).toEqual(["x.npy"]);
});

describe("arguments are refused before anything is written", () => {
  const options = () => ({ folder: at("job"), parts: 2 });
  const input = () => at("x.npy");
  test.each<readonly [what: string, call: () => Promise<unknown>, code: string, words: string]>([
    ["no layer", () => planJob({} as never, input(), at("y.npy"), options()), "invalid-argument", "layer"],
    [
      "the input as output",
      () => planJob(layer, input(), input(), options()),
      "invalid-argument",
      "another file than the input",
    ],
    [
      "a folder of other things",
      () => planJob(layer, input(), at("y.npy"), { folder }),
      "invalid-argument",
      "a folder of its own",
    ],
    ["no parts", () => planJob(layer, input(), at("y.npy"), { ...options(), parts: 0 }), "invalid-argument", "parts"],
    [
      "too many parts",
      () => planJob(layer, input(), at("y.npy"), { ...options(), parts: 1e6 + 1 }),
      "invalid-argument",
      "at most 1000000",
    ],
    [
      "parts of nothing",
      () => planJob(layer, input(), at("y.npy"), { folder: at("job"), partBytes: 1 }),
      "invalid-argument",
      "partBytes",
    ],
    ["no folder", () => planJob(layer, input(), at("y.npy"), {} as never), "invalid-argument", "folder"],
    [
      "an unknown option",
      () => planJob(layer, input(), at("y.npy"), { ...options(), part: 3 } as never),
      "invalid-argument",
      "part",
    ],
    [
      "a shape that does not fit",
      () => planJob(new BatchNorm1d(63), input(), at("y.npy"), options()),
      "invalid-shape",
      "63",
    ],
    ["no such input", () => planJob(layer, at("z.npy"), at("y.npy"), options()), "read-failed", "z.npy"],
    [
      "no such folder for the output",
      () => planJob(layer, input(), at("none/y.npy"), options()),
      "write-failed",
      "y.npy",
    ],
    [
      "an unknown option of the input",
      () => planJob(layer, { path: input(), kee: "x" } as never, at("y.npy"), options()),
      "invalid-argument",
      "kee",
    ],
    [
      "an input to write to",
      () => planJob(layer, { path: input(), writable: true } as never, at("y.npy"), options()),
      "invalid-argument",
      "writable",
    ],
    ["no path", () => planJob(layer, {} as never, at("y.npy"), options()), "invalid-argument", "path"],
    [
      "an output with a journal",
      () => planJob(layer, input(), { path: at("y.npy"), journal: "begin" } as never, options()),
      "invalid-argument",
      "journal",
    ],
    [
      "a key of an output without names",
      () => planJob(layer, input(), { path: at("y.npy"), key: "x" }, options()),
      "invalid-argument",
      "key",
    ],
    ["no inputs", () => planFitJob([], at("s.safetensors"), options()), "invalid-argument", "one file or more"],
    [
      "no such axis",
      () => planFitJob([input()], at("s.safetensors"), { ...options(), channelAxis: 3 }),
      "invalid-shape",
      "dimension 3",
    ],
  ])("%s", async (_, call, code, words) => {
    await expect(call()).rejects.toMatchObject({ code, message: expect.stringContaining(words) });
    expect(readdirSync(folder)).toEqual(["x.npy"]);
  });

  test("of a part: a pool, a phase and a number that the job has", async () => {
    await plan();
    for (const [call, words] of [
      [() => runPart({} as never, at("job"), "moments", 0), "expected a NormPool for pool"],
      [
        () => runPart(pool, at("job"), "normalize" as never, 0),
        "expected one of this job's, moments and apply, for phase",
      ],
      [() => runPart(pool, at("job"), "moments", PARTS), "expected 0 to 2 for part but got 3"],
      [() => runPart(pool, at("job"), "moments", -1), "for part but got -1"],
      [() => runPart(pool, at("job"), "moments", 0.5), "for part but got 0.5"],
      [() => runPart(pool, at("none"), "moments", 0), "no such file"],
      [() => runPart(pool, folder, "moments", 0), "there is no job in this folder"],
      [() => mergeParts({} as never, at("job")), "expected a NormPool for pool"],
      // A string has letters, and one of them is the folder of all.
      [() => jobStatus(at("job"), { roots: "/data" as never }), "expected a list of folders for roots"],
      [() => jobStatus(at("job"), { root: ["/"] } as never), "expected only roots, signal"],
      [() => finishJob(at("job"), { remove: 1 as never }), "for remove but got 1"],
      [() => runPart(pool, at("job"), "moments", 0, { signal: {} as never }), "an AbortSignal"],
      [() => runPart(pool, at("job"), "moments", 0, { onProgress: 1 as never }), "a function"],
    ] as const) {
      await expect(call()).rejects.toThrow(words);
    }
    await planJob(new LayerNorm(64), at("x.npy"), at("z.npy"), { folder: at("rows"), parts: 2 });
    await expect(runPart(pool, at("rows"), "moments", 0)).rejects.toThrow(
      "expected one of this job's, apply, for phase",
    );
    await expect(mergeParts(pool, at("rows"))).rejects.toThrow("for phase");
  });
});

test("another job in the same folder is refused, and says what differs", async () => {
  await plan();
  for (const [other, what] of [
    [() => planJob(layer, at("x.npy"), at("z.npy"), { folder: at("job"), parts: PARTS }), "output"],
    [() => planJob(layer, at("x.npy"), at("y.npy"), { folder: at("job"), parts: 4 }), "parts"],
    [
      () =>
        planJob(new BatchNorm1d(64, { affine: false, trackRunningStats: false, eps: 1e-3 }), at("x.npy"), at("y.npy"), {
          folder: at("job"),
          parts: PARTS,
        }),
      "work",
    ],
    [() => planMomentsJob(layer, at("x.npy"), at("y.npy"), { folder: at("job"), parts: PARTS }), "work"],
  ] as const) {
    await expect(other()).rejects.toThrow(`one of a job with another ${what}`);
  }
  expect(Buffer.compare(await resultOf([pool], at("job"), at("y.npy")), expected)).toBe(0);
});

describe("an input that changes under way", () => {
  const CHANGES: readonly (readonly [what: string, change: () => void])[] = [
    [
      "is written to",
      () => {
        const file = openSync(at("x.npy"), "r+");
        writeSync(file, Buffer.alloc(4, 1), 0, 4, 5000);
        closeSync(file);
      },
    ],
    ["becomes shorter", () => truncateSync(at("x.npy"), expected.length - 4)],
    ["becomes longer", () => writeFileSync(at("x.npy"), Buffer.alloc(4), { flag: "a" })],
    [
      "is replaced by one of its size and times",
      () => {
        const times = new Date(1e12);
        const cells = readFileSync(at("x.npy"));
        rmSync(at("x.npy"));
        cells.fill(1, 128);
        writeFileSync(at("x.npy"), cells);
        utimesSync(at("x.npy"), times, times);
      },
    ],
    ["is removed", () => rmSync(at("x.npy"))],
  ];

  test.each(CHANGES)("%s: the part, the merge and the end are refused", async (_, change) => {
    utimesSync(at("x.npy"), new Date(1e12), new Date(1e12));
    await plan();
    await runPart(pool, at("job"), "moments", 0);
    change();
    await expect(runPart(pool, at("job"), "moments", 1)).rejects.toMatchObject({ code: "read-failed" });
    expect(readdirSync(at("job")).sort()).toEqual(["job.json", "moments-0"]);
    await expect(mergeParts(pool, at("job"))).rejects.toMatchObject({ code: "read-failed" });
    await removeJob(at("job"));
    expect(readdirSync(folder).filter((name) => name !== "x.npy")).toEqual([]);
  });

  test("when all parts are done the end is refused, and the output has no name", async () => {
    await plan();
    await runAllParts([pool], at("job"));
    CHANGES[0]?.[1]();
    await expect(finishJob(at("job"))).rejects.toThrow("it was changed since the job was planned");
    expect(existsSync(at("y.npy"))).toBe(false);
  });
});

test("an output that appears meanwhile is not replaced, unless that was asked for", async () => {
  await plan();
  await runAllParts([pool], at("job"));
  writeFileSync(at("y.npy"), "another's");
  await expect(finishJob(at("job"))).rejects.toMatchObject({ code: "write-failed" });
  expect(readFileSync(at("y.npy"), "utf8")).toBe("another's");
  await removeJob(at("job"));
  const options = { folder: at("job"), parts: PARTS };
  await expect(planJob(layer, at("x.npy"), at("y.npy"), options)).rejects.toThrow("it exists");
  expect(existsSync(at("job"))).toBe(false);
  await planJob(layer, at("x.npy"), at("y.npy"), { ...options, force: true });
  expect(Buffer.compare(await resultOf([pool], at("job"), at("y.npy")), expected)).toBe(0);
});

describe("job files that were tampered with are refused, and nothing is written", () => {
  const refusedBy = async (roots: readonly string[] | undefined, words: string): Promise<void> => {
    const before = [readdirSync(folder), readdirSync(at("job"))];
    for (const step of [
      () => runPart(pool, at("job"), "moments", 0, { roots }),
      () => runPart(pool, at("job"), "apply", 0, { roots }),
      () => mergeParts(pool, at("job"), { roots }),
      () => finishJob(at("job"), { roots }),
      () => jobStatus(at("job"), { roots }),
      () => removeJob(at("job"), { roots }),
    ]) {
      const error: NormpoolError = await step().then(
        () => expect.fail("expected a refusal"),
        (found) => found,
      );
      expect(["file-format", "invalid-argument", "read-failed"], error.message).toContain(error.code);
      expect(error.message).toContain(words);
    }
    expect([readdirSync(folder), readdirSync(at("job"))]).toEqual(before);
  };

  test("by hand: its hash tells", async () => {
    await plan();
    const text = readFileSync(at("job/job.json"), "utf8");
    for (const changed of [text.replace("y.npy", "z.npy"), text.replace(`"parts": ${PARTS}`, '"parts": 9')]) {
      expect(changed).not.toBe(text);
      writeFileSync(at("job/job.json"), changed);
      await refusedBy(undefined, "its hash is not that of what it says");
    }
    for (const changed of [text.slice(0, 200), "", "null", "[]", "{}", '{"hash":1,"record":null}', "\0"]) {
      writeFileSync(at("job/job.json"), changed);
      await refusedBy(undefined, "job.json");
    }
  });

  const [input, work] = [(job: Job) => job.inputs[0] as object, (job: Job) => job.work as object];
  test.each<readonly [what: string, change: (job: Job) => object, words: string]>([
    [
      "another version of the plan",
      (job) => ({ ...job, planVersion: job.planVersion + 1 }),
      "expected a plan of version",
    ],
    ["another version of jobs", (job) => ({ ...job, version: 2 }), "expected a job of version 1"],
    ["another hash of the plans", (job) => ({ ...job, plans: `sha256:${"0".repeat(64)}` }), "makes another plan"],
    ["no hash of the plans", (job) => ({ ...job, plans: "sha256:" }), "plans"],
    [
      "another geometry",
      (job) => ({ ...job, work: { ...work(job), geometry: { n: 1, r: 20_011, g: 32, k: 2, s: 1 } } }),
      "makes another plan",
    ],
    [
      "a geometry of more cells",
      (job) => ({ ...job, work: { ...work(job), geometry: { n: 1, r: 20_012, g: 64, k: 1, s: 1 } } }),
      "as many cells as the input has",
    ],
    [
      "a geometry of fractions",
      (job) => ({ ...job, work: { ...work(job), geometry: { n: 1, r: 0.5, g: 64, k: 1, s: 1 } } }),
      "work",
    ],
    ["unknown work", (job) => ({ ...job, work: { ...work(job), kind: "toString" } }), "work"],
    ["no parts", (job) => ({ ...job, parts: 0 }), "parts"],
    ["parts beyond numbers", (job) => ({ ...job, parts: 1e300 }), "parts"],
    ["stripes of nothing", (job) => ({ ...job, stripeBytes: 1 }), "stripeBytes"],
    ["an id that leads elsewhere", (job) => ({ ...job, id: "../../../etc/passwd" }), "id"],
    ["a relative input", (job) => ({ ...job, inputs: [{ ...input(job), path: "x.npy" }] }), "inputs"],
    ["no input", (job) => ({ ...job, inputs: [] }), "inputs"],
    ["two inputs", (job) => ({ ...job, inputs: [...job.inputs, ...job.inputs] }), "one input"],
    ["another dtype", (job) => ({ ...job, inputs: [{ ...input(job), dtype: "float64" }] }), "dtype"],
    [
      "an input's option that would write",
      (job) => ({ ...job, inputs: [{ ...input(job), options: { writable: true } }] }),
      "inputs",
    ],
    ["no output", (job) => ({ ...job, output: null }), "output"],
    ["an output of no cells", (job) => ({ ...job, output: { ...job.output, cells: null } }), "output"],
    ["more than a job has", (job) => ({ ...job, command: "rm" }), "command"],
    ["no job at all", () => ({}), "it is no job"],
  ])("%s", async (_, change, words) => {
    await plan();
    await rewriteJob(at("job"), change);
    await refusedBy(undefined, words);
  });

  test("files outside of the roots, also through .. and links", async () => {
    mkdirSync(at("inside"));
    writeNpy(at("inside/x.npy"), X, SHAPE);
    mkdirSync(at("outside"));
    linkSync(at("x.npy"), at("outside/x.npy"));
    symlinkSync(at("outside"), at("inside/away"));
    const roots = [at("inside")];
    await planJob(layer, at("inside/x.npy"), at("inside/y.npy"), { folder: at("inside/job"), parts: PARTS });
    const job = await readJob(at("inside/job"));
    const within = () => readdirSync(at("outside"));
    for (const [change, name] of [
      [{ output: { ...job.output, path: at("outside/y.npy") } }, "outside/y.npy"],
      [{ output: { ...job.output, path: `${at("inside")}/../outside/y.npy` } }, "inside/../outside/y.npy"],
      [{ output: { ...job.output, path: at("inside/away/y.npy") } }, "inside/away/y.npy"],
      [{ output: { ...job.output, path: at("inside-not/y.npy") } }, "inside-not/y.npy"],
      [{ inputs: [{ ...job.inputs[0], path: at("x.npy") }] }, "x.npy"],
      [{ inputs: [{ ...job.inputs[0], path: at("inside/away/x.npy") }] }, "inside/away/x.npy"],
    ] as const) {
      await rewriteJob(at("inside/job"), () => ({ ...job, ...change }));
      for (const step of [
        () => runPart(pool, at("inside/job"), "moments", 0, { roots }),
        () => finishJob(at("inside/job"), { roots }),
        () => removeJob(at("inside/job"), { roots }),
      ]) {
        await expect(step()).rejects.toThrow(
          `expected folders that the job's files are below, as ${folder}/${name} is,`,
        );
      }
      expect(within()).toEqual(["x.npy"]);
    }
    await rewriteJob(at("inside/job"), () => job);
    await expect(jobStatus(at("inside/job"), { roots: [at("outside")] })).rejects.toThrow("roots");
    await runAllParts([pool], at("inside/job"));
    await finishJob(at("inside/job"), { roots });
    expect(Buffer.compare(readFileSync(at("inside/y.npy")), expected)).toBe(0);
  });

  test("what parts left: bytes that changed, another job's, another part's", async () => {
    await plan();
    for (let part = 0; part < PARTS; part++) await runPart(pool, at("job"), "moments", part);
    const [zero, one] = ["moments-0", "moments-1"].map((name) => readFileSync(at(`job/${name}`))) as [Buffer, Buffer];
    for (const changed of [
      Buffer.from(zero.map((byte, i) => (i === 300 ? byte ^ 1 : byte))),
      zero.subarray(0, -1),
      Buffer.concat([zero, Buffer.alloc(8)]),
      one,
      Buffer.alloc(0),
    ]) {
      writeFileSync(at("job/moments-0"), changed);
      await expect(mergeParts(pool, at("job"))).rejects.toMatchObject({ code: "file-format" });
      expect(existsSync(at("job/moments"))).toBe(false);
    }
    writeFileSync(at("job/moments-0"), zero);
    await mergeParts(pool, at("job"));
    const moments = readFileSync(at("job/moments"));
    writeFileSync(at("job/moments"), Buffer.from(moments.map((byte, i) => (i === 300 ? byte ^ 1 : byte))));
    await expect(runPart(pool, at("job"), "apply", 0)).rejects.toMatchObject({ code: "file-format" });
    expect(readdirSync(at("job")).some((name) => name.startsWith("apply"))).toBe(false);
  });

  test("weights that changed", async () => {
    const affine = new BatchNorm1d(64);
    affine.weight?.fill(2);
    await planJob(affine, at("x.npy"), at("y.npy"), { folder: at("job"), parts: PARTS });
    for (let part = 0; part < PARTS; part++) await runPart(pool, at("job"), "moments", part);
    await mergeParts(pool, at("job"));
    const name = readdirSync(at("job")).find((own) => own.startsWith("weights-")) as string;
    const bytes = readFileSync(at(`job/${name}`));
    bytes[bytes.length - 2] = 1;
    writeFileSync(at(`job/${name}`), bytes);
    await expect(runPart(pool, at("job"), "apply", 0)).rejects.toThrow("it has not the job's weights");
  });

  test("an output that is another file, or a link to one", async () => {
    await plan();
    for (let part = 0; part < PARTS; part++) await runPart(pool, at("job"), "moments", part);
    await mergeParts(pool, at("job"));
    const [partial] = readdirSync(folder).filter((name) => name.endsWith(".partial"));
    rmSync(at(partial as string));
    writeFileSync(at("victim"), "mine");
    symlinkSync(at("victim"), at(partial as string));
    await expect(runPart(pool, at("job"), "apply", 0)).rejects.toMatchObject({ code: "write-failed" });
    rmSync(at(partial as string));
    writeFileSync(at(partial as string), "mine");
    await expect(runPart(pool, at("job"), "apply", 0)).rejects.toMatchObject({ code: "file-format" });
    expect(readFileSync(at("victim"), "utf8")).toBe("mine");
    expect(readFileSync(at(partial as string), "utf8")).toBe("mine");
  });
});

test("a signal ends a part, which leaves nothing", async () => {
  await plan();
  const aborted = AbortSignal.abort();
  await expect(runPart(pool, at("job"), "moments", 0, { signal: aborted })).rejects.toMatchObject({ code: "aborted" });
  expect(readdirSync(at("job"))).toEqual(["job.json"]);
});

test.each([
  ["batch-norm", "2", ["moments", "apply"]],
  ["layer-norm", "1", ["apply"]],
] as const)("by plain commands, %s in %s parts: each part a process", (name, count, phases) => {
  expect(runIn(folder, [name, "x.npy", "-o", "whole.npy"]).status).toBe(0);
  const planned = runIn(folder, ["job", "plan", name, "x.npy", "-o", "y.npy", "--parts", count, "--job", "job"]);
  expect(planned.stderr).toBe("");
  expect(planned.stdout).toContain("normpool job run job apply PART");
  for (const phase of ["moments", "apply"]) {
    for (let part = Number(count) - 1; part >= 0; part--) {
      const { status, stdout, stderr } = runIn(folder, ["job", "run", "job", phase, String(part)]);
      expect([status, stderr]).toEqual([0, ""]);
      const isOne = (phases as readonly string[]).includes(phase);
      expect(stdout).toBe(isOne ? `done: part ${part} of ${phase}\n` : "job has no moments: there is nothing to do\n");
    }
    if (phase === "moments") expect(runIn(folder, ["job", "merge", "job"]).status).toBe(0);
  }
  const status = JSON.parse(runIn(folder, ["job", "status", "job", "--json"]).stdout);
  expect(status.phases).toEqual(phases.map((phase) => ({ phase, parts: Number(count), done: Number(count) })));
  expect(runIn(folder, ["job", "finish", "job", "--remove"]).stdout).toBe(`finished: ${status.output}\n`);
  expect(Buffer.compare(readFileSync(at("y.npy")), readFileSync(at("whole.npy")))).toBe(0);
  expect(readdirSync(folder).sort()).toEqual(["whole.npy", "x.npy", "y.npy"]);
});
