// The numbers of each section as the points of its pictures.
import type { LatencyResult } from "../latency.js";
import type { PeersResult } from "../peers.js";
import type { Results } from "../results.js";
import { gigabytesPerSecond, LIMIT, type RooflineResult } from "../roofline.js";
import type { ScalingSeries } from "../scaling.js";
import { type ChartName, ROOFLINES, SCALING } from "./charts.js";
import { draw, type Point } from "./draw.js";

export interface Picture {
  readonly section: "roofline" | "scaling" | "latency" | "peers";
  readonly title: string;
  /** What one sees. */
  readonly says: string;
  readonly svg: string;
}

interface Undrawn extends Omit<Picture, "svg"> {
  readonly chart: ChartName;
  readonly points: readonly Point[];
}

export function drawPictures({ roofline, scaling, latency, peers }: Results): Promise<Picture[]> {
  const undrawn = [
    ...(roofline ? rooflines(roofline) : []),
    ...(scaling?.series.map(scalingOf) ?? []),
    ...(latency ? [latencyOf(latency)] : []),
    ...(peers && peers.rows.length > 0 ? [peersOf(peers)] : []),
  ];
  return Promise.all(
    undrawn.map(async ({ chart, points, ...picture }) => ({
      ...picture,
      svg: await draw(chart, points, `${picture.title}. ${picture.says}`),
    })),
  );
}

function rooflines({ points, threads }: RooflineResult): Undrawn[] {
  const titles = {
    forward: "Roofline: forward",
    backward: "Roofline: backward",
    dtypes: "Roofline: LayerNorm of other cells",
  };
  return (["forward", "backward", "dtypes"] as const).map((family) => {
    const names: readonly string[] = [...ROOFLINES[family], LIMIT];
    const own = points.filter(({ kernel }) => names.includes(kernel));
    const largest = Math.max(...own.map(({ bytes }) => bytes));
    const roof = own.find(({ kernel, bytes }) => kernel === LIMIT && bytes === largest);
    const rates = own.filter(({ kernel, bytes }) => kernel !== LIMIT && bytes === largest).map(gigabytesPerSecond);
    const share = (rate: number) => `${Math.round((100 * rate) / (roof ? gigabytesPerSecond(roof) : Number.NaN))}%`;
    return {
      section: "roofline",
      title: titles[family],
      says: `Bytes moved a second, up to ${threads} ${threads === 1 ? "thread" : "threads"}; higher is better. At the largest size ${share(Math.min(...rates))} to ${share(Math.max(...rates))} of what y = 2x moves (dashed).`,
      chart: `roofline-${family}`,
      points: own.map((point) => ({ x: point.bytes, y: gigabytesPerSecond(point), series: point.kernel })),
    };
  });
}

function scalingOf({ name, points, predictions, memoryTime }: ScalingSeries): Undrawn {
  const single = points[0]?.time.median ?? Number.NaN;
  const most = points.at(-1);
  const cores = most?.threads ?? 1;
  const end = predictions.at(-1)?.threads ?? cores;
  const modelled = [...points, ...predictions].map(({ threads, predicted }) => ({ x: threads, y: single / predicted }));
  const memory = single / memoryTime;
  const measured = points.map(({ threads, time }) => ({ x: threads, y: single / time.median }));
  // The ideal line ends a little above the rest, or it would flatten everything else.
  const top = Math.min(end, 1.25 * Math.max(memory, ...[...modelled, ...measured].map(({ y }) => y)));
  const worst = Math.max(...points.map(({ error }) => Math.abs(error)));
  const as = (series: string, places: readonly { x: number; y: number }[]) =>
    places.map((place) => ({ ...place, series }));
  return {
    section: "scaling",
    title: `Scaling: ${name}`,
    says: `${cores} threads are ${(single / (most?.time.median ?? Number.NaN)).toFixed(2)} times as fast as one; memory allows ${memory.toFixed(2)}. The model is within ${Math.round(100 * worst)}% of what was measured, and says what more cores on this memory would give.`,
    chart: "scaling",
    points: [
      ...as(SCALING.measured, measured),
      ...as(SCALING.model, modelled),
      ...as(SCALING.ideal, [
        { x: 1, y: 1 },
        { x: top, y: top },
      ]),
      ...as(SCALING.memory, [
        { x: 1, y: memory },
        { x: Math.max(end, 2), y: memory },
      ]),
    ],
  };
}

function latencyOf({ points, threads }: LatencyResult): Undrawn {
  return {
    section: "latency",
    title: "Latency: LayerNorm, one call after another",
    says: `Small tensors are computed on the calling thread, larger ones on ${threads} ${threads === 1 ? "worker" : "workers"}: normpool's line should follow the lower of the two. Lower is better.`,
    chart: "latency",
    points: points.map(({ bytes, series, time }) => ({ x: bytes, y: 1000 * time.median, series })),
  };
}

function peersOf({ rows }: PeersResult): Undrawn {
  const most = Math.max(...rows.map(({ threads }) => threads));
  return {
    section: "peers",
    title: "Peers: their time by normpool's",
    says: `Right of the line at 1 normpool is faster. Both on ${most} threads where the peer has threads; results were compared first.`,
    chart: "peers",
    points: rows
      .filter(({ threads, peer }) => threads === most || rows.every((row) => row.peer !== peer || row.threads < most))
      .map(({ call, peer, ratio }) => ({ x: ratio, y: call, series: peer })),
  };
}
