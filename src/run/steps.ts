// A call as a sequence of steps, some of which have to be waited for. Generators and not async functions, so that a call whose phases
// are all computed at once on the calling thread costs no promise but the one that it returns.

/** A call's steps: yields a promise where something has to be waited for, and returns the call's result. */
export type Steps<T> = Generator<unknown, T, void>;

/** Runs steps to their end: at once where none has to be waited for, else as a promise. */
export function drive<T>(steps: Steps<T>): T | Promise<T> {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value;
    if (step.value instanceof Promise) return wait(steps, step.value);
  }
}

/** Goes on when what the steps wait for has settled; what it was rejected with is thrown where they wait. */
async function wait<T>(steps: Steps<T>, pending: Promise<unknown>): Promise<T> {
  for (let waited: unknown = pending; ; ) {
    const step = await Promise.resolve(waited).then(
      () => steps.next(),
      (error: unknown) => steps.throw(error),
    );
    if (step.done === true) return step.value;
    waited = step.value;
  }
}
