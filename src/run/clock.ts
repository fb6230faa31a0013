// What time is told by and waited with, taken when the module is loaded: what others put in its place later (mocked timers, patched globals) must
// not stop a call.
export const { nextTick } = process;
export const now: () => number = performance.now.bind(performance);
export const every = setInterval;
export const after = setTimeout;
/** Of timers of both kinds. */
export const stop: (timer: NodeJS.Timeout | undefined) => void = clearTimeout;
const soon = setImmediate;

/** The next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => soon(resolve));
}
