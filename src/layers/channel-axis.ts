import { InvalidArgumentError } from "../errors.js";
import type { ChannelView } from "../plan/geometry.js";
import { product, type Shape } from "../tensor/shape.js";

/** The dimension that `axis` names, counted from the start. Throws InvalidArgumentError. */
export function resolveAxis(operation: string, axis: number, rank: number): number {
  if (axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
  throw new InvalidArgumentError(operation, "channelAxis", `a dimension of ${rank}D input`, String(axis));
}

/** `shape` about its channel axis. The first dimension is that of the samples, unless it is the channel axis or `batched` is false. */
export function channelView(shape: Shape, axis: number, batched: boolean): ChannelView {
  const first = batched && axis > 0 ? 1 : 0;
  return {
    n: first === 1 ? (shape[0] as number) : 1,
    before: product(shape, first, axis),
    c: shape[axis] as number,
    after: product(shape, axis + 1, shape.length),
  };
}

/** Ends the message about a number of channels at dimension `axis`: the remedy, where it is the last dimension that has so many. */
export function lastFits(shape: Shape, axis: number, channels: number): string {
  const fits = axis < shape.length - 1 && channels > 0 && shape[shape.length - 1] === channels;
  return fits ? "; where the channels come last, give the call channelAxis: -1" : "";
}

/** Throws if the samples' dimension, the first, is said to have the channels. */
export function checkNotBatchAxis(operation: string, axis: number): void {
  if (axis === 0) {
    throw new InvalidArgumentError(operation, "channelAxis", "another dimension than the samples'", "0");
  }
}

/** Throws if a call of a layer whose input has one order only says where the channels are. */
export function refuseChannelAxis(operation: string, channelAxis: number | undefined): void {
  if (channelAxis !== undefined) {
    const expected = "none (BatchNorm, InstanceNorm, GroupNorm and LayerNorm take one)";
    throw new InvalidArgumentError(operation, "channelAxis", expected, String(channelAxis));
  }
}
