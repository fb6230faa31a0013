/** Who is to be told when a signal fires. One listener a signal, however many calls share it: Node warns of more than ten. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `stop` when `signal` fires. Returns what undoes it. */
export function onAbort(signal: AbortSignal | undefined, stop: () => void): () => void {
  if (signal === undefined) return () => {};
  let stops = waiting.get(signal);
  if (stops === undefined) {
    const all = new Set<() => void>();
    stops = all;
    waiting.set(signal, all);
    signal.addEventListener("abort", () => {
      for (const one of all) one();
    });
  }
  stops.add(stop);
  return () => stops.delete(stop);
}
