import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { nextTurn, setTimeout } from "../clock.js";

/** A collection takes some milliseconds, as long as it takes to fault in this much fresh memory. */
export const COLLECT_AFTER_BYTES = 64 << 20;

let collector: (() => void) | undefined;
/** Bytes of memories that have been let go of since the last collection. */
let letGo = 0;
let soon: Promise<void> | undefined;

/**
 * Runs a full garbage collection now. Shared memory does not count towards V8's idea of memory pressure, so
 * dropped tensors would wait for a collection that nothing else asks for.
 */
export function collectGarbage(): void {
  letGo = 0;
  collector ??= findCollector();
  collector();
}

/** A collection in the next turn of the event loop, when nothing that this one touches is held any more. One for all that ask in a turn. */
export function collectSoon(): Promise<void> {
  soon ??= nextTurn().then(() => {
    soon = undefined;
    collectGarbage();
  });
  return soon;
}

/** Milliseconds after which a memory that is still there is collected again. */
const AGAIN_AFTER = [10, 100, 1000];

/**
 * Nothing uses a memory of so many bytes any more. Collects where it is worth it, alone or with those before. In that turn something may refer to it
 * yet, such as a thread's last message; so it is looked at again.
 */
export async function letMemoryGo(bytes: number, memory: WeakRef<object> | undefined): Promise<void> {
  letGo += bytes;
  if (letGo < COLLECT_AFTER_BYTES) return;
  await collectSoon();
  void collectAgain(memory);
}

async function collectAgain(memory: WeakRef<object> | undefined): Promise<void> {
  for (const delay of AGAIN_AFTER) {
    await new Promise<void>((resolve) => setTimeout(resolve, delay).unref());
    if (memory?.deref() === undefined) return;
    // In another turn: this one's look keeps it.
    await collectSoon();
  }
}

function findCollector(): () => void {
  const exposed: unknown = Reflect.get(globalThis, "gc");
  if (typeof exposed === "function") return () => exposed();
  // The flag adds `gc` to contexts made after it; the process' own global stays as it was.
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  return typeof gc === "function" ? () => gc() : () => {};
}
