// The few numbers that a reader wants first.
import type { Results } from "../results.js";
import { formatBytes, formatPercent, formatThreads } from "../text.js";

interface Headline {
  readonly of: string;
  readonly value: string;
  readonly says: string;
}

/** None of a quick run: its numbers show nothing. */
export function headlines({ scaling, latency, peers, threads, quick }: Results): Headline[] {
  if (quick) return [];
  return [
    ...(scaling ? ofScaling(scaling) : []),
    ...(latency ? ofLatency(latency) : []),
    ...(peers ? ofPeers(peers, threads) : []),
  ];
}

function ofScaling({ bytes, limit, series }: NonNullable<Results["scaling"]>): Headline[] {
  const [layer] = series;
  const [one, most] = [layer?.points[0], layer?.points.at(-1)];
  const limits = limit.at(-1)?.time;
  if (layer === undefined || one === undefined || most === undefined || limits === undefined) return [];
  const share = limits.median / most.time.median;
  const found = [
    {
      of: `${formatBytes(bytes)} on ${formatThreads(most.threads)}`,
      value: `${most.time.median.toFixed(1)} ms`,
      says: `${layer.name}. The limit takes ${limits.median.toFixed(1)} ms: ${formatPercent(share)} of what memory allows.`,
    },
  ];
  if (one === most) return found;
  const times = (one.time.median / most.time.median).toFixed(2);
  const memory = (one.time.median / layer.memoryTime).toFixed(2);
  const says = `as fast as on one: ${layer.name}. Memory allows ${memory}×.`;
  return [...found, { of: formatThreads(most.threads), value: `${times}×`, says }];
}

function ofLatency({ points, atOnce }: NonNullable<Results["latency"]>): Headline[] {
  const small = points.find(({ shape, series }) => shape[0] === 16 && series === "normpool");
  const { calls, first, last } = atOnce;
  return [
    ...(small
      ? [
          {
            of: "A small call",
            value: `${(1000 * small.time.median).toFixed(1)} µs`,
            says: `LayerNorm of [${small.shape.join(", ")}], one call after another.`,
          },
        ]
      : []),
    {
      of: `${calls} calls at once`,
      value: `${first.median.toFixed(1)} ms`,
      says: `until the first is done, ${formatPercent(first.median / last.median)} of the time of all.`,
    },
  ];
}

/** The fastest of the others. */
function ofPeers({ rows }: NonNullable<Results["peers"]>, threads: number): Headline[] {
  const [closest] = rows
    .filter((row) => row.threads === threads && row.call === "LayerNorm")
    .sort((a, b) => a.ratio - b.ratio);
  if (closest === undefined) return [];
  const says = `as fast as ${closest.peer}, the fastest other library here: LayerNorm on ${formatThreads(threads)}.`;
  return [{ of: "Beside others", value: `${closest.ratio.toFixed(1)}×`, says }];
}
