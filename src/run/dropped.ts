// Pools that are dropped and not closed: nobody else ends their threads.
import { collectSoon } from "../memory/collect.js";
import type { Executor } from "./executor.js";

/** So many pools at once are more than a program has on purpose: from here on it is asked whether some are dropped. */
const MANY = 8;

let open = 0;
let collectAt = MANY;

/** A call that runs refers to its pool: a pool is dropped when its calls have ended. */
const dropped = new FinalizationRegistry<Executor>((executor) => void release(executor));

/** Releases what a pool computes with when the pool is dropped. It must not refer to the pool. */
export function releaseWith(pool: object, executor: Executor): void {
  dropped.register(pool, executor, executor);
  open++;
  if (open < collectAt) return;
  // Threads are nothing that V8 would collect for. Of pools that are all in use it is asked seldom.
  collectAt = 2 * open;
  void collectSoon();
}

/** Ends the threads and lets the memory go, once. */
export async function release(executor: Executor): Promise<void> {
  dropped.unregister(executor);
  open--;
  collectAt = Math.max(MANY, 2 * open);
  await executor.release();
}
