// The scaling section's charts, one a layer: how many times as fast as one thread, with the model of more.
import type { ScalingResult, ScalingSeries } from "../scaling.js";
import { formatPercent, formatThreads } from "../text.js";
import { SCALING } from "./charts.js";
import type { Undrawn } from "./draw.js";
import { type Entry, entryOf } from "./legend.js";

/** An error, as a share of what was measured, from which on the page says that the model does not hold. */
const WORST = 0.3;

export function scalingPictures({ series }: ScalingResult): Undrawn[] {
  return series.map(pictureOf);
}

function pictureOf({ name, points, predictions, memoryTime }: ScalingSeries): Undrawn {
  const single = points[0]?.time.median ?? Number.NaN;
  const most = points.at(-1);
  const cores = most?.threads ?? 1;
  const beyond = worthShowing(predictions, most?.predicted ?? Number.NaN);
  const end = Math.max(2, beyond.at(-1)?.threads ?? cores);
  const memory = single / memoryTime;
  const measured = points.map(({ threads, time }) => ({ x: threads, y: single / time.median }));
  const modelled = [...points, ...beyond].map(({ threads, predicted }) => ({ x: threads, y: single / predicted }));
  // A little above all but the ideal line, which would flatten everything else.
  const highest = 1.25 * Math.max(memory, ...[...modelled, ...measured].map(({ y }) => y));
  const ideal = [1, Math.min(end, highest)].map((threads) => ({ x: threads, y: threads }));
  const as = (kind: string, places: readonly { x: number; y: number }[]) =>
    places.map((place) => ({ ...place, series: name, kind }));
  return {
    section: "scaling",
    title: name,
    alone: `${name} by threads`,
    found: `${timesOf(points, memory)} ${errorOf(points)}`,
    how: "Higher is better.",
    chart: "scaling",
    points: [
      ...as(SCALING.ground, [{ x: 1, y: memory }]),
      ...as(SCALING.ideal, ideal),
      ...as(SCALING.model, modelled),
      ...as(SCALING.measured, measured),
    ],
    numbers: { highest },
    legend: [entryOf(name, "line", `${name}, measured`), entryOf(name, "dashes", `${name}, the model`), ...GROUND],
  };
}

/** Up to the first that more threads do not make faster. */
function worthShowing(predictions: ScalingSeries["predictions"], before: number): ScalingSeries["predictions"] {
  const full = predictions.findIndex(
    ({ predicted }, i) => predicted > 0.99 * (predictions[i - 1]?.predicted ?? before),
  );
  return full < 0 ? predictions : predictions.slice(0, full + 1);
}

const GROUND: readonly Entry[] = [
  { label: "as many times as threads", colour: "var(--axis)", mark: "rule" },
  { label: "more than memory allows", colour: "currentColor", mark: "area" },
];

function timesOf(points: ScalingSeries["points"], memory: number): string {
  const [one, most] = [points[0], points.at(-1)];
  if (one === undefined || most === undefined || one === most) return "Only one thread was asked for.";
  const times = (one.time.median / most.time.median).toFixed(2);
  return `${formatThreads(most.threads)} are ${times} times as fast as one; memory allows ${memory.toFixed(2)}.`;
}

/** In words that make sense whichever way the model is off, and however far. */
function errorOf(points: ScalingSeries["points"]): string {
  const [worst] = [...points].sort((a, b) => Math.abs(b.error) - Math.abs(a.error));
  if (worst === undefined) return "";
  const { threads, time, predicted, error } = worst;
  if (Math.abs(error) <= WORST) return `The model's times are off by ${formatPercent(Math.abs(error))} at most.`;
  return `On ${formatThreads(threads)} the model says ${predicted.toFixed(1)} ms where ${time.median.toFixed(1)} were measured: it does not hold here.`;
}
