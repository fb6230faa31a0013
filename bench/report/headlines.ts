// The few numbers that a reader wants first.
import { ratioToBest } from "../latency.js";
import type { Results } from "../results.js";
import { gigabytesPerSecond, LIMIT } from "../roofline.js";
import { formatBytes, formatThreads } from "../text.js";

export interface Headline {
  readonly value: string;
  readonly says: string;
}

export function headlines({ roofline, scaling, latency, peers, threads }: Results): Headline[] {
  const found: Headline[] = [];
  const layerNorm = roofline?.points.filter(({ kernel }) => kernel === "LayerNorm").at(-1);
  const limit = roofline?.points.find(({ kernel, bytes }) => kernel === LIMIT && bytes === layerNorm?.bytes);
  if (layerNorm && limit) {
    const share = gigabytesPerSecond(layerNorm) / gigabytesPerSecond(limit);
    found.push({
      value: `${gigabytesPerSecond(layerNorm).toFixed(1)} GB/s`,
      says: `LayerNorm of ${formatBytes(layerNorm.bytes)}, ${Math.round(100 * share)}% of the machine's y = 2x`,
    });
  }
  const first = scaling?.series[0];
  const [one, most] = [first?.points[0], first?.points.at(-1)];
  if (first && one && most && most.threads > 1) {
    found.push({
      value: `${(one.time.median / most.time.median).toFixed(2)} times`,
      says: `as fast on ${formatThreads(most.threads)} as on one: ${first.name} of ${formatBytes(scaling?.bytes ?? 0)} in ${most.time.median.toFixed(1)} ms`,
    });
  }
  const small = latency?.points.find(({ shape, series }) => shape[0] === 16 && series === "normpool");
  if (small) {
    found.push({
      value: `${(1000 * small.time.median).toFixed(1)} us`,
      says: `a call of LayerNorm on [${small.shape.join(", ")}], awaited one after another`,
    });
  }
  const middle = latency?.points.find(({ shape, series }) => shape[0] === 1024 && series === "normpool");
  if (latency && middle) {
    found.push({
      value: `${(1000 * middle.time.median).toFixed(0)} us`,
      says: `on [${middle.shape.join(", ")}], ${ratioToBest(latency, middle.bytes).toFixed(2)} times the better of one thread and y = 2x`,
    });
  }
  for (const row of peers?.rows ?? []) {
    if (row.threads !== threads || row.call !== "LayerNorm") continue;
    found.push({
      value: `${row.ratio.toFixed(1)} times`,
      says: `as fast as ${row.peer}: LayerNorm on ${formatThreads(row.threads)}`,
    });
  }
  return found;
}
