import { describe, InvalidArgumentError } from "./errors.js";
import { affineCount, type Geometry } from "./geometry.js";
import { type ReducePhase, SEGMENT_CELLS } from "./protocol.js";

/**
 * What a channel's gradients of the input depend on beside the cell itself, as torch.batch_norm_backward_reduce has it. SyncBatchNorm's
 * are added over the parts of a batch.
 */
export interface GradientSums {
  /** Cells of each channel. */
  readonly count: number;
  /** By channel: sum of gradOutput. */
  readonly sumDy: Float64Array;
  /** By channel: sum of gradOutput * (input - mean). */
  readonly sumDyXmu: Float64Array;
}

/**
 * Sums of the parts of a batch, added in the order given.
 * @param parts at least one; all of the same number of channels.
 * @throws InvalidArgumentError
 */
export function addGradientSums(parts: readonly GradientSums[]): GradientSums {
  const operation = "addGradientSums";
  const first = Array.isArray(parts) ? parts[0] : undefined;
  if (first === undefined) throw new InvalidArgumentError(operation, "parts", "at least one part", "none");
  const channels = checkGradientSums(operation, "parts", first, undefined).sumDy.length;
  const total = { count: 0, sumDy: new Float64Array(channels), sumDyXmu: new Float64Array(channels) };
  for (const part of parts) {
    const { count, sumDy, sumDyXmu } = checkGradientSums(operation, "parts", part, channels);
    total.count += count;
    for (let c = 0; c < channels; c++) {
      total.sumDy[c] = (total.sumDy[c] as number) + (sumDy[c] as number);
      total.sumDyXmu[c] = (total.sumDyXmu[c] as number) + (sumDyXmu[c] as number);
    }
  }
  return total;
}

/** Throws InvalidArgumentError unless `value` is sums, of so many channels if that is said. */
export function checkGradientSums(
  operation: string,
  argument: string,
  value: unknown,
  channels: number | undefined,
): GradientSums {
  const { count, sumDy, sumDyXmu } = (
    typeof value === "object" && value !== null ? value : {}
  ) as Partial<GradientSums>;
  const whole = typeof count === "number" && Number.isSafeInteger(count) && count >= 0;
  const arrays = sumDy instanceof Float64Array && sumDyXmu instanceof Float64Array && sumDy.length === sumDyXmu.length;
  if (!whole || !arrays) {
    const expected = "sums { count, sumDy, sumDyXmu } with a Float64Array entry a channel";
    throw new InvalidArgumentError(operation, argument, expected, describe(value));
  }
  if (channels !== undefined && sumDy.length !== channels) {
    throw new InvalidArgumentError(operation, argument, `sums of ${channels} channels`, String(sumDy.length));
  }
  return { count, sumDy, sumDyXmu };
}

/** Sums by channel of each sample: entry sample * width + channel. Where cells have a weight each, a channel is a set. */
export interface ChannelSums {
  readonly width: number;
  readonly products: Float64Array;
  readonly gradients: Float64Array;
}

/** Adds what a reduce phase left in `partials`, {sum of g * (x - mean), sum of g} a segment, in the order of the segments. */
export function addPartials(phase: ReducePhase, { n, r }: Geometry, partials: Float64Array): ChannelSums {
  const width = phase.layout === "columns" ? phase.width : phase.period;
  const parts = phase.layout === "stretches" ? Math.ceil(phase.length / SEGMENT_CELLS) : 1;
  const blocks = phase.layout === "stretches" ? r : Math.ceil(r / phase.perSegment);
  const products = new Float64Array(n * width);
  const gradients = new Float64Array(n * width);
  let at = 0;
  for (let sample = 0; sample < n; sample++) {
    for (let block = 0; block < blocks; block++) {
      for (let channel = sample * width; channel < (sample + 1) * width; channel++) {
        for (let part = 0; part < parts; part++, at += 2) {
          products[channel] = (products[channel] as number) + (partials[at] as number);
          gradients[channel] = (gradients[channel] as number) + (partials[at + 1] as number);
        }
      }
    }
  }
  return { width, products, gradients };
}

/** Sums over each set, its channels' times their weights. */
export function sumsOfSets(sums: ChannelSums, geometry: Geometry, weight: Float64Array | null): ChannelSums {
  const { n, g } = geometry;
  const perSet = sums.width / g;
  const perAffine = sums.width / affineCount(geometry);
  const total = { width: g, products: new Float64Array(n * g), gradients: new Float64Array(n * g) };
  for (let entry = 0; entry < n * sums.width; entry++) {
    const set = Math.floor(entry / perSet);
    const w = weight === null ? 1 : (weight[Math.floor((entry % sums.width) / perAffine)] as number);
    total.products[set] = (total.products[set] as number) + w * (sums.products[entry] as number);
    total.gradients[set] = (total.gradients[set] as number) + w * (sums.gradients[entry] as number);
  }
  return total;
}
