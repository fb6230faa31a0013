// The latency section's charts: one call after another by size, and calls at once.
import { resolvedOf } from "../at-once.js";
import { type LatencyResult, SERIES } from "../latency.js";
import { LIMIT } from "../roofline.js";
import { formatPercent, formatThreads } from "../text.js";
import type { Undrawn } from "./draw.js";
import { entryOf } from "./legend.js";
import { seriesOf } from "./series.js";

export function latencyPicture({ points, threads }: LatencyResult): Undrawn {
  const [pool, callingThread, workers] = SERIES.map(seriesOf) as [string, string, string, string];
  const small = points.find(({ series }) => series === "normpool");
  const us = small === undefined ? "" : (1000 * small.time.median).toFixed(1);
  return {
    section: "latency",
    title: "One call after another",
    alone: "LayerNorm, one call after another",
    found: `A call on [${small?.shape.join(", ")}] takes ${us} µs.`,
    how: `A pool computes small tensors on the calling thread and large ones on ${formatThreads(threads)} of its own: its line should follow the lower of the two wide ones. Lower is better; the limit is that of the workers.`,
    chart: "latency",
    points: points.map(({ bytes, series, time }) => ({ x: bytes, y: 1000 * time.median, series: seriesOf(series) })),
    legend: [entryOf(pool, "line"), entryOf(callingThread, "wide"), entryOf(workers, "wide"), entryOf(LIMIT, "dashes")],
  };
}

export function atOncePicture({ atOnce }: LatencyResult): Undrawn {
  const { calls, shape, last } = atOnce;
  const resolved = resolvedOf(atOnce);
  const first = resolved[1]?.share ?? Number.NaN;
  const series = seriesOf("normpool");
  return {
    section: "latency",
    title: `${calls} calls at once`,
    alone: `LayerNorm, ${calls} calls at once`,
    found: `The first is done after ${formatPercent(first)} of the time of all, ${formatPercent(1 / calls)} being its own share.`,
    how: `Calls are served in the order in which they came. Bars are when each of ${calls} calls on [${shape.join(", ")}], in place, resolves. A bar much longer than its tick would mean that an early call waits for later ones.`,
    chart: "at-once",
    points: resolved.flatMap(({ name, time, ownShare }) => [
      { x: time.median, y: name, series, kind: "bar" },
      { x: ownShare * last.median, y: name, series, kind: "tick" },
    ]),
    legend: [
      entryOf(series, "bar", `${series}: until it resolves`),
      { label: "its own share of the last one's time", colour: "currentColor", mark: "tick" },
    ],
  };
}
