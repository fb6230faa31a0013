import { InvalidArgumentError, InvalidShapeError } from "../errors.js";
import type { Executor } from "../executor.js";
import { cellsPerSet, setCount } from "../geometry.js";
import type { Computation, Layer, Normalization } from "../layers/layer.js";
import { checkMoments, type SetMoments } from "../moments.js";
import { normalize, normalizeHere } from "../normalize.js";
import { CELLS, operandsOf } from "../protocol.js";
import { respond } from "../respond.js";
import { drive, type Steps } from "../steps.js";
import type { Dtype, OutputDtype } from "../tensor/dtype.js";
import { formatShape, type Shape } from "../tensor/shape.js";
import { addressOf, checkApart, checkTensor, pin, type Tensor, unpin } from "../tensor/tensor.js";
import { checkCallOptions, checkFunction, checkLayer, checkOut, type ForwardOptions } from "./options.js";

const FORWARD_OPTIONS = ["out", "moments", "onMoments"] as const;

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
  const { out, channelAxis, onMoments } = options;
  checkFunction(operation, "onMoments", onMoments);
  const dtype = (x.dtype === "uint8" ? "float32" : x.dtype) as OutputDtype<D>;
  if (out !== undefined) checkApart(operation, "out", checkOut(operation, "out", out, dtype, x), x);
  const computation = layer.prepare(x.shape, {
    dtype: x.dtype,
    channelAxis,
    partOfBatch: options.moments !== undefined,
  });
  const moments =
    options.moments === undefined ? undefined : checkBatch(operation, computation, options.moments, x.shape);

  const y = out ?? executor.allocate(operation, dtype, x.shape, false);
  const call = { operation, computation, x, y, moments, options };
  if (executor.isSmall(x.size) && forwardHere(executor, call)) {
    const turn = executor.turn(x.size);
    return turn === undefined ? y : turn.then(() => y);
  }
  return drive(forwardSteps(executor, call)) as Output | Promise<Output>;
}

/** A forward call, checked. */
interface ForwardCall {
  readonly operation: string;
  readonly computation: Computation;
  readonly x: Tensor;
  readonly y: Tensor;
  readonly moments: SetMoments | undefined;
  readonly options: ForwardOptions;
}

/** Computes a call at once, if it is one phase. Returns whether it is. */
function forwardHere(executor: Executor, { operation, computation, x, y, moments, options }: ForwardCall): boolean {
  if (computation.kind !== "normalization" || moments !== undefined || x.size === 0) return false;
  const { onMoments } = options;
  const from = addressOf(x, executor.arena);
  const to = addressOf(y, executor.arena);
  if (from === undefined || to === undefined) return false;
  const operands = operandsOf(CELLS[x.dtype], from, to);
  const workspace = executor.workspace(operation, operands);
  try {
    const wanted = computation.update !== null || onMoments !== undefined;
    const result = normalizeHere(computation, operands, wanted, workspace, executor);
    if (result === null) return false;
    if (result.moments !== undefined) tell(computation, result.moments, onMoments);
    return true;
  } catch (error) {
    if (options.out === undefined) y.dispose();
    throw error;
  } finally {
    workspace.giveBack();
  }
}

function* forwardSteps(executor: Executor, call: ForwardCall): Steps<Tensor> {
  const { operation, computation, x, y, moments, options } = call;
  const cells = CELLS[x.dtype];
  const operands = operandsOf(cells, pin(x, executor.arena), pin(y, executor.arena));
  const workspace = executor.workspace(operation, operands);
  try {
    const start = executor.starter(operation, x.size, cells, workspace, options);
    if (computation.kind === "response") {
      if (x.size > 0) yield* respond(computation, operands, start);
    } else {
      const wanted = computation.update !== null || options.onMoments !== undefined;
      const found =
        x.size > 0
          ? yield* normalize(computation, operands, moments, wanted, workspace, start)
          : (moments ?? noMoments(computation));
      if (found !== undefined) tell(computation, found, options.onMoments);
    }
    yield executor.turn(x.size);
    return y;
  } catch (error) {
    if (options.out === undefined) y.dispose();
    throw error;
  } finally {
    workspace.giveBack();
    unpin(x);
    unpin(y);
  }
}

function tell({ update }: Normalization, found: SetMoments, onMoments: ForwardOptions["onMoments"]): void {
  onMoments?.(found); // first: the call fails if it throws
  update?.(found);
}

/** The whole batch's moments for a layer that merges them, checked. */
export function checkBatch(operation: string, computation: Computation, value: unknown, shape: Shape): SetMoments {
  if (computation.kind !== "normalization" || !computation.merged) {
    throw new InvalidArgumentError(operation, "moments", "none except for SyncBatchNorm in training", "some");
  }
  const { geometry } = computation;
  const moments = checkMoments(operation, "moments", value, setCount(geometry));
  if (moments.count === 1) {
    const message = `expected more than 1 value per channel when training but got input of shape ${formatShape(shape)}`;
    throw new InvalidShapeError(operation, message, shape);
  }
  const part = cellsPerSet(geometry);
  if (moments.count >= part) return moments;
  const expected = `moments of the whole batch, of which the input has ${part} cells a channel,`;
  throw new InvalidArgumentError(operation, "moments", expected, `those of ${moments.count}`);
}

/** Of a tensor without cells. Undefined where statistics are given, as `normalize` has it. */
export function noMoments({ geometry, given }: Normalization): SetMoments | undefined {
  if (given !== null) return undefined;
  return { count: 0, mean: new Float64Array(setCount(geometry)), m2: new Float64Array(setCount(geometry)) };
}
