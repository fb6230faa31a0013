/** So many files of a job are looked at at a time: where a system has them far away, each look is a wait. */
const AT_ONCE = 16;

/** Runs all, in their order, some at a time. After one that fails none is begun. */
export async function someAtOnce<T>(items: Iterable<T>, run: (item: T) => Promise<unknown>): Promise<void> {
  const left = items[Symbol.iterator]();
  let failed = false;
  const work = async () => {
    for (let item = left.next(); !item.done && !failed; item = left.next()) {
      await run(item.value).catch((error) => {
        failed = true;
        throw error;
      });
    }
  };
  const done = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  for (const one of done) if (one.status === "rejected") throw one.reason;
}
