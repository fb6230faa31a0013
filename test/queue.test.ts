// Whose slices come first. The interleaving is forced: the threads of these tests do what they are told, a slice at a time.
import { describe, expect, test } from "vitest";
import { LayerNorm, NormPool } from "../src/index.js";
import { type Crew, Queue, type QueueOptions } from "../src/run/queue.js";
import type { TaskEnd } from "../src/run/threads.js";
import type { Job } from "../src/run/work.js";
import { claimSlices } from "../workers/claim.js";
import { type Control, finish, STAGE_OF, setProgress } from "../workers/control.js";

interface Task {
  readonly call: string;
  readonly control: Control;
  readonly slices: number;
  readonly seat: number;
}

/** Threads that claim a slice when they are told to. */
class SteppedThreads implements Crew {
  readonly count: number;
  /** By seat, what runs there. */
  readonly running = new Map<number, Task & { end(end: TaskEnd): void }>();

  constructor(count: number) {
    this.count = count;
  }

  post(seat: number, task: unknown): Promise<TaskEnd> {
    expect(this.running.has(seat)).toBe(false);
    return new Promise((end) => {
      this.running.set(seat, { ...(task as Task), end });
    });
  }

  /** Seats whose threads were ended. */
  readonly stuck: number[] = [];

  end(seat: number): void {
    this.stuck.push(seat);
    void this.lose(seat, { kind: "died", error: new Error("stuck"), ready: true });
  }

  get alive(): number {
    return this.count;
  }

  readonly lost = 0;

  async close(): Promise<void> {}

  /** Which calls' tasks are running, by seat. */
  get calls(): string[] {
    return [...this.running].sort(([a], [b]) => a - b).map(([, { call }]) => call);
  }

  /** The seat takes its next slice, or where there is none, or it is told to stop, ends its task. Returns whether it took one. */
  async step(seat: number): Promise<boolean> {
    const task = this.#taskOf(seat);
    let took = false;
    claimSlices(claimed(task), () => (took = true), 1);
    if (!took) await this.lose(seat, { kind: "done" });
    return took;
  }

  /** The seat claims its next slice, and does not finish it. */
  take(seat: number): number {
    const task = this.#taskOf(seat);
    const found = { slice: -1 };
    const half = new Error("in the middle of a slice");
    const begin = (slice: number) => {
      setProgress(task.control, slice, 0, STAGE_OF.computing);
      found.slice = slice;
      throw half;
    };
    expect(() => claimSlices(claimed(task), begin)).toThrow(half);
    return found.slice;
  }

  /** The seat finishes the slice that it took. */
  complete(seat: number, slice: number): void {
    finish(this.#taskOf(seat).control, seat, slice);
  }

  /** The seat's task ends so. */
  async lose(seat: number, end: TaskEnd): Promise<void> {
    const task = this.#taskOf(seat);
    this.running.delete(seat);
    task.end(end);
    await settled();
  }

  /** Every seat to its task's end. */
  async finish(call: string): Promise<void> {
    for (const [seat, task] of [...this.running]) if (task.call === call) while (await this.step(seat));
  }

  #taskOf(seat: number) {
    const task = this.running.get(seat);
    if (task === undefined) throw new Error(`nothing runs in seat ${seat}`);
    return task;
  }
}

function claimed({ control, seat, slices }: Task) {
  return { control, seat, slices: { from: 0, to: slices, perSlice: 1 } };
}

const died: TaskEnd = { kind: "died", error: new Error("gone"), ready: true };
const unborn: TaskEnd = { kind: "died", error: new Error("no threads to be had"), ready: false };

/** All that follows from what has happened is done. */
function settled(): Promise<void> {
  return new Promise(setImmediate);
}

function setUp(threads: number, options: QueueOptions & Partial<Job> = {}) {
  const { fallback, sliceTimeout, ...more } = options;
  const crew = new SteppedThreads(threads);
  const queue = new Queue(crew, { fallback, sliceTimeout });
  const ended: string[] = [];
  const errors: unknown[] = [];
  /** Slices that the calling thread computed. */
  const here: number[] = [];
  const jobOf = (call: string, slices: number, ticket = queue.ticket("test")): Job => ({
    operation: call,
    ticket,
    phase: "apply",
    slices,
    overwrites: false,
    taskFor: (control, seat): Task => ({ call, control, slices, seat }),
    claim: (control, seat, most) =>
      claimSlices(claimed({ call, control, slices, seat }), (slice) => here.push(slice), most),
    ...more,
  });
  const run = (call: string, slices: number, options = {}, ticket?: number) =>
    queue.run(jobOf(call, slices, ticket), options).then(
      () => ended.push(call),
      (error: Error) => {
        errors.push(error);
        ended.push(`${call}: ${error.name}`);
      },
    );
  return { crew, queue, ended, errors, here, jobOf, run };
}

