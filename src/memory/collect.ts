import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collector: (() => void) | undefined;

/**
 * Runs a full garbage collection now. Shared memory does not count towards V8's idea of memory pressure, so
 * dropped tensors would wait for a collection that nothing else asks for.
 */
export function collectGarbage(): void {
  collector ??= findCollector();
  collector();
}

function findCollector(): () => void {
  const exposed: unknown = Reflect.get(globalThis, "gc");
  if (typeof exposed === "function") return () => exposed();
  // The flag adds `gc` to contexts made after it; the process' own global stays as it was.
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  return typeof gc === "function" ? () => gc() : () => {};
}
