// Looking at many files of a job, some at a time.
import { expect, test } from "vitest";
import { someAtOnce } from "../src/jobs/some-at-once.js";

/** What runs until it is told to end. */
function held() {
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const run = (item: number) => {
    begun.push(item);
    return new Promise<void>((resolve, reject) => {
      ends.push(() => (item === 3 ? reject(new Error("3 fails")) : resolve()));
    });
  };
  return { begun, ends, run };
}

const turn = () => new Promise(setImmediate);

test("all items are run, in their order, some at a time", async () => {
  const { begun, ends, run } = held();
  const items = Array.from({ length: 100 }, (_, i) => i + 4);
  const done = someAtOnce(items, run);
  const most = begun.length;
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThan(items.length);
  for (let ended = 0; ended < items.length; ended++) {
    expect(begun.length).toBe(Math.min(items.length, most + ended));
    ends[ended]?.();
    await turn();
  }
  await done;
  expect(begun).toEqual(items);
});

test("after one that fails none is begun, and those that were begun are waited for", async () => {
  const { begun, ends, run } = held();
  let over = false;
  const done = someAtOnce(
    Array.from({ length: 100 }, (_, i) => i),
    run,
  ).finally(() => {
    over = true;
  });
  const failing = expect(done).rejects.toThrow("3 fails");
  const most = begun.length;
  ends[3]?.();
  await turn();
  expect([begun.length, over]).toEqual([most, false]);
  for (const end of ends) end();
  await failing;
  expect(begun.length).toBe(most);
});

test("nothing is done of nothing", async () => {
  await someAtOnce([], () => Promise.reject(new Error("called")));
});
