// Whose slices come first. The interleaving is forced: the threads of these tests do what they are told, a slice at a time.
import { describe, expect, test } from "vitest";
import { LayerNorm, NormPool } from "../src/index.js";
import { type Crew, Queue } from "../src/run/queue.js";
import type { Job } from "../src/run/work.js";
import { CONTROL } from "../workers/task.js";

interface Task {
  readonly call: string;
  readonly words: Int32Array;
  readonly slices: number;
}

/** Threads that claim a slice when they are told to. */
class SteppedThreads implements Crew {
  readonly count: number;
  /** By seat, what runs there. */
  readonly running = new Map<number, Task & { end(): void; fail(error: unknown): void }>();

  constructor(count: number) {
    this.count = count;
  }

  post(posted: unknown): Promise<void> {
    const { seat, ...task } = posted as Task & { seat: number };
    expect(this.running.has(seat)).toBe(false);
    return new Promise((resolve, reject) => {
      this.running.set(seat, { ...task, end: resolve, fail: reject });
    });
  }

  async close(): Promise<void> {}

  /** Which calls' tasks are running, by seat. */
  get calls(): string[] {
    return [...this.running].sort(([a], [b]) => a - b).map(([, { call }]) => call);
  }

  /** The seat takes its next slice, or where there is none, or it is told to stop, ends its task. Returns whether it took one. */
  async step(seat: number): Promise<boolean> {
    const task = this.running.get(seat);
    if (task === undefined) throw new Error(`nothing runs in seat ${seat}`);
    const { words, slices, end } = task;
    const stopped = Atomics.load(words, CONTROL.stop) !== 0;
    if (!stopped && Atomics.add(words, CONTROL.cursor, 1) < slices) {
      Atomics.add(words, CONTROL.done, 1);
      return true;
    }
    this.running.delete(seat);
    end();
    await settled();
    return false;
  }

  /** Every seat to its task's end. */
  async finish(call: string): Promise<void> {
    for (const [seat, task] of [...this.running]) if (task.call === call) while (await this.step(seat));
  }
}

/** All that follows from what has happened is done. */
function settled(): Promise<void> {
  return new Promise(setImmediate);
}

function setUp(threads: number) {
  const crew = new SteppedThreads(threads);
  const queue = new Queue(crew);
  const ended: string[] = [];
  const jobOf = (call: string, slices: number, ticket = queue.ticket()): Job => ({
    operation: call,
    ticket,
    slices,
    taskFor: (control, seat) => ({ call, words: new Int32Array(control), slices, seat }),
  });
  const run = (call: string, slices: number, options = {}, ticket?: number) =>
    queue.run(jobOf(call, slices, ticket), options).then(
      () => ended.push(call),
      (error: Error) => ended.push(`${call}: ${error.name}`),
    );
  return { crew, queue, ended, run };
}

describe("the queue", () => {
  test("gives all threads to the earliest call, and each that finds no more of it to the next", async () => {
    const { crew, ended, run } = setUp(2);
    for (const call of ["a", "b", "c"]) void run(call, 3);
    expect(crew.calls).toEqual(["a", "a"]);
    expect(await crew.step(0)).toBe(true);
    expect(await crew.step(1)).toBe(true);
    expect(await crew.step(0)).toBe(true);
    expect(await crew.step(1)).toBe(false);
    // The other one still has its slice.
    expect(crew.calls).toEqual(["a", "b"]);
    expect(ended).toEqual([]);
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
    const first = queue.ticket();
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
    const first = queue.ticket();
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
    await crew.step(0);
    controller.abort();
    await settled();
    expect(ended).toEqual([]);
    expect(await crew.step(0)).toBe(false);
    expect(ended).toEqual([]);
    expect(await crew.step(1)).toBe(false);
    expect(ended).toEqual(["a: AbortError"]);
    await crew.finish("b");
    expect(ended).toEqual(["a: AbortError", "b"]);
  });

  test("does not start a call whose signal has fired already", async () => {
    const { crew, ended, run } = setUp(1);
    await run("a", 1, { signal: AbortSignal.abort() });
    expect(ended).toEqual(["a: AbortError"]);
    expect(crew.calls).toEqual([]);
  });

  test("fails a call whose task fails, when its other tasks have stopped", async () => {
    const { crew, ended, run } = setUp(2);
    void run("a", 10);
    await crew.step(0);
    const failed = crew.running.get(1);
    crew.running.delete(1);
    failed?.fail(new Error("lost"));
    await settled();
    expect(ended).toEqual([]);
    expect(await crew.step(0)).toBe(false);
    expect(ended).toEqual(["a: WorkerFailedError"]);
  });
});

describe("a pool of two threads", () => {
  const SHAPE = [4096, 1024];
  const layer = new LayerNorm(1024);

  test("ends calls in the order in which they came, and a small one before the large ones that it came after", async () => {
    await using pool = new NormPool({ threads: 2 });
    const large = Array.from({ length: 10 }, () => pool.tensor("float32", SHAPE));
    const small = pool.tensor("float32", [4, 1024]);
    const ended: string[] = [];
    const calls = large.map((x, i) => pool.forward(layer, x, { out: x }).then(() => ended.push(`large ${i}`)));
    await pool.forward(layer, small, { out: small }).then(() => ended.push("small"));
    await Promise.all(calls);
    expect(ended).toEqual(["small", ...large.map((_, i) => `large ${i}`)]);
  });

  test("rejects a sixth call that waits, and computes the five before it", async () => {
    await using pool = new NormPool({ threads: 2 });
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
