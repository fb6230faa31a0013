// The one way in which a call runs: its tensors are opened and kept, its plan is run, its results taken, and all is given back.

import { nextTurn } from "../clock.js";
import type { PartLog } from "../plan/parts.js";
import { throwIfAborted, withTimeout } from "./abort.js";
import type { Call } from "./call.js";
import type { Executor } from "./executor.js";
import { publicErrorOf } from "./file-errors.js";
import { runPlan } from "./run-plan.js";
import { Scope } from "./scope.js";
import type { Steps } from "./steps.js";

export function* runCall<T>(executor: Executor, call: Call<T>): Steps<T> {
  const { timeout, ...watchers } = call.watchers;
  if (timeout === undefined) return yield* runScoped(executor, call);
  const limited = withTimeout(call.operation, watchers.signal, timeout);
  try {
    return yield* runScoped(executor, { ...call, watchers: { ...watchers, signal: limited.signal } });
  } finally {
    limited.end();
  }
}

function* runScoped<T>(executor: Executor, call: Call<T>): Steps<T> {
  const { operation, x, g, y } = call;
  const scope = new Scope(executor, operation);
  let failed = true;
  try {
    const specs = { x: scope.open(x), g: g && scope.open(g), y: y && scope.open(y) };
    const parts = yield* partsOf(call);
    if (x.size > 0) yield* runPlan(executor, call, specs, scope.workspace, parts);
    scope.check();
    const result = call.finish();
    if (call.commit !== undefined) for (const _ of call.commit()) yield nextTurn();
    yield executor.turn(x.size);
    failed = false;
    return result;
  } catch (error) {
    if (call.owned) y?.dispose();
    throw publicErrorOf(operation, error);
  } finally {
    call.end?.();
    closeScope(operation, scope, failed);
  }
}

function* partsOf({ operation, beginParts, watchers }: Call<unknown>): Steps<PartLog | undefined> {
  if (beginParts === undefined) return undefined;
  let parts: PartLog | undefined;
  yield beginParts().then((log) => {
    parts = log;
  });
  throwIfAborted(operation, watchers.signal);
  return parts;
}

/** A call that fails has its reason already. */
export function closeScope(operation: string, scope: Scope, failed: boolean): void {
  try {
    scope.close();
  } catch (error) {
    if (!failed) throw publicErrorOf(operation, error);
  }
}
