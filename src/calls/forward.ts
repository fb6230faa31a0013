import type { Computation, Layer, Normalization } from "../layers/layer.js";
import { packMoments, type SetMoments, unpackInto, unpackMoments } from "../merge/moments.js";
import { resultDtype } from "../plan/cells.js";
import { planForward } from "../plan/forward.js";
import { cellsPerSet, type Geometry, setCount } from "../plan/geometry.js";
import type { StatisticsSource } from "../plan/plan.js";
import { planResponse } from "../plan/response.js";
import { runAtOnce } from "../run/at-once.js";
import { NO_INPUTS } from "../run/call.js";
import { isWatched } from "../run/events.js";
import type { Executor } from "../run/executor.js";
import { Kept } from "../run/kept.js";
import { IN_MEMORY } from "../run/placement.js";
import { drive, type Steps } from "../run/steps.js";
import type { Dtype, OutputDtype } from "../tensor/dtype.js";
import { isFilledWith, type Parameter } from "../tensor/parameter.js";
import { checkApart, checkTensor, type Tensor } from "../tensor/tensor.js";
import { checkGiven } from "./given.js";
import { runJournaled } from "./journaled.js";
import {
  checkCallOptions,
  checkFunction,
  checkInPlaceSafe,
  checkLayer,
  checkOut,
  type ForwardOptions,
} from "./options.js";
import { prepare } from "./prepare.js";

const FORWARD_OPTIONS = ["out", "inPlaceSafe", "moments", "onMoments", "onSets"] as const;

/** `pool.forward`. */
export function forward<D extends Dtype>(
  executor: Executor,
  layer: Layer,
  x: Tensor<D>,
  given: unknown,
): Tensor<OutputDtype<D>> | Promise<Tensor<OutputDtype<D>>> {
  checkLayer("pool.forward", layer);
  const operation = layer.name;
  checkTensor(operation, "x", x);
  type Output = Tensor<OutputDtype<D>>;
  const options = checkCallOptions<ForwardOptions<Output>>(operation, given, FORWARD_OPTIONS);
  const { out, channelAxis, onMoments, onSets } = options;
  checkFunction(operation, "onMoments", onMoments);
  checkFunction(operation, "onSets", onSets);
  checkInPlaceSafe(operation, options);
  const dtype = resultDtype(x.dtype) as OutputDtype<D>;
  if (out !== undefined) checkApart(operation, "out", checkOut(operation, "out", out, dtype, x), x);
  const computation = prepare(operation, layer, x, {
    dtype: x.dtype,
    channelAxis,
    partOfBatch: options.moments !== undefined,
  });
  const moments = options.moments === undefined ? null : checkGiven(operation, computation, options.moments, x.shape);

  const y = out ?? executor.allocate(operation, dtype, x.shape, false);
  const call = { operation, layer, computation, x, y, moments, options };
  if (x.size > 0 && forwardAtOnce(executor, call)) {
    const turn = executor.turn(x.size);
    return turn === undefined ? y : turn.then(() => y);
  }
  const steps =
    computation.kind === "response" ? respond(executor, call, computation) : normalize(executor, call, computation);
  return drive(steps) as Output | Promise<Output>;
}

/** A forward call, checked. */
interface ForwardCall {
  readonly operation: string;
  readonly layer: Layer;
  readonly computation: Computation;
  readonly x: Tensor;
  readonly y: Tensor;
  /** The whole batch's. */
  readonly moments: SetMoments | null;
  readonly options: ForwardOptions;
}

/** Computes a small call at once, if it is one phase. Returns whether it is. */
function forwardAtOnce(executor: Executor, { operation, computation, x, y, moments, options }: ForwardCall): boolean {
  if (computation.kind !== "normalization" || computation.running !== null || moments !== null) return false;
  if (computation.affineRows === true) return false;
  // Who listens is told of phases, too.
  if (isWatched()) return false;
  if (executor.placer(x.size, [], IN_MEMORY) !== "calling thread") return false;
  const { onMoments, onSets } = options;
  const { geometry, eps, measure } = computation;
  const affine = isPlain(computation) ? null : computation;
  const wanted = computation.update !== null || onMoments !== undefined || onSets !== undefined;
  try {
    const plan = planForward(geometry, {
      dtype: x.dtype,
      eps,
      measure,
      affine: affine === null ? "none" : "channel",
      statistics: "own",
      wanted,
    });
    const pairs = runAtOnce(executor, operation, plan, x, y, affine, wanted);
    if (pairs === null) return false;
    const count = cellsPerSet(geometry);
    onSets?.(unpackMoments(pairs, count), 0);
    onMoments?.(unpackMoments(pairs, count)); // first: the call fails if it throws
    if (computation.update !== null) {
      const update = computation.update(new Kept());
      update.add(pairs, 0, count);
      for (const _ of update.commit());
    }
    return true;
  } catch (error) {
    if (options.out === undefined) y.dispose();
    throw error;
  }
}

