// What waiting is made of, as it was when normpool was loaded: mocked timers of tests, and whatever else is put in their place later, need
// not run by themselves, and a call must.
export const { setImmediate, setInterval, clearInterval, setTimeout, clearTimeout } = globalThis;
export const { nextTick } = process;
/** Milliseconds since some time. */
export const now: () => number = performance.now.bind(performance);

/** The next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
