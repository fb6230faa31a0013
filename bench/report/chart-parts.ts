// What the charts are made of: axes, and marks by series. Colours are the page's: CSS has them for light and dark.
import type { TopLevelSpec } from "vega-lite";
import { LIMIT } from "../roofline.js";
import { DASHES } from "./legend.js";
import { colourOf, shapeOf } from "./series.js";

const WIDTH = 360;
const HEIGHT = 260;
const FONT = "system-ui, sans-serif";

const AXIS = {
  labelColor: "currentColor",
  titleColor: "currentColor",
  gridColor: "var(--grid)",
  domainColor: "var(--axis)",
  tickColor: "var(--axis)",
  labelFont: FONT,
  titleFont: FONT,
  labelFontSize: 12,
  titleFontSize: 12,
  titleFontWeight: "normal",
} as const;

const CONFIG = {
  background: "transparent",
  font: FONT,
  view: { stroke: null },
  axis: AXIS,
  point: { filled: true, size: 40, opacity: 1 },
  line: { strokeWidth: 2 },
} as const;

/** Of bytes, at powers of 2. */
const BYTES_LABEL =
  "datum.value >= 1073741824 ? datum.value / 1073741824 + ' GiB' : datum.value >= 1048576 ? datum.value / 1048576 + ' MiB' : datum.value / 1024 + ' KiB'";

/** Of a logarithmic axis: lines only where there are labels. */
const ONLY_LABELLED = { condition: { test: "datum.label !== ''", value: 1 }, value: 0 } as const;
export const LABELLED = { tickCount: 6, gridOpacity: ONLY_LABELLED, tickOpacity: ONLY_LABELLED } as const;

export const BYTES_AXIS = {
  title: "size of the tensor",
  labelExpr: BYTES_LABEL,
  labelOverlap: false,
  grid: false,
} as const;

export function chart(parts: object, height = HEIGHT): TopLevelSpec {
  return {
    data: { name: "points" },
    width: WIDTH,
    height,
    autosize: { type: "fit", contains: "padding" },
    config: CONFIG,
    ...parts,
  } as TopLevelSpec;
}

export function byColour(series: readonly string[]) {
  return {
    field: "series",
    type: "nominal",
    scale: { domain: series, range: series.map(colourOf) },
    legend: null,
  } as const;
}

export function byShape(series: readonly string[]) {
  return {
    field: "series",
    type: "nominal",
    scale: { domain: series, range: series.map(shapeOf) },
    legend: null,
  } as const;
}

/** Only points of these. */
export function only(field: "series" | "kind", values: readonly string[]) {
  return [{ filter: { field, oneOf: values } }];
}

/** Lines with points, in a chart of `all` series. */
export function lines(series: readonly string[], all: readonly string[]) {
  return [
    { mark: "line", transform: only("series", series) },
    { mark: "point", transform: only("series", series), encoding: { shape: byShape(all) } },
  ];
}

export const LIMIT_LINE = { mark: { type: "line", strokeDash: DASHES }, transform: only("series", [LIMIT]) } as const;

/** Names above their bars, so that they may be long. */
export const NAMES = {
  field: "y",
  type: "nominal",
  sort: null,
  axis: {
    title: null,
    labelAlign: "left",
    labelPadding: -4,
    labelOffset: -16,
    labelLimit: 0,
    ticks: false,
    domain: false,
    zindex: 1,
  },
} as const;