function normalize(executor: Executor, call: ForwardCall, computation: Normalization): Steps<Tensor> {
  const { operation, layer, x, y, moments, options } = call;
  const { geometry, eps, measure, weight, bias, running } = computation;
  const statistics: StatisticsSource = running !== null ? "running" : moments !== null ? "moments" : "own";
  // Only the tensor's own moments are found; those that came with the call are told as they came.
  const own = statistics === "own";
  const { onMoments, onSets } = options;
  const wanted = own && (computation.update !== null || onMoments !== undefined || onSets !== undefined);
  const planOptions = { dtype: x.dtype, eps, measure, affine: affineOf(computation), statistics, wanted };
  const count = moments?.count ?? (x.size > 0 ? cellsPerSet(geometry) : 0);
  const told = !own || onMoments === undefined ? moments : emptyMoments(geometry, count);
  const kept = computation.update && new Kept();
  const update = kept && computation.update?.(kept);
  const tellSets = onSets && setsTeller(onSets, setCount(geometry));
  return runJournaled(executor, layer, {
    operation,
    plan: planForward(geometry, planOptions),
    planPart: (part) => planForward(geometry, planOptions, part),
    x,
    g: null,
    y,
    owned: options.out === undefined,
    inPlaceSafe: options.inPlaceSafe === true,
    inputs: { ...NO_INPUTS, weight, bias, running, moments },
    found: {
      moments: wanted
        ? (pairs, first) => {
            if (told !== null) unpackInto(told, first, pairs);
            tellSets?.(pairs, first, count);
            update?.add(pairs, first, count);
          }
        : null,
    },
    watchers: options,
    finish: () => {
      // What no step found: of no cells, or what came with the call.
      if (!own || x.size === 0) update?.add(packMoments(moments ?? emptyMoments(geometry, 0)), 0, count);
      if (told !== null) onMoments?.(told);
      return y;
    },
    *commit() {
      if (update) yield* update.commit();
    },
    end: () => kept?.close(),
  });
}

/** Sets that are told at once. */
const SETS_AT_ONCE = 16_384;

/** Tells them in the same two arrays each time: of a file's billion sets new ones would be garbage that is not collected in time. */
function setsTeller(onSets: NonNullable<ForwardOptions["onSets"]>, all: number) {
  const [mean, m2] = [0, 0].map(() => new Float64Array(Math.min(all, SETS_AT_ONCE))) as [Float64Array, Float64Array];
  return (pairs: Float64Array, first: number, count: number): void => {
    for (let set = 0; 2 * set < pairs.length; set += SETS_AT_ONCE) {
      const sets = Math.min(SETS_AT_ONCE, pairs.length / 2 - set);
      const told = { count, mean: mean.subarray(0, sets), m2: m2.subarray(0, sets) };
      unpackInto(told, 0, pairs.subarray(2 * set, 2 * (set + sets)));
      onSets(told, first + set);
    }
  };
}

function respond(
  executor: Executor,
  { operation, layer, x, y, options }: ForwardCall,
  computation: Extract<Computation, { kind: "response" }>,
): Steps<Tensor> {
  const plan = planResponse(computation, x.dtype, false);
  return runJournaled(executor, layer, {
    operation,
    plan,
    planPart: () => plan,
    x,
    g: null,
    y,
    owned: options.out === undefined,
    inPlaceSafe: options.inPlaceSafe === true,
    inputs: NO_INPUTS,
    found: {},
    watchers: options,
    finish: () => y,
  });
}

/** What weights that change anything have an entry for. */
export function affineOf(computation: Normalization): "none" | "channel" | "row" {
  if (isPlain(computation)) return "none";
  return computation.affineRows === true ? "row" : "channel";
}

/** Whether weight and bias would change no bit: ones and zeros, as a new layer has them. */
function isPlain({ geometry, weight, bias }: Normalization): boolean {
  return weighsNothing(geometry, weight) && isFilledWith(bias, 0);
}

/** So many channels are not looked through for ones: it would hold up the event loop. */
const MANY = 1 << 20;

/** Whether weights are all 1. Of very many channels it is not asked: where a set has one weight, ones change no bit and hardly the time. */
export function weighsNothing({ k }: Geometry, weight: Parameter | null): boolean {
  if (weight !== null && k === 1 && weight.length > MANY) return false;
  return isFilledWith(weight, 1);
}

/** Room for the moments of every set, of `count` cells each. */
export function emptyMoments(geometry: Geometry, count: number): SetMoments {
  return { count, mean: new Float64Array(setCount(geometry)), m2: new Float64Array(setCount(geometry)) };
}
