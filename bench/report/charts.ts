// The report's charts as Vega-Lite. They are compiled when normpool is built; what they show is given to them when they are drawn, as
// the data set `points` and numbers that they name as parameters.
import type { TopLevelSpec } from "vega-lite";
import { SERIES } from "../latency.js";
import { PEERS } from "../peers.js";
import { LIMIT } from "../roofline.js";
import { BYTES_AXIS, byColour, byShape, chart, LABELLED, LIMIT_LINE, lines, NAMES, only } from "./chart-parts.js";
import { AREA, DASHES, PALE, WIDE } from "./legend.js";
import { ROOFLINES, seriesOf } from "./series.js";

/** All have one scale of speed, from `lowest` to `highest`, so that the same limit looks the same. */
function roofline(series: readonly string[]): TopLevelSpec {
  const all = [...series, LIMIT];
  return chart({
    params: [
      { name: "lowest", value: 1 },
      { name: "highest", value: 100 },
    ],
    layer: [LIMIT_LINE, ...lines(series, all)],
    encoding: {
      x: {
        field: "x",
        type: "quantitative",
        scale: { type: "log", base: 4, nice: false },
        axis: { ...BYTES_AXIS, values: SIZES },
      },
      y: {
        field: "y",
        type: "quantitative",
        scale: { type: "log", nice: false, domainMin: { expr: "lowest" }, domainMax: { expr: "highest" } },
        axis: { title: "GB/s", format: "~g", ...LABELLED },
      },
      color: byColour(all),
      order: { field: "x", type: "quantitative" },
    },
  });
}

/** Ticks of sizes. */
const SIZES = Array.from({ length: 5 }, (_, i) => 4096 * 16 ** i);

/** Kinds of the points in a scaling chart. */
export const SCALING = { measured: "measured", model: "model", ideal: "ideal", ground: "ground" } as const;
const SCALED = ["LayerNorm", "GroupNorm", "BatchNorm training"];

/** The ground is above what memory allows. */
const scaling = chart({
  params: [{ name: "highest", value: 2 }],
  layer: [
    {
      mark: { type: "rect", opacity: AREA },
      transform: only("kind", [SCALING.ground]),
      encoding: {
        x: { value: 0 },
        x2: { value: "width" },
        y2: { datum: { expr: "highest" } },
        color: { value: "currentColor" },
      },
    },
    {
      mark: { type: "line", strokeWidth: 1.5 },
      transform: only("kind", [SCALING.ideal]),
      encoding: { color: { value: "var(--axis)" } },
    },
    { mark: { type: "line", strokeDash: DASHES }, transform: only("kind", [SCALING.model]) },
    { mark: "line", transform: only("kind", [SCALING.measured]) },
    {
      mark: { type: "point", size: 60 },
      transform: only("kind", [SCALING.measured]),
      encoding: { shape: byShape(SCALED) },
    },
  ],
  encoding: {
    x: {
      field: "x",
      type: "quantitative",
      axis: { title: "threads", tickMinStep: 1, grid: false, format: "d" },
      scale: { zero: false, nice: false },
    },
    y: {
      field: "y",
      type: "quantitative",
      axis: { title: "times as fast as one thread", tickCount: 6 },
      scale: { domainMin: 0, domainMax: { expr: "highest" }, nice: false },
    },
    color: byColour(SCALED),
  },
});

const CALLS = SERIES.map(seriesOf);
const [POOL, ...PLACES] = CALLS.slice(0, 3) as [string, ...string[]];

/** What a pool can choose between lies below, wide and pale; what it does is on it. */
const latency = chart({
  layer: [
    { mark: { type: "line", strokeWidth: WIDE, opacity: PALE }, transform: only("series", PLACES) },
    LIMIT_LINE,
    ...lines([POOL], CALLS),
  ],
  encoding: {
    x: {
      field: "x",
      type: "quantitative",
      scale: { type: "log", base: 4, nice: false },
      axis: { ...BYTES_AXIS, values: [3072, 49_152, 786_432, 12_582_912] },
    },
    y: {
      field: "y",
      type: "quantitative",
      scale: { type: "log", nice: false },
      axis: { title: "microseconds a call", format: "~s", ...LABELLED },
    },
    color: byColour(CALLS),
  },
});

/** Bars of when a call resolves, ticks at its own share of the time. */
const atOnce = chart({
  layer: [
    { mark: { type: "bar", height: 12 }, transform: only("kind", ["bar"]), encoding: { color: byColour([POOL]) } },
    { mark: { type: "tick", height: 20, thickness: 2.5, color: "currentColor" }, transform: only("kind", ["tick"]) },
  ],
  encoding: {
    x: { field: "x", type: "quantitative", axis: { title: "milliseconds", tickCount: 6 } },
    y: NAMES,
  },
});

/** All have one scale of ratios, from `lowest` to `highest`. */
function peers(height: number): TopLevelSpec {
  return chart(
    {
      params: [
        { name: "lowest", value: 0.5 },
        { name: "highest", value: 16 },
      ],
      layer: [
        {
          data: { values: [{ x: 1 }] },
          mark: { type: "rule", color: "var(--axis)", strokeWidth: 2 },
        },
        { mark: { type: "point", size: 70 }, encoding: { y: NAMES, color: byColour(PEERS), shape: byShape(PEERS) } },
      ],
      encoding: {
        x: {
          field: "x",
          type: "quantitative",
          scale: {
            type: "log",
            base: 2,
            nice: false,
            padding: 16,
            domainMin: { expr: "lowest" },
            domainMax: { expr: "highest" },
          },
          axis: { title: "the other's time by normpool's", format: "~g" },
        },
      },
    },
    height,
  );
}

/** Kinds of the points in a histogram. */
export const HISTOGRAM = { bin: "bin", mean: "mean" } as const;

/** All digits of 1e-20 would be longer than the axis. */
const SHORT_LABEL =
  "datum.value !== 0 && (abs(datum.value) < 1e-4 || abs(datum.value) >= 1e9) ? format(datum.value, '.3~e') : datum.label";
/** Not 0k where others are 1k. */
const PLAIN_ZERO = "datum.value === 0 ? '0' : datum.label";

/** Bars from x to `to`, and a line at the mean. */
const histogram = chart(
  {
    layer: [
      {
        mark: { type: "bar", color: "var(--bar)", binSpacing: 1 },
        transform: only("kind", [HISTOGRAM.bin]),
        encoding: {
          x: {
            field: "x",
            type: "quantitative",
            bin: "binned",
            scale: { zero: false, nice: false },
            axis: { title: null, grid: false, tickCount: 5, labelOverlap: true, labelExpr: SHORT_LABEL },
          },
          x2: { field: "to" },
          y: {
            field: "y",
            type: "quantitative",
            axis: { title: "cells", format: "~s", tickCount: 4, tickMinStep: 1, labelExpr: PLAIN_ZERO },
          },
        },
      },
      {
        mark: { type: "rule", color: "currentColor", strokeWidth: 1.5 },
        transform: only("kind", [HISTOGRAM.mean]),
        encoding: { x: { field: "x", type: "quantitative" } },
      },
    ],
  },
  190,
);

export const CHARTS = {
  "roofline-forward": roofline(ROOFLINES.forward),
  "roofline-backward": roofline(ROOFLINES.backward),
  "roofline-dtypes": roofline(ROOFLINES.dtypes),
  scaling,
  latency,
  "at-once": atOnce,
  "peers-forward": peers(330),
  "peers-backward": peers(190),
  histogram,
} as const satisfies Record<string, TopLevelSpec>;

export type ChartName = keyof typeof CHARTS;
