// `pool.map`: a layer over a stream of tensors.
import { checkPositiveInteger } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, reading } from "../errors.js";
import type { Layer } from "../layers/layer.js";
import { abortion, onAbort } from "../run/abort.js";
import { Tensor } from "../tensor/tensor.js";
import { checkCallOptions, checkLayer, type LayerCallOptions } from "./options.js";

export interface MapOptions extends LayerCallOptions {
  /**
   * Calls that run, or whose results wait to be taken, at once. Default 2: one is computed while another is read or taken. A layer that updates
   * running statistics has one at a time, so that they are updated in the tensors' order.
   */
  readonly inFlight?: number | undefined;
}

type Source<T> = AsyncIterable<T> | Iterable<T>;
type Forward<X, Y> = (x: X, options: LayerCallOptions) => Promise<Y>;

/** Results in the order of `source`, which is asked for no more than `inFlight` tensors ahead of who takes the results. */
export async function* map<X extends Tensor, Y extends Tensor>(
  source: Source<X>,
  layer: Layer,
  given: unknown,
  forward: Forward<X, Y>,
): AsyncGenerator<Y, void, undefined> {
  const { inFlight = 2, signal, ...options } = checkCallOptions<MapOptions>("pool.map", given, ["inFlight"]);
  checkPositiveInteger("pool.map", "inFlight", inFlight);
  checkLayer("pool.map", layer);
  const most = updatesStatistics(layer) ? 1 : inFlight;
  const iterator = iteratorOf(source);
  // Of a stream that ends early nobody takes the results of calls that still run.
  const stop = new AbortController();
  let forget = () => {};
  // Also while there is nothing but the source to wait for.
  const aborted = silent(
    new Promise<never>((_, reject) => {
      forget = onAbort(signal, () => {
        stop.abort(signal?.reason);
        reject(abortion("pool.map", signal as AbortSignal));
      });
    }),
  );
  const calls: Promise<Y>[] = [];
  let asked: Promise<IteratorResult<X>> | undefined;
  let ended = false;
  try {
    for (;;) {
      if (!ended && calls.length < most) asked ??= silent(Promise.resolve(iterator.next()));
      const [first] = calls;
      if (first === undefined && asked === undefined) return;
      // A result that is there does not wait for a slow source.
      const next = await Promise.race([first, asked, aborted].filter((promise) => promise !== undefined));
      if (next instanceof Tensor) {
        calls.shift();
        yield next as Y;
        continue;
      }
      asked = undefined;
      ended = next.done === true;
      if (!ended) calls.push(silent(forward(next.value, { ...options, signal: stop.signal })));
    }
  } finally {
    forget();
    stop.abort();
    await Promise.all(calls.map((call) => call.then((y) => y.dispose()).catch(() => {})));
    if (!ended) {
      // Who has not answered yet may never do.
      const returned = silent(Promise.resolve(iterator.return?.()));
      if (asked === undefined) await returned;
    }
  }
}

function iteratorOf<X>(source: Source<X>): AsyncIterator<X> | Iterator<X> {
  const expected = "an iterable of tensors";
  const iterator = reading("pool.map", "source", expected, () => {
    if (typeof source !== "object" || source === null) return undefined;
    if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
    return Symbol.iterator in source ? source[Symbol.iterator]() : undefined;
  });
  if (iterator !== undefined) return iterator;
  throw new InvalidArgumentError("pool.map", "source", expected, describe(source));
}

function updatesStatistics(layer: Layer): boolean {
  return layer.training === true && (Reflect.get(layer, "runningMean") ?? null) !== null;
}

/** The same promise: that it is rejected before anybody waits for it is no error of the process. */
function silent<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
