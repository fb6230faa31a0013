// One SVG with a picture of each section, for README.md: light and dark as the reader's system is.
import { formatMachine } from "../machine.js";
import type { Results } from "../results.js";
import { escapeText } from "./html.js";
import { drawLegend } from "./legend.js";
import { drawPictures, type Picture } from "./pictures.js";
import { colours } from "./style.js";

const COLUMNS = 2;
const WIDTH = 360;
const GAP = 32;
const MARGIN = 16;
const TITLE = 28;
const LEGEND_GAP = 8;
const FOOT = 32;

export async function makePicture(results: Results): Promise<string> {
  const all = await drawPictures(results);
  const sections = [...new Set(all.map(({ section }) => section))];
  const pictures = sections.map((name) => all.find(({ section }) => section === name) as Picture);
  const parts: string[] = [];
  let top = MARGIN;
  for (let i = 0; i < pictures.length; i += COLUMNS) {
    const row = pictures.slice(i, i + COLUMNS).map((picture) => ({ ...picture, ...boxOf(picture) }));
    const heights = row.map(({ alone, svg, legend, width, height }, column) => {
      const left = MARGIN + column * (WIDTH + GAP);
      const drawn = svg.replace("<svg ", `<svg x="${left}" y="${top + TITLE}" width="${width}" height="${height}" `);
      const below = drawLegend(legend, left, top + TITLE + height + LEGEND_GAP);
      parts.push(`<text class="title" x="${left}" y="${top + 14}">${escapeText(alone)}</text>`, drawn, below.svg);
      return TITLE + height + LEGEND_GAP + below.height;
    });
    top += Math.max(...heights) + GAP;
  }
  const width = 2 * MARGIN + COLUMNS * WIDTH + GAP;
  const { machine, quick } = results;
  const foot = `${formatMachine(machine)}, ${machine.date.slice(0, 10)}${quick ? ": a quick run, which shows nothing of speed" : ""}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top - GAP + FOOT}" role="img">
<style>
${colours(":root")}
:root { color: var(--ink); font-family: system-ui, sans-serif; }
text { paint-order: stroke; stroke: var(--surface); stroke-width: 3px; }
.surface { fill: var(--surface); }
.title { fill: var(--ink); font-size: 14px; font-weight: 600; }
.label { fill: var(--ink); font-size: 12px; }
.value { text-anchor: end; }
.foot { fill: var(--soft); font-size: 10px; }
</style>
<rect class="surface" width="100%" height="100%" rx="8"/>
${parts.join("\n")}
<text class="foot" x="${MARGIN}" y="${top - GAP + FOOT - 14}">${escapeText(foot)}</text>
</svg>
`;
}

function boxOf({ svg }: Picture): { width: number; height: number } {
  const [, , width = WIDTH, height = WIDTH] = (/viewBox="([^"]*)"/.exec(svg)?.[1] ?? "").split(" ").map(Number);
  return { width, height };
}
