// A call as a sequence of steps, some of which have to be waited for. Generators and not async functions, so that a call whose phases
// are all computed at once on the calling thread costs no promise but the one that it returns.

/** A call's steps: yields a promise where something has to be waited for, and returns the call's result. */
export type Steps<T> = Generator<unknown, T, void>;

/** Runs steps to their end: at once where none has to be waited for, else as a promise. */
export function drive<T>(steps: Steps<T>): T | Promise<T> {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value;
    if (isPromise(step.value)) return wait(steps, step.value);
  }
}

/** By what it has: where the global Promise has been replaced (zone.js does it), those of async functions are not instances of it. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "then") === "function";
}

/** Goes on when what the steps wait for has settled; what it was rejected with is thrown where they wait. */
async function wait<T>(steps: Steps<T>, pending: PromiseLike<unknown>): Promise<T> {
  for (let waited: unknown = pending; ; ) {
    const failure = await failureOf(waited);
    const step = failure === undefined ? steps.next() : steps.throw(failure.error);
    if (step.done === true) return step.value;
    waited = step.value;
  }
}

/** What a promise was rejected with; undefined where it was not. */
async function failureOf(waited: unknown): Promise<{ readonly error: unknown } | undefined> {
  try {
    await waited;
    return undefined;
  } catch (error) {
    return { error };
  }
}
