// What comes from a queue, and the URL of its server, are checked as any input.
import { afterAll, describe, expect, test } from "vitest";
import { InvalidArgumentError, NormPool, queueStatus, runWorker, submitJob } from "../src/index.js";
import { readJobMessage, readPartMessage } from "../src/jobs/queue/messages.js";
import { parseQueueUrl } from "../src/jobs/queue/url.js";

const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

const JOB = { folder: "/data/job", step: "merge" };
const PART = { folder: "/data/job", phase: "apply", part: 3 };
const OTHERS = [undefined, null, true, 1.5, -1, 2 ** 53, Number.NaN, "", "x", [], {}, ["/data/job"]];
const FOLDERS = ["job", "./job", "/data/../job", "/data/./job", "/data//job", "/data/job\0", "../job"];

test("a message is as it was put there", () => {
  expect(readJobMessage("test", JOB)).toEqual(JOB);
  expect(readPartMessage("test", PART)).toEqual(PART);
});

describe.each([
  ["job's", JOB, (given: unknown) => readJobMessage("test", given)],
  ["part's", PART, (given: unknown) => readPartMessage("test", given)],
])("of a %s message", (_, message, read) => {
  test.each(Object.keys(message))("a %s that is missing, or anything else, is refused", (field) => {
    const others = field === "folder" ? [...OTHERS, ...FOLDERS] : OTHERS;
    for (const other of others) expect(() => read({ ...message, [field]: other })).toThrow(InvalidArgumentError);
    const { [field]: __, ...without } = message as Record<string, unknown>;
    expect(() => read(without)).toThrow(InvalidArgumentError);
  });

  test("anything but an object of its fields is refused", () => {
    for (const other of [
      ...OTHERS,
      [message],
      { ...message, cells: [1] },
      { ...message, __proto__x: 1 },
      JSON.stringify(message),
    ]) {
      expect(() => read(other)).toThrow(InvalidArgumentError);
    }
  });
});

test.each([
  ["redis://:pa%2Fss@host:6379/1", "redis://host:6379/1"],
  ["rediss://user:pa%2Fss@host", "rediss://user@host"],
  ["postgres://user:pa%2Fss@host:5432/db?sslmode=verify-full", "postgres://user@host:5432/db"],
  ["postgresql://user@host/db?password=pa%2Fss", "postgresql://user@host/db"],
])("the password of %s is in no message", (href, shown) => {
  const url = parseQueueUrl("test", href);
  expect(url.shown).toBe(shown);
  expect(url.hide(`no pa/ss, no pa%2Fss: ${href}`)).not.toMatch(/pa.{1,3}ss/);
});

test("what is no URL of a queue is refused, and not quoted", async () => {
  for (const queue of ["", "secret", "http://user:secret@host", "secret@host:6379", "redis//:secret@host"]) {
    const calls: readonly (() => Promise<unknown>)[] = [
      () => queueStatus({ queue }),
      () => runWorker(pool, { queue }),
      () => Promise.resolve(parseQueueUrl("test", queue)),
    ];
    for (const call of calls) {
      const error = await Promise.resolve()
        .then(call)
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidArgumentError);
      expect((error as Error).message).not.toContain("secret");
    }
  }
  await expect(queueStatus({ queue: 7 as never })).rejects.toThrow(InvalidArgumentError);
});

test("options that no queue has are refused", async () => {
  const queue = "redis://127.0.0.1:1";
  for (const queueName of ["", "a b", "a:b", "x".repeat(41), 7 as never]) {
    await expect(queueStatus({ queue, queueName })).rejects.toThrow(InvalidArgumentError);
  }
  await expect(queueStatus({ queue, other: 1 } as never)).rejects.toThrow(InvalidArgumentError);
  await expect(runWorker({} as never, { queue })).rejects.toThrow(InvalidArgumentError);
  await expect(runWorker(pool, { queue, roots: [] })).rejects.toThrow(InvalidArgumentError);
  await expect(runWorker(pool, { queue, roots: "here" as never })).rejects.toThrow(InvalidArgumentError);
  await expect(runWorker(pool, { queue, deadAfter: 10 })).rejects.toThrow(InvalidArgumentError);
  await expect(runWorker(pool, { queue, onEvent: 7 as never })).rejects.toThrow(InvalidArgumentError);
  await expect(submitJob("job", { queue, detach: 1 as never })).rejects.toThrow(InvalidArgumentError);
  await expect(submitJob("job", { queue, signal: {} as never })).rejects.toThrow(InvalidArgumentError);
  await expect(submitJob(7 as never, { queue })).rejects.toThrow(InvalidArgumentError);
});
