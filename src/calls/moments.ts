import { InvalidArgumentError } from "../errors.js";
import type { Executor } from "../executor.js";
import type { Geometry } from "../geometry.js";
import type { Layer } from "../layers/layer.js";
import { type Moments, mergePartials, partialNumbers, type SetMoments } from "../moments.js";
import { makeMomentsPhase } from "../plan.js";
import { CELLS, NONE, operandsOf } from "../protocol.js";
import type { Steps } from "../steps.js";
import { checkTensor, pin, type Tensor, unpin } from "../tensor/tensor.js";
import { noMoments } from "./forward.js";
import { type CallOptions, checkCallOptions, checkLayer, type LayerCallOptions } from "./options.js";

/** `pool.moments`. */
export function* moments(executor: Executor, x: Tensor, given: unknown): Steps<Moments> {
  const operation = "pool.moments";
  checkTensor(operation, "x", x);
  const options = checkCallOptions<CallOptions>(operation, given, []);
  if (x.size === 0) return { count: 0, mean: 0, m2: 0 };
  const all = { n: 1, r: 1, g: 1, k: 1, s: x.size };
  const { count, mean, m2 } = yield* find(executor, operation, x, all, true, options);
  return { count, mean: mean[0] as number, m2: m2[0] as number };
}

/** `pool.setMoments`. */
export function* setMoments(executor: Executor, layer: Layer, x: Tensor, given: unknown): Steps<SetMoments> {
  checkLayer("pool.setMoments", layer);
  const operation = layer.name;
  checkTensor(operation, "x", x);
  const options = checkCallOptions<LayerCallOptions>(operation, given, []);
  const { channelAxis } = options;
  const computation = layer.prepare(x.shape, { dtype: x.dtype, channelAxis, partOfBatch: true });
  if (computation.kind !== "normalization" || computation.given !== null) {
    throw new InvalidArgumentError(operation, "layer", "one that uses the tensor's own moments", `${layer}`);
  }
  const { geometry, centred } = computation;
  if (x.size === 0) return noMoments(computation) as SetMoments;
  return yield* find(executor, operation, x, geometry, centred, options);
}

function* find(
  executor: Executor,
  operation: string,
  x: Tensor,
  geometry: Geometry,
  centred: boolean,
  options: CallOptions,
): Steps<SetMoments> {
  const cells = CELLS[x.dtype];
  const operands = operandsOf(cells, pin(x, executor.arena), NONE);
  const workspace = executor.workspace(operation, operands);
  try {
    const phase = makeMomentsPhase(geometry, centred);
    const run = executor.starter(operation, x.size, cells, workspace, options)([phase]);
    const partials = workspace.float64(partialNumbers(phase, geometry.n));
    yield run(phase, { ...operands, partials: partials.address });
    return mergePartials(phase, geometry, partials.values);
  } finally {
    workspace.giveBack();
    unpin(x);
  }
}