describe("the queue", () => {
  test("gives all threads to the earliest call, and each that finds no more of it to the next", async () => {
    const { crew, ended, run } = setUp(2);
    for (const call of ["a", "b", "c"]) void run(call, 3);
    expect(crew.calls).toEqual(["a", "a"]);
    expect(await crew.step(0)).toBe(true);
    expect(await crew.step(1)).toBe(true);
    const last = crew.take(0);
    expect(await crew.step(1)).toBe(false);
    // The other one still has its slice.
    expect(crew.calls).toEqual(["a", "b"]);
    expect(ended).toEqual([]);
    crew.complete(0, last);
    expect(await crew.step(0)).toBe(false);
    expect(ended).toEqual(["a"]);
    expect(crew.calls).toEqual(["b", "b"]);
    await crew.finish("b");
    expect(crew.calls).toEqual(["c", "c"]);
    await crew.finish("c");
    expect(ended).toEqual(["a", "b", "c"]);
  });

  test("lets a later call fill threads that an earlier one has no use for", async () => {
    const { crew, ended, run } = setUp(3);
    void run("a", 1);
    void run("b", 5);
    expect(crew.calls).toEqual(["a", "b", "b"]);
    await crew.finish("b");
    expect(ended).toEqual(["b"]);
    await crew.finish("a");
    expect(ended).toEqual(["b", "a"]);
  });

  test("asks a later call's tasks to leave after their slice when an earlier one's next phase is there", async () => {
    const { crew, queue, ended, run } = setUp(2);
    const first = queue.ticket("test");
    void run("a moments", 2, {}, first);
    void run("b", 10);
    expect(await crew.step(0)).toBe(true);
    expect(await crew.step(1)).toBe(true);
    await crew.step(0);
    expect(crew.calls).toEqual(["b", "a moments"]);
    await crew.step(1);
    // Nothing of the first call is there at the moment.
    expect(crew.calls).toEqual(["b", "b"]);
    expect(await crew.step(0)).toBe(true);
    void run("a apply", 2, {}, first);
    expect(await crew.step(0)).toBe(false);
    expect(crew.calls).toEqual(["a apply", "b"]);
    expect(await crew.step(1)).toBe(false);
    expect(crew.calls).toEqual(["a apply", "a apply"]);
    await crew.finish("a apply");
    // What was left of the other is taken up again.
    expect(crew.calls).toEqual(["b", "b"]);
    await crew.finish("b");
    expect(ended).toEqual(["a moments", "a apply", "b"]);
  });

  test("gives an earlier call's next phase the threads before a later call gets them", async () => {
    const { crew, queue, run } = setUp(1);
    const first = queue.ticket("test");
    const both = run("a moments", 1, {}, first).then(() => run("a apply", 1, {}, first));
    void run("b", 1);
    await crew.finish("a moments");
    expect(crew.calls).toEqual(["a apply"]);
    await crew.finish("a apply");
    expect(crew.calls).toEqual(["b"]);
    await both;
  });

  test("rejects a call that waits at once when its signal fires, and the others do not notice", async () => {
    const { crew, ended, run } = setUp(2);
    const controller = new AbortController();
    void run("a", 4);
    void run("b", 4, { signal: controller.signal });
    void run("c", 4);
    controller.abort();
    await settled();
    expect(ended).toEqual(["b: AbortError"]);
    expect(crew.calls).toEqual(["a", "a"]);
    await crew.finish("a");
    expect(crew.calls).toEqual(["c", "c"]);
    await crew.finish("c");
    expect(ended).toEqual(["b: AbortError", "a", "c"]);
  });

  test("rejects a call that runs when each of its threads has done its slice", async () => {
    const { crew, ended, run } = setUp(2);
    const controller = new AbortController();
    void run("a", 10, { signal: controller.signal });
    void run("b", 1);
    const slices = [crew.take(0), crew.take(1)];
    controller.abort();
    await settled();
    for (const seat of [0, 1]) {
      expect(ended).toEqual([]);
      crew.complete(seat, slices[seat] as number);
      expect(await crew.step(seat)).toBe(false);
    }
    expect(ended).toEqual(["a: AbortError"]);
    await crew.finish("b");
    expect(ended).toEqual(["a: AbortError", "b"]);
  });

  test("does not wait for threads that have yet to come to an aborted call", async () => {
    const { crew, ended, run } = setUp(2);
    const controller = new AbortController();
    void run("a", 10, { signal: controller.signal });
    await crew.step(0);
    controller.abort();
    await settled();
    expect(ended).toEqual(["a: AbortError"]);
    // They find nothing to do there.
    expect([await crew.step(0), await crew.step(1)]).toEqual([false, false]);
  });

  test("does not start a call whose signal has fired already", async () => {
    const { crew, ended, run } = setUp(1);
    await run("a", 1, { signal: AbortSignal.abort() });
    expect(ended).toEqual(["a: AbortError"]);
    expect(crew.calls).toEqual([]);
  });
});

