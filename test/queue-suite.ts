// Jobs by the workers of a queue: the same tests for each server that there can be.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import * as bullmq from "bullmq";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import {
  BatchNorm2d,
  GroupNorm,
  InstanceNorm2d,
  type Layer,
  LayerNorm,
  NormPool,
  planJob,
  QueueFailedError,
  queueStatus,
  RMSNorm,
  removeJob,
  runWorker,
  submitJob,
  type WorkerEvent,
  writeNpy,
} from "../src/index.js";
import { runIn } from "./command.js";
import { type Backend, isInstalled, type QueueServer, startServer } from "./queue-servers.js";
import { DEAD_AFTER, type Fate, type Running, start, startWorker } from "./queue-workers.js";
import { normal, seeded } from "./support.js";

const SHAPE = [48, 8, 32, 16] as const;
const CELLS = 48 * 8 * 32 * 16;

/** Whether every layer is done in every number of parts, and many workers are killed: minutes. */
const { NORMPOOL_QUEUE_THOROUGH } = process.env;
const IS_THOROUGH = NORMPOOL_QUEUE_THOROUGH !== undefined;

const LAYERS: readonly { readonly make: () => Layer; readonly parts: readonly number[] }[] = [
  { make: () => new BatchNorm2d(8, { affine: false, trackRunningStats: false }), parts: [1, 5] },
  { make: () => new LayerNorm([32, 16], { elementwiseAffine: false }), parts: [5] },
  { make: () => new LayerNorm([...SHAPE], { elementwiseAffine: false }), parts: [64] },
  { make: () => new GroupNorm(4, 8), parts: [1] },
  { make: () => new InstanceNorm2d(8), parts: [5] },
  { make: () => new RMSNorm([8, 32, 16]), parts: [1] },
];
const KILLS = 20;
/** What gets its name in each step: of a part, the merge, and the end. */
const STEPS = [
  /moments-\d+$/,
  ...(IS_THOROUGH ? [/moments$/] : []),
  /apply-\d+$/,
  /y-\d+\.npy$/,
  ...(IS_THOROUGH ? [/finished\.json$/] : []),
];

