// The report's pictures as Vega-Lite. They are compiled when normpool is built; what they show is given to them when they are drawn,
// as the data set `points`. Colours are the page's: CSS has them for light and dark.
import type { TopLevelSpec } from "vega-lite";
import { KERNELS } from "../kernels.js";
import { SERIES } from "../latency.js";
import { PEERS } from "../peers.js";
import { LIMIT } from "../roofline.js";

const WIDTH = 360;
const HEIGHT = 340;
const FONT = "system-ui, sans-serif";

const AXIS = {
  labelColor: "currentColor",
  titleColor: "currentColor",
  gridColor: "var(--grid)",
  domainColor: "var(--axis)",
  tickColor: "var(--axis)",
  labelFont: FONT,
  titleFont: FONT,
  labelFontSize: 11,
  titleFontSize: 12,
  titleFontWeight: "normal",
} as const;

const CONFIG = {
  background: "transparent",
  font: FONT,
  view: { stroke: null },
  axis: AXIS,
  legend: { labelColor: "currentColor", labelFont: FONT, labelFontSize: 11, labelLimit: 320, symbolStrokeWidth: 2 },
  point: { filled: true, size: 36 },
  line: { strokeWidth: 2 },
} as const;

/** Of bytes, at powers of 2. */
const BYTES_LABEL =
  "datum.value >= 1073741824 ? datum.value / 1073741824 + ' GiB' : datum.value >= 1048576 ? datum.value / 1048576 + ' MiB' : datum.value / 1024 + ' KiB'";

/** Of a logarithmic axis: lines only where there are labels. */
const ONLY_LABELLED = { condition: { test: "datum.label !== ''", value: 1 }, value: 0 } as const;
const LABELLED = { tickCount: 6, gridOpacity: ONLY_LABELLED, tickOpacity: ONLY_LABELLED } as const;

const BYTES_AXIS = { title: "size of the tensor", labelExpr: BYTES_LABEL, labelOverlap: false, grid: false } as const;

/** Colour, dashes and shape by series: the colour is never alone. */
function bySeries(names: readonly string[], neutral: readonly string[] = []) {
  const domain = [...names, ...neutral];
  const colours = [...names.map((_, i) => `var(--series-${i + 1})`), ...neutral.map(() => "var(--neutral)")];
  const dashes = [
    ...names.map(() => [1, 0]),
    ...neutral.map(
      (_, i) =>
        [
          [6, 3],
          [2, 3],
          [8, 2, 2, 2],
        ][i] ?? [1, 0],
    ),
  ];
  const legend = { title: null, orient: "bottom", columns: 1, symbolType: "stroke" } as const;
  return {
    color: { field: "series", type: "nominal", scale: { domain, range: colours }, legend },
    strokeDash: { field: "series", type: "nominal", scale: { domain, range: dashes }, legend },
  } as const;
}

function chart(parts: object, height = HEIGHT): TopLevelSpec {
  return {
    data: { name: "points" },
    width: WIDTH,
    height,
    autosize: { type: "fit", contains: "padding" },
    config: CONFIG,
    ...parts,
  } as TopLevelSpec;
}

function roofline(names: readonly string[]): TopLevelSpec {
  return chart({
    mark: { type: "line", point: true },
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
        scale: { type: "log", nice: false },
        axis: { title: "GB/s", format: "~g", ...LABELLED },
      },
      ...bySeries(names, [LIMIT]),
      order: { field: "x", type: "quantitative" },
    },
  });
}

/** Ticks of sizes. */
const SIZES = Array.from({ length: 5 }, (_, i) => 4096 * 16 ** i);

/** The names of the lines in each picture of the roofline. */
export const ROOFLINES = {
  forward: KERNELS.filter(({ family }) => family === "forward").map(({ name }) => name),
  backward: KERNELS.filter(({ family }) => family === "backward").map(({ name }) => name),
  dtypes: ["LayerNorm", ...KERNELS.filter(({ family }) => family === "dtypes").map(({ name }) => name)],
} as const;

export const SCALING = { measured: "measured", model: "the model", ideal: "ideal", memory: "memory's limit" } as const;

const PEER_COLOURS = {
  field: "series",
  type: "nominal",
  legend: { title: null, orient: "bottom", columns: 1 },
} as const;

export const CHARTS = {
  "roofline-forward": roofline(ROOFLINES.forward),
  "roofline-backward": roofline(ROOFLINES.backward),
  "roofline-dtypes": roofline(ROOFLINES.dtypes),
  scaling: chart({
    layer: [
      { mark: "line" },
      { mark: { type: "point", size: 60 }, transform: [{ filter: `datum.series === '${SCALING.measured}'` }] },
    ],
    encoding: {
      x: {
        field: "x",
        type: "quantitative",
        axis: { title: "threads", tickMinStep: 1, grid: false, format: "d" },
        scale: { zero: false, nice: false },
      },
      y: { field: "y", type: "quantitative", axis: { title: "times as fast as one thread" } },
      ...bySeries([SCALING.measured], [SCALING.model, SCALING.ideal, SCALING.memory]),
    },
  }),
  latency: chart({
    mark: { type: "line", point: true },
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
      ...bySeries(SERIES.slice(0, 3), SERIES.slice(3)),
    },
  }),
  peers: chart(
    {
      layer: [
        { mark: { type: "rule", color: "var(--axis)", strokeWidth: 1.5 }, encoding: { x: { datum: 1 } } },
        {
          mark: { type: "point", filled: true, size: 70, opacity: 1 },
          encoding: {
            x: {
              field: "x",
              type: "quantitative",
              scale: { type: "log", base: 2, nice: false, padding: 16 },
              axis: { title: "the peer's time by normpool's", format: "~g" },
            },
            y: {
              field: "y",
              type: "nominal",
              sort: null,
              axis: {
                title: null,
                labelAlign: "left",
                labelPadding: 0,
                labelOffset: -11,
                labelLimit: 0,
                tickSize: 0,
                domain: false,
              },
            },
            color: { ...PEER_COLOURS, scale: { domain: PEERS, range: PEERS.map((_, i) => `var(--series-${i + 1})`) } },
            shape: { ...PEER_COLOURS, scale: { domain: PEERS, range: ["circle", "square", "triangle-up", "diamond"] } },
          },
        },
      ],
    },
    460,
  ),
} as const satisfies Record<string, TopLevelSpec>;

export type ChartName = keyof typeof CHARTS;