describe("a slice whose thread is lost", () => {
  test.each(["died", "threw"] as const)("(%s) is done by another, after the others' slices", async (kind) => {
    const { crew, ended, run } = setUp(2);
    void run("a", 3);
    expect(crew.take(0)).toBe(0);
    await crew.lose(0, kind === "died" ? died : { kind, error: new Error("trap") });
    // Its seat has another thread, which takes what is left.
    expect(crew.calls).toEqual(["a", "a"]);
    expect(crew.take(0)).toBe(1);
    await crew.lose(0, died);
    expect(await crew.step(1)).toBe(true);
    for (const seat of [1, 0]) expect(await crew.step(seat)).toBe(false);
    expect(ended).toEqual([]);
    expect(crew.calls).toEqual(["a", "a"]);
    expect([crew.take(1), crew.take(0)]).toEqual([0, 1]);
    await crew.lose(1, died);
    await crew.lose(0, died);
    // First what is left of the round, then what was lost in it.
    while (crew.running.size > 0) await crew.finish("a");
    expect(ended).toEqual(["a"]);
  });

  test("is given up when it was begun three times, with phase, slice, attempt and cause", async () => {
    const { crew, ended, errors, run } = setUp(2);
    void run("a", 1);
    for (let attempt = 1; attempt <= 3; attempt++) {
      expect(ended).toEqual([]);
      const [seat] = [...crew.running.keys()] as [number];
      expect(crew.take(seat)).toBe(0);
      await crew.lose(seat, died);
    }
    expect(ended).toEqual(["a: WorkerFailedError"]);
    expect(errors).toMatchObject([
      {
        message: "a: a worker thread failed, at slice 0 of phase apply, attempt 3: gone",
        lost: { phase: "apply", slice: 0, attempt: 3 },
        cause: { message: "gone" },
        undefinedCells: [],
      },
    ]);
    expect(crew.calls).toEqual([]);
  });

  test("that had written over its input fails the call, which names what is undefined; one not begun does not", async () => {
    const cellsOf = (slice: number) => [{ from: 10 * slice, to: 10 * slice + 10 }];
    const { crew, ended, errors, run } = setUp(2, { overwrites: true, cellsOf });
    void run("a", 5);
    await crew.lose(1, died);
    expect(crew.calls).toEqual(["a", "a"]);
    expect([crew.take(0), crew.take(1)]).toEqual([0, 1]);
    await crew.lose(0, died);
    await crew.lose(1, { kind: "threw", error: new Error("trap") });
    expect(ended).toEqual(["a: WorkerFailedError"]);
    expect(errors).toMatchObject([
      {
        undefinedCells: [
          { from: 0, to: 10 },
          { from: 10, to: 20 },
        ],
      },
    ]);
    expect(String(errors[0])).toContain("; undefined in place: cells [0, 10), [10, 20)");
  });

  test("is made ready before its seat is another's, where that can be done", async () => {
    const recovered: [seat: number, slice: number][] = [];
    const recover = (_: Control, seat: number, slice: number) => void recovered.push([seat, slice]);
    const { crew, ended, run } = setUp(1, { overwrites: true, recover });
    void run("a", 1);
    crew.take(0);
    await crew.lose(0, died);
    expect(recovered).toEqual([[0, 0]]);
    await crew.finish("a");
    expect(ended).toEqual(["a"]);
  });

  test("does not keep a call waiting that is aborted meanwhile", async () => {
    const { crew, ended, run } = setUp(1);
    const controller = new AbortController();
    void run("a", 1, { signal: controller.signal });
    crew.take(0);
    controller.abort();
    await settled();
    expect(ended).toEqual([]);
    await crew.lose(0, died);
    expect(ended).toEqual(["a: AbortError"]);
  });

  test("of a thread that is stuck is done by another", async () => {
    const { crew, ended, run } = setUp(2, { sliceTimeout: 8 });
    void run("a", 2 ** 30);
    crew.take(1);
    // The other one goes on: at each tick it has done more.
    while (crew.stuck.length === 0) {
      await crew.step(0);
      await settled();
    }
    expect(crew.stuck).toEqual([1]);
    expect(crew.calls).toEqual(["a", "a"]);
    expect(ended).toEqual([]);
  });
});

