import { clearTimeout, setTimeout } from "../clock.js";
import { AbortedError, TimedOutError } from "../errors.js";

/** Who is to be told when a signal fires. One listener a signal, however many calls share it: Node warns of more than ten. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `tell` when `signal` fires. Returns what undoes it. */
export function onAbort(signal: AbortSignal | undefined, tell: () => void): () => void {
  if (signal === undefined) return () => {};
  let told = waiting.get(signal);
  if (told === undefined) {
    const all = new Set<() => void>();
    told = all;
    waiting.set(signal, all);
    signal.addEventListener("abort", () => {
      for (const one of all) one();
    });
  }
  told.add(tell);
  return () => told.delete(tell);
}

/** What a call is rejected with whose signal has fired. */
export function abortion(operation: string, { reason }: AbortSignal): Error {
  return reason instanceof TimedOutError ? reason : new AbortedError(operation, reason);
}

/** @throws AbortedError, TimedOutError if the signal has fired. */
export function throwIfAborted(operation: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortion(operation, signal);
}

/** A signal that fires after `timeout` milliseconds, and when `signal` does. `end` is to be called when nobody needs it any more. */
export function withTimeout(
  operation: string,
  signal: AbortSignal | undefined,
  timeout: number,
): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  // Timers take no more than 31 bits.
  const timer = setTimeout(
    () => controller.abort(new TimedOutError(operation, timeout)),
    Math.min(timeout, 2 ** 31 - 1),
  );
  const forget = onAbort(signal, () => controller.abort(signal?.reason));
  const end = () => {
    clearTimeout(timer);
    forget();
  };
  return { signal: controller.signal, end };
}