export function testQueue(backend: Backend): void {
  // Many processes start and end, one after the other.
  vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });
  const isHere = isInstalled(backend);
  describe.skipIf(!isHere)(`a queue of ${backend}${isHere ? "" : ", which is not installed"}`, () => {
    const root = mkdtempSync(join(tmpdir(), "normpool-queue-"));
    const input = join(root, "x.npy");
    const pool = new NormPool({ threads: 1 });
    const running = new Set<Running>();
    const ends = new Set<() => Promise<void>>();
    let server: QueueServer;
    let jobs = 0;

    beforeAll(async () => {
      server = await startServer(backend);
      await writeNpy(input, normal(CELLS, 1, 3, 2), [...SHAPE]);
    });
    afterEach(async () => {
      for (const process of running) process.kill("SIGKILL");
      await Promise.all([...running].map(({ ended }) => ended));
      running.clear();
      await Promise.all([...ends].map((end) => end()));
    });
    afterAll(async () => {
      await pool.close();
      await server?.stop();
      rmSync(root, { recursive: true });
    });

    const kept = (process: Running): Running => {
      running.add(process);
      return process;
    };
    /** A process of its own, with a fate. */
    const mortal = (queueName: string, fate: Fate) => kept(startWorker(root, server.url, queueName, fate));

    interface Worker {
      readonly events: readonly WorkerEvent[];
      /** Resolves when an event is like `pattern`, in JSON. */
      event(pattern: RegExp): Promise<void>;
      /** With the part at hand. */
      end(): Promise<void>;
    }

    /** A worker of this process: it starts at once. */
    function worker(queueName: string, roots = [root]): Worker {
      const controller = new AbortController();
      const events: WorkerEvent[] = [];
      const waiting = new Set<() => void>();
      const onEvent = (event: WorkerEvent) => {
        events.push(event);
        for (const look of waiting) look();
      };
      const options = { queue: server.url, queueName, roots, signal: controller.signal, deadAfter: DEAD_AFTER * 1000 };
      const ended = runWorker(pool, { ...options, onEvent });
      const end = () => {
        controller.abort();
        ends.delete(end);
        return ended;
      };
      ends.add(end);
      const event = (pattern: RegExp) =>
        new Promise<void>((resolve) => {
          const look = () => {
            if (!events.some((found) => pattern.test(JSON.stringify(found)))) return;
            waiting.delete(look);
            resolve();
          };
          waiting.add(look);
          look();
        });
      return { events, event, end };
    }

    interface Planned {
      readonly id: string;
      readonly job: string;
      readonly output: string;
    }

    async function plan(layer: Layer, parts: number, from = input): Promise<Planned> {
      const name = `${jobs++}`;
      const [job, output] = [join(root, `job-${name}`), join(root, `y-${name}.npy`)];
      const id = await planJob(layer, from, output, { folder: job, parts });
      return { id, job, output };
    }

    async function expected(layer: Layer): Promise<Buffer> {
      using x = await pool.open(input);
      const path = join(root, "expected.npy");
      await writeNpy(path, (await pool.forward(layer, x)).data, [...SHAPE]);
      return readFileSync(path);
    }

    const submit = ({ job }: Planned, queueName: string) => submitJob(job, { queue: server.url, queueName });

    /** The output is what one process makes, and nothing else is left. */
    async function expectDone(layer: Layer, { job, output }: Planned): Promise<void> {
      expect(readFileSync(output).equals(await expected(layer)), `${layer}`).toBe(true);
      expect(existsSync(job)).toBe(false);
      expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
    }

    test("3 workers write what one process writes, in few parts and in many", async () => {
      for (let i = 0; i < 3; i++) worker("bits");
      const all = LAYERS.flatMap(({ make, parts: own }) =>
        (IS_THOROUGH ? [1, 5, 64] : own).map((parts) => ({ layer: make(), parts })),
      );
      const planned = await Promise.all(all.map(({ layer, parts }) => plan(layer, parts)));
      await Promise.all(planned.map((job) => submit(job, "bits")));
      for (const [i, { layer }] of all.entries()) await expectDone(layer, planned[i] as Planned);
      const { jobs: found, workers } = await queueStatus({ queue: server.url, queueName: "bits" });
      expect(workers).toBe(3);
      expect(found.map(({ id, state }) => `${id} ${state}`).sort()).toEqual(
        planned.map(({ id }) => `${id} done`).sort(),
      );
    });

    test.each(IS_THOROUGH ? [1, 5, 64] : [5])(
      "the command fits in %i parts as one process does, and a job that two wait for is one",
      async (parts) => {
        const queueName = `fit-${parts}`;
        const [one, many] = [join(root, `one-${parts}.safetensors`), join(root, `many-${parts}.safetensors`)];
        expect(runIn(root, ["fit", "x.npy", "-o", one, "--channel-axis", "1"]).status).toBe(0);
        const args = ["submit", "fit", "x.npy", "-o", many, "--channel-axis", "1", "--parts", `${parts}`];
        const both = [1, 2].map(() => kept(start(root, server.url, [...args, "--queue-name", queueName])));
        // Both have it before it can be done.
        for (const { line } of both) await line(/no worker is alive/);
        for (let i = 0; i < 3; i++) worker(queueName);
        for (const { ended, lines } of both) expect(await ended, lines.join("\n")).toBe(0);
        expect(readFileSync(many).equals(readFileSync(one))).toBe(true);
        const { jobs: found } = await queueStatus({ queue: server.url, queueName });
        expect(found.map(({ state }) => state)).toEqual(["done"]);
        expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
      },
    );

    test("a job that others finish while it is planned is planned once more", async () => {
      const args = ["submit", "layer-norm", "x.npy", "-o", "twice.npy", "--queue-name", "twice"];
      const late = kept(start(root, server.url, args, { signal: "SIGSTOP", nth: 1, pattern: /job\.json$/ }));
      await late.line(/SIGSTOP now/);
      worker("twice");
      const first = kept(start(root, server.url, args));
      expect(await first.ended, first.lines.join("\n")).toBe(0);
      late.kill("SIGCONT");
      expect(await late.ended).toBe(1);
      expect(late.lines.join("\n")).toMatch(/twice\.npy: .*it exists/);
      expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
    });

    test("workers that are killed in every step cost time and no bit", async () => {
      const layer = new BatchNorm2d(8, { affine: false, trackRunningStats: false });
      const planned = await plan(layer, 4);
      const submitted = submit(planned, "killed");
      for (const pattern of STEPS) {
        expect(await mortal("killed", { signal: "SIGKILL", nth: 1, pattern }).ended).toBe("SIGKILL");
      }
      worker("killed");
      await submitted;
      await expectDone(layer, planned);
    });

    test.runIf(IS_THOROUGH)(
      `${KILLS} workers, two at a time, that are killed anywhere cost time and no bit`,
      async () => {
        const random = seeded(14);
        const layer = new BatchNorm2d(8, { affine: false, trackRunningStats: false });
        const planned = await plan(layer, 12);
        const submitted = submit(planned, "anywhere");
        let left = KILLS;
        const live = async (): Promise<void> => {
          while (left-- > 0) {
            const fate = { signal: "SIGKILL", nth: 1 + Math.floor(random() * 4), pattern: /./ } as const;
            // The job may be done before.
            if ((await Promise.race([submitted, mortal("anywhere", fate).ended])) !== "SIGKILL") return;
          }
          worker("anywhere");
        };
        await Promise.all([live(), live(), submitted]);
        await expectDone(layer, planned);
      },
    );

    test("a worker that was stopped and wakes when the job is done changes nothing, and goes on with the next", async () => {
      const layer = new LayerNorm([32, 16], { elementwiseAffine: false });
      const planned = await plan(layer, 3);
      const stopped = mortal("stopped", { signal: "SIGSTOP", nth: 1, pattern: /apply-\d+$/ });
      const submitted = submit(planned, "stopped");
      await stopped.line(/waits for parts/);
      const other = worker("stopped");
      await submitted;
      await expectDone(layer, planned);
      utimesSync(planned.output, 1e9, 1e9);
      const before = readdirSync(root);
      await other.end();
      stopped.kill("SIGCONT");
      await stopped.line(/another worker does its part/);
      expect(readdirSync(root)).toEqual(before);
      await expectDone(layer, planned);
      expect(statSync(planned.output).mtimeMs).toBe(1e12);
      const next = await plan(layer, 2);
      await submit(next, "stopped");
      await expectDone(layer, next);
    });

    test("SIGTERM lets a worker finish its part, and take no other", async () => {
      const layer = new LayerNorm([32, 16], { elementwiseAffine: false });
      const planned = await plan(layer, 6);
      const submitted = submit(planned, "term");
      const told = mortal("term", { signal: "SIGTERM", nth: 2, pattern: /apply-\d+$/ });
      expect(await told.ended).toBe(0);
      expect(told.lines.filter((line) => /^apply \d of/.test(line)).length).toBe(2);
      worker("term");
      await submitted;
      await expectDone(layer, planned);
    });

    test("a submitter that is killed, or interrupted, and a queue without workers only wait", async () => {
      const args = ["submit", "layer-norm", "x.npy", "-o", "waits.npy", "--parts", "3", "--queue-name", "waits"];
      const killed = kept(start(root, server.url, args));
      await killed.line(/no worker is alive: the job waits for one/);
      killed.kill("SIGKILL");
      expect(await killed.ended).toBe("SIGKILL");
      const interrupted = kept(start(root, server.url, args));
      await interrupted.line(/no worker is alive/);
      interrupted.kill("SIGINT");
      expect(await interrupted.ended).toBe(130);
      expect(interrupted.lines.at(-1)).toMatch(/interrupted: job \S+ goes on without this command/);
      worker("waits");
      const last = kept(start(root, server.url, args));
      // It may be done before.
      if ((await last.ended) !== 0) expect(last.lines.join("\n")).toContain("waits.npy: cannot write there: it exists");
      const { jobs: found } = await queueStatus({ queue: server.url, queueName: "waits" });
      expect(found.map(({ state }) => state)).toEqual(["done"]);
      const layer = new LayerNorm(16, { elementwiseAffine: false });
      await expectDone(layer, { id: "", job: found[0]?.folder as string, output: join(root, "waits.npy") });
    });

    test("an input that changes under way ends the job: nothing is written, nothing left", async () => {
      const changing = join(root, "changing.npy");
      await writeNpy(changing, normal(CELLS, 2), [...SHAPE]);
      const planned = await plan(new BatchNorm2d(8), 3, changing);
      const submitted = submit(planned, "changed");
      const fate = { signal: "SIGKILL", nth: 2, pattern: /moments-\d+$/ } as const;
      expect(await mortal("changed", fate).ended).toBe("SIGKILL");
      appendFileSync(changing, "x");
      worker("changed");
      await expect(submitted).rejects.toThrow(/refused: .*changing\.npy: cannot read it: it was changed/);
      expect(existsSync(planned.job)).toBe(false);
      expect(existsSync(planned.output)).toBe(false);
      expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
    });

    test("messages that were tampered with are refused, and nothing is written", async () => {
      const outside = mkdtempSync(join(tmpdir(), "normpool-outside-"));
      try {
        const elsewhere = join(outside, "job");
        await planJob(new LayerNorm(16), input, join(outside, "y.npy"), { folder: elsewhere, parts: 2 });
        symlinkSync(elsewhere, join(root, "link"));
        const planned = await plan(new LayerNorm(16), 2);
        const files = () => [outside, elsewhere, planned.job, root].map((folder) => readdirSync(folder));
        const before = files();
        const refusing = worker("tampered");
        const { queue, close } = rawQueue(backend, server, "tampered");
        const part = { folder: planned.job, phase: "apply", part: 0 };
        const messages: readonly (readonly [name: string, data: object, said: RegExp])[] = [
          [
            "part",
            { ...part, folder: elsewhere },
            /expected folders that the job's files are below, as .*outside-\w+.job/,
          ],
          ["part", { ...part, folder: join(root, "link") }, /expected folders that the job's files are below/],
          ["part", { ...part, folder: `${root}/../${root}/job` }, /without \. and \.\. for folder/],
          ["part", { ...part, part: 2 }, /expected 0 to 1 for part but got 2/],
          ["part", { ...part, phase: "moments" }, /expected one of this job's/],
          ["part", { ...part, cells: [1] }, /alone for message but got one with ./],
          ["job", { folder: planned.job, step: "remove" }, /it is the folder of another job/],
          ["job", { folder: elsewhere, step: "remove" }, /expected folders that the job's files are below/],
        ];
        try {
          for (const [name, data, said] of messages) {
            await queue.add(name, data);
            await refusing.event(said);
          }
        } finally {
          await close();
        }
        expect(files()).toEqual(before);
        await removeJob(planned.job);
      } finally {
        rmSync(outside, { recursive: true });
        rmSync(join(root, "link"));
      }
    });

    test("a worker refuses jobs whose files are not below its folders, and the submitter says so", async () => {
      const folder = join(root, "below");
      mkdirSync(folder);
      const planned = await plan(new LayerNorm(16), 2);
      const elsewhere = worker("roots", [folder]);
      await expect(submit(planned, "roots")).rejects.toThrow(
        /refused: expected folders that the job's files are below/,
      );
      await elsewhere.event(/"reason":"refused: expected folders/);
      expect(existsSync(planned.output)).toBe(false);
      // It may not touch what it may not open.
      expect(existsSync(planned.job)).toBe(true);
      await removeJob(planned.job);
    });

    test("a wrong password, and a server that is not there, are said without the password", async () => {
      const away = server.url.replace(/:\d+\//, ":1/");
      const submitting = ["submit", "layer-norm", "x.npy", "-o", "none.npy"];
      for (const [url, args, said] of [
        [server.wrongUrl, ["worker"], /WRONGPASS|password authentication failed/],
        [server.wrongUrl, submitting, /WRONGPASS|password authentication failed/],
        [away, ["status"], /127\.0\.0\.1:1\/.*: connect ECONNREFUSED/],
      ] as const) {
        const { ended, lines } = kept(start(root, url, args));
        expect(await ended).toBe(1);
        expect(lines.join("\n")).toMatch(said);
        expect(lines.join("\n")).not.toMatch(/s3cret|wr0ng/);
      }
      const error = await queueStatus({ queue: server.wrongUrl }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(QueueFailedError);
      expect(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toMatch(/s3cret|wr0ng/);
      expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
    });
  });
}

/** To put there what normpool does not. */
function rawQueue(backend: Backend, { url }: QueueServer, name: string) {
  if (backend === "Redis") {
    const queue = new bullmq.Queue(name, { connection: { url } });
    return { queue, close: () => queue.close() };
  }
  const { Queue } = bullmq.withBackend(bullmq.createPostgresBackend);
  const queue = new Queue(name, { connection: { connectionString: url, schema: "normpool" } });
  return { queue, close: () => queue.close() };
}
