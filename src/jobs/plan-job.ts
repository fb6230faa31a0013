// Plans jobs: all that can be known is checked, before anything is written.
import { affineOf } from "../calls/forward.js";
import { prepareMoments } from "../calls/moments-of.js";
import { checkLayer } from "../calls/options.js";
import { prepare } from "../calls/prepare.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, InvalidShapeError } from "../errors.js";
import type { Layer } from "../layers/layer.js";
import { resultDtype } from "../plan/cells.js";
import { formatShape } from "../tensor/shape.js";
import { beginJob } from "./begin-job.js";
import type { Work } from "./job.js";
import { type JobSource, type JobTarget, type OpenedInput, openSource, targetOf } from "./plan-files.js";
import { type PlanFitOptions, type PlanJobOptions, readPlanOptions } from "./plan-options.js";
import type { JobWeights } from "./planned.js";

/**
 * Plans the forward pass of a layer as a job of many parts. Processes that see the folder and the files do the parts (`runPart`), on any machine and in any order; the output
 * has the bits of `pool.forward`. The layer's running statistics are used in evaluation, and not updated in training.
 * @param output another file than the input: parts may be done twice.
 * @returns the job's id
 * @throws (as rejection) as the layer's forward call, InvalidArgumentError, ReadFailedError, WriteFailedError
 */
export async function planJob(
  layer: Layer,
  input: JobSource,
  output: JobTarget,
  options: PlanJobOptions,
): Promise<string> {
  checkLayer("planJob", layer);
  const operation = layer.name;
  const read = readPlanOptions(operation, options);
  const x = await openSource(operation, input);
  const { dtype: from } = x.tensor;
  const computation = prepare(operation, layer, x.tensor, {
    dtype: from,
    channelAxis: read.channelAxis,
    partOfBatch: false,
  });
  const dtype = resultDtype(x.tensor.dtype);
  const to = await targetOf(operation, output, read.force, dtype);
  if (computation.kind === "response") {
    const { kind, ...responseOptions } = computation;
    return beginJob(operation, { kind, layer: String(layer), options: responseOptions }, [x], to, read, NO_WEIGHTS);
  }
  const { geometry, eps, measure, running } = computation;
  const statistics = running === null ? "own" : "running";
  const affine = affineOf(computation);
  const { weight, bias } = affine === "none" ? NO_WEIGHTS : computation;
  const weights = { weight, bias, mean: running?.mean ?? null, variance: running?.variance ?? null };
  const plan = { dtype: x.tensor.dtype, eps, measure, affine, statistics, wanted: false } as const;
  const work: Work = { kind: "forward", layer: String(layer), geometry, options: plan };
  return beginJob(operation, work, [x], to, read, weights);
}

/**
 * Plans `pool.momentsOf` as a job. Its output is a safetensors file: `mean` and `m2`, float64, an entry a set, and `count`, the cells of a set.
 * @returns, @throws as `planJob`
 */
export async function planMomentsJob(
  layer: Layer,
  input: JobSource,
  output: string,
  options: PlanJobOptions,
): Promise<string> {
  checkLayer("planMomentsJob", layer);
  const operation = layer.name;
  const read = readPlanOptions(operation, options);
  const x = await openSource(operation, input);
  const { geometry, measure } = prepareMoments(operation, layer, x.tensor, read.channelAxis);
  const to = await targetOf(operation, output, read.force, null);
  return beginJob(operation, { kind: "moments", layer: String(layer), geometry, measure }, [x], to, read, NO_WEIGHTS);
}

/**
 * Plans the fit of a StandardScaler over all inputs as a job. Its output is the safetensors file that `normpool apply` takes.
 * @returns, @throws as `planJob`
 */
export async function planFitJob(
  inputs: readonly JobSource[],
  output: string,
  options: PlanFitOptions,
): Promise<string> {
  const operation = "planFitJob";
  const { channelAxis = -1, ...read } = readPlanOptions(operation, options);
  if (!Array.isArray(inputs) || inputs.length === 0) {
    throw new InvalidArgumentError(operation, "inputs", "one file or more", describe(inputs));
  }
  const { withMean, withStd } = read;
  const opened: OpenedInput[] = [];
  for (const input of inputs) opened.push(await openSource(operation, input));
  const channels = opened.map(({ tensor: { shape } }) => {
    const found = shape.length < 2 ? undefined : shape.at(channelAxis);
    if (found !== undefined) return found;
    const message = `expected samples of channels at dimension ${channelAxis} but got shape ${formatShape(shape)}`;
    throw new InvalidShapeError(operation, message, shape);
  });
  const other = channels.findIndex((count) => count !== channels[0]);
  if (other > 0) {
    const { tensor, input } = opened[other] as OpenedInput;
    const message = `expected ${channels[0]} channels, as ${opened[0]?.input.path} has, but ${input.path} has ${channels[other]}`;
    throw new InvalidShapeError(operation, message, tensor.shape);
  }
  const to = await targetOf(operation, output, read.force, null);
  const work = { kind: "fit", channelAxis, withMean, withStd } as const;
  return beginJob(operation, work, opened, to, { ...read, channelAxis }, NO_WEIGHTS);
}

const NO_WEIGHTS: JobWeights = { weight: null, bias: null, mean: null, variance: null };