describe("threads that cannot be had", () => {
  test("cost no call its slices: the calling thread computes them, once that is told", async () => {
    const warnings: string[] = [];
    const onWarning = ({ message }: Error) => void warnings.push(message);
    process.on("warning", onWarning);
    for (const call of ["a", "b"]) {
      const { crew, queue, ended, here, run } = setUp(2);
      void run(call, 4);
      for (const seat of [0, 1, 0, 1]) await crew.lose(seat, unborn);
      while (ended.length === 0) await settled();
      expect(ended).toEqual([call]);
      expect(here).toEqual([0, 1, 2, 3]);
      await queue.close();
    }
    process.off("warning", onWarning);
    expect(warnings).toEqual([
      "normpool: no worker thread can be had (no threads to be had): calls are computed on the calling thread, slice by slice",
    ]);
  });

  test("are tried again later", async () => {
    const { crew, ended, here, run } = setUp(1);
    void run("a", 2 ** 20);
    for (let times = 0; times < 2; times++) await crew.lose(0, unborn);
    // The seat rests for a second; meanwhile the calling thread computes, a slice a turn.
    while (crew.calls.length === 0) await settled();
    expect(here.length).toBeGreaterThan(0);
    await crew.finish("a");
    expect(ended).toEqual(["a"]);
  });

  test("are not waited for by a call that the calling thread shares, nor by those after it", async () => {
    const { crew, queue, ended, here, jobOf, run } = setUp(1);
    void run("a", 1);
    for (let times = 0; times < 2; times++) await crew.lose(0, unborn);
    while (ended.length === 0) await settled();
    // The calling thread looks once more whether there is something to do, in a later turn.
    for (let turn = 0; turn < 3; turn++) await settled();
    let looks = 0;
    const shared: Job = {
      ...jobOf("b", 3),
      get slices() {
        looks++;
        return 3;
      },
    };
    expect(queue.share(shared)).toBeUndefined();
    // Not until the stack is full.
    expect(looks).toBeLessThan(100);
    expect(here).toEqual([0, 0, 1, 2]);
    void run("c", 2);
    while (ended.length === 1) await settled();
    expect(ended).toEqual(["a", "c"]);
    await queue.close();
  });

  test("are done without where some can be had", async () => {
    const { crew, ended, here, run } = setUp(2);
    void run("a", 4);
    for (let times = 0; times < 2; times++) await crew.lose(1, unborn);
    expect(crew.calls).toEqual(["a"]);
    await crew.finish("a");
    expect(ended).toEqual(["a"]);
    expect(here).toEqual([]);
  });

  test("fail calls where the calling thread is not to compute", async () => {
    const { crew, queue, ended, errors, run } = setUp(1, { fallback: false });
    void run("a", 4);
    void run("b", 4);
    for (let times = 0; times < 2; times++) await crew.lose(0, unborn);
    expect(ended).toEqual(["a: WorkerFailedError", "b: WorkerFailedError"]);
    expect(errors[0]).toMatchObject({ message: "a: a worker thread failed: no threads to be had", lost: undefined });
    await queue.close();
  });
});

// Of two, one may be held up in the last slice of a call while the other does all of the next.
describe("a pool of one thread", () => {
  const SHAPE = [4096, 1024];
  const layer = new LayerNorm(1024);

  test("ends calls in the order in which they came, and a small one before the large ones that it came after", async () => {
    await using pool = new NormPool({ threads: 1 });
    const large = Array.from({ length: 10 }, () => pool.tensor("float32", SHAPE));
    const small = pool.tensor("float32", [4, 1024]);
    const ended: string[] = [];
    const calls = large.map((x, i) => pool.forward(layer, x, { out: x }).then(() => ended.push(`large ${i}`)));
    await pool.forward(layer, small, { out: small }).then(() => ended.push("small"));
    await Promise.all(calls);
    expect(ended).toEqual(["small", ...large.map((_, i) => `large ${i}`)]);
  });

  test("rejects a sixth call that waits, and computes the five before it", async () => {
    await using pool = new NormPool({ threads: 1 });
    const tensors = Array.from({ length: 6 }, () => pool.tensor("float32", SHAPE));
    const ended: string[] = [];
    const controller = new AbortController();
    const calls = tensors.map((x, i) => {
      const signal = i === 5 ? controller.signal : undefined;
      return pool.forward(layer, x, { out: x, signal }).then(
        () => ended.push(`call ${i}`),
        (error: Error) => ended.push(`call ${i}: ${error.name}`),
      );
    });
    controller.abort();
    await Promise.all(calls);
    expect(ended).toEqual(["call 5: AbortError", "call 0", "call 1", "call 2", "call 3", "call 4"]);
  });
});
