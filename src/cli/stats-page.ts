// The page of `normpool stats`: one HTML file that needs nothing else, drawn and styled as the bench's.
import { HISTOGRAM } from "../../bench/report/charts.js";
import { draw } from "../../bench/report/draw.js";
import { Html, html, tableOf } from "../../bench/report/html.js";
import { PAGE_STYLE } from "../../bench/report/style.js";
import type { Bin } from "../summary/histogram.js";
import { type ChannelStats, formatNumber, type Stats, tableOfStats } from "./stats-table.js";

/** Rows of the table: more than that no one reads on a page. */
const ROWS = 2000;

const STYLE = `:root { --bar: var(--layernorm); }
${PAGE_STYLE}`;

/** @param bins of each of the first channels. */
export async function makeStatsPage(stats: Stats, bins: readonly (readonly Bin[])[]): Promise<string> {
  const { input, shape, dtype, channelAxis, channels } = stats;
  const figures = await Promise.all(bins.map((own, channel) => figureOf(channels[channel] as ChannelStats, own)));
  const left = channels.length - figures.length;
  const facts = [
    `${dtype} of shape [${shape.join(", ")}]`,
    channelAxis === null ? "all cells at once" : `${channels.length} channels at dimension ${channelAxis}`,
  ];
  const page = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What is in ${input}</title>
<style>
${new Html(STYLE)}</style>
</head>
<body>
<header>
<h1>What is in ${input}</h1>
<ul class="machine">${facts.map((fact) => html`<li>${fact}</li>`)}</ul>
${warningOf(channels)}</header>
<section>
<h2>How its cells are spread</h2>
<p>Bars count cells from the least to the largest, in bins of one width; the line is the mean. NaN and infinite cells are in none.${left > 0 ? ` These are the first ${figures.length} channels; the table has more.` : ""}</p>
<div class="pictures">
${figures}</div>
</section>
<section>
<h2>All numbers</h2>
<p>Mean, deviation (of the biased variance), min and max are of finite cells.${channels.length > ROWS ? ` These are the first ${ROWS} channels of ${channels.length}; --json has all.` : ""}</p>
${tableOf(tableOfStats(stats, ROWS))}
</section>
</body>
</html>
`;
  return page.text;
}

function warningOf(channels: readonly ChannelStats[]): Html | readonly Html[] {
  const sum = (of: (stats: ChannelStats) => number) => channels.reduce((total, stats) => total + of(stats), 0);
  const [count, nan, infinite] = [sum((stats) => stats.count), sum(({ nan }) => nan), sum(({ infinite }) => infinite)];
  if (nan + infinite === 0) return [];
  return html`<p class="warning"><strong>${nan} of its ${count} cells are NaN, ${infinite} infinite.</strong>
They are left out of mean, deviation, min, max and histograms.</p>
`;
}

async function figureOf(stats: ChannelStats, bins: readonly Bin[]): Promise<Html> {
  const { channel, mean, deviation, min, max } = stats;
  const title = channel === undefined ? "All cells" : `Channel ${channel}`;
  if (mean === null || deviation === null || min === null || max === null) {
    return html`<figure>\n<h3>${title}</h3>\n<figcaption>No finite cell.</figcaption>\n</figure>\n`;
  }
  const says = `Mean ${formatNumber(mean)}, deviation ${formatNumber(deviation)}, from ${formatNumber(min)} to ${formatNumber(max)}.`;
  const bars = drawable(bins).map(({ from, to, count }) => {
    return { x: from, to, y: count, series: "cells", kind: HISTOGRAM.bin };
  });
  const line = { x: mean, y: 0, series: "cells", kind: HISTOGRAM.mean };
  const svg = await draw({ chart: "histogram", points: [...bars, line] }, `${title}: a histogram. ${says}`);
  return html`<figure>\n<h3>${title}</h3>\n${new Html(svg)}\n<figcaption>${says}</figcaption>\n</figure>\n`;
}

/** One value is a thin bar in the middle: between two empty ones. */
function drawable(bins: readonly Bin[]): readonly Bin[] {
  const [only] = bins;
  if (only === undefined || only.from !== only.to) return bins;
  const { from: value, count } = only;
  const half = Math.abs(value) / 100 || 0.01;
  const [left, right] = [value - 24 * half, value + 24 * half];
  return [
    { from: left, to: left + half, count: 0 },
    { from: value - half / 2, to: value + half / 2, count },
    { from: right - half, to: right, count: 0 },
  ];
}
