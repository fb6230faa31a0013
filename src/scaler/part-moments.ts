// A tensor's moments by channel, without its NaN.

import type { LayerCallOptions } from "../calls/options.js";
import { now } from "../clock.js";
import { InvalidArgumentError, TimedOutError } from "../errors.js";
import { resolveAxis } from "../layers/channel-axis.js";
import type { SetMoments } from "../merge/moments.js";
import type { NormPool } from "../pool.js";
import { channelsOf, summarise } from "../summary/summary.js";
import type { Tensor } from "../tensor/tensor.js";
import type { ChannelLayer } from "./channel-layer.js";
import type { PartMoments } from "./fitted.js";

/** What progress counts in. */
const THOUSAND = 1000;

/** By the pool; a tensor with NaN is looked at again, cell by cell, for the channels that have some. */
export async function partMoments(
  pool: NormPool,
  layer: ChannelLayer,
  x: Tensor,
  options: LayerCallOptions & { readonly channelAxis: number },
): Promise<PartMoments> {
  const since = now();
  const found = await pool.momentsOf(layer, x, options);
  return withoutNaN(layer.name, x, found, options, since);
}

/**
 * Moments that were found of a tensor's channels, those of channels that have NaN without it.
 * @param since when the look for them began: a timeout counts from then.
 */
export async function withoutNaN(
  operation: string,
  x: Tensor,
  { count, mean, m2 }: SetMoments,
  options: LayerCallOptions & { readonly channelAxis: number },
  since = now(),
): Promise<PartMoments> {
  const counts = new Float64Array(mean.length).fill(count);
  const moments = new Float64Array(2 * mean.length);
  let finite = true;
  for (let c = 0; c < mean.length; c++) {
    moments[2 * c] = mean[c] as number;
    moments[2 * c + 1] = m2[c] as number;
    finite &&= Number.isFinite(mean[c]) && Number.isFinite(m2[c]);
  }
  if (finite) return { samples: count, counts, moments };

  const { channelAxis, signal, timeout = Number.POSITIVE_INFINITY, onProgress } = options;
  const channels = channelsOf(x, resolveAxis(operation, channelAxis, x.shape.length));
  const found = await summarise(operation, x, channels, {
    signal,
    onShare: (share) => {
      // From 0 again: it takes longer than the first look.
      onProgress?.({ phase: "moments", done: Math.floor(share * THOUSAND), total: THOUSAND });
      if (now() - since > timeout) throw new TimedOutError(operation, timeout);
    },
  });
  for (let c = 0; c < mean.length; c++) {
    if (found.infinities[c]) {
      throw new InvalidArgumentError(
        operation,
        "x",
        "finite cells and NaN",
        `${found.infinities[c]} infinite ones in channel ${c}`,
      );
    }
    if (!found.nans[c]) continue;
    counts[c] = found.counts[c] as number;
    moments.set(found.moments.subarray(2 * c, 2 * c + 2), 2 * c);
  }
  return { samples: count, counts, moments };
}
