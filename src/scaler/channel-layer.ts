// The layers that a scaler runs: one whose sets are the channels, and one that maps each channel by numbers of its own.
import { InvalidShapeError } from "../errors.js";
import { BaseLayer } from "../layers/base-layer.js";
import { channelView, resolveAxis } from "../layers/channel-axis.js";
import type { LayerCall, Normalization } from "../layers/layer.js";
import type { StateEntry } from "../layers/state.js";
import { batchNormGeometry } from "../plan/geometry.js";
import { formatShape, type Shape } from "../tensor/shape.js";

/** y = (x - mean) * weight + bias, by channel. */
export interface ChannelMap {
  readonly mean: Float64Array;
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

/**
 * BatchNorm's view of a tensor, `[N, *, C, *]`, with the map's numbers in the place of running statistics: all of them are float64, for input of
 * any dtype. Without a map it is for the channels' moments alone.
 */
export class ChannelLayer extends BaseLayer {
  readonly name: string;
  readonly #channels: number | null;
  readonly #map: ChannelMap | null;

  /** @param channels that an input has to have, or null where any number will do. */
  constructor(name: string, channels: number | null, map: ChannelMap | null = null) {
    super();
    this.name = name;
    this.#channels = channels;
    this.#map = map;
  }

  prepare(shape: Shape, { channelAxis = -1 }: LayerCall): Normalization {
    if (shape.length < 2) {
      const message = `expected at least 2D input, samples of features, but got ${shape.length}D input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const axis = resolveAxis(this.name, channelAxis, shape.length);
    const view = channelView(shape, axis, true);
    checkChannels(this.name, this.#channels, view.c, axis, shape);
    const map = this.#map;
    return {
      kind: "normalization",
      geometry: batchNormGeometry(view),
      eps: 0,
      measure: "deviation",
      weight: map?.weight ?? null,
      bias: map?.bias ?? null,
      running: map && { mean: map.mean, variance: new Float64Array(view.c).fill(1) },
      merged: false,
      update: null,
    };
  }

  protected override stateEntries(): StateEntry[] {
    return [];
  }

  protected override representation(): string {
    return "";
  }
}

/** Throws InvalidShapeError unless there are channels, as many as expected if that is said. */
export function checkChannels(name: string, expected: number | null, found: number, axis: number, shape: Shape): void {
  if (found > 0 && (expected === null || found === expected)) return;
  const message = `expected ${expected ?? "some"} channels at dimension ${axis} but got ${found} in input of shape ${formatShape(shape)}`;
  throw new InvalidShapeError(name, message, shape);
}
