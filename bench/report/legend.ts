// What a chart's marks mean. Vega's own legends cut dashes off, and shrink with the chart: these are text of the page.
import { escapeText, Html, html } from "./html.js";
import { colourOf, SHAPES, shapeOf } from "./series.js";

export interface Entry {
  readonly label: string;
  readonly colour: string;
  /** `rule` is a thin line, `wide` a pale one that others lie on, `area` a pale ground, `tick` a short line across a bar. */
  readonly mark: "line" | "dashes" | "wide" | "rule" | "point" | "bar" | "area" | "tick";
  /** Of the points, if there are any. */
  readonly shape?: keyof typeof SHAPES;
  /** A number that the series is known by. */
  readonly value?: string;
}

export const DASHES = [6, 3];
export const WIDE = 7;
export const PALE = 0.5;
export const AREA = 0.1;

const WIDTH = 34;
const HEIGHT = 12;

/** A series' entry under its own name and colour. */
export function entryOf(series: string, mark: Entry["mark"], label = series): Entry {
  const shape = mark === "line" || mark === "point" ? { shape: shapeOf(series) } : {};
  return { label, colour: colourOf(series), mark, ...shape };
}

/** A row an entry where they have values. */
export function legendOf(entries: readonly Entry[]): Html {
  const rows = entries.some(({ value }) => value !== undefined);
  return html`<ul class="legend${rows ? " rows" : ""}">
${entries.map((entry) => html`<li><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" aria-hidden="true">${new Html(sampleOf(entry))}</svg>${entry.label}${entry.value === undefined ? [] : html` <span>${entry.value}</span>`}</li>\n`)}</ul>
`;
}

const ROW = 18;
const VALUES = 300;

/** The same as part of an SVG, a line an entry, and its height. */
export function drawLegend(entries: readonly Entry[], left: number, top: number): { svg: string; height: number } {
  const rows = entries.map(
    (entry, i) =>
      `<g transform="translate(${left},${top + i * ROW})">${sampleOf(entry)}<text class="label" x="${WIDTH + 8}" y="10">${escapeText(entry.label)}</text><text class="label value" x="${VALUES}" y="10">${escapeText(entry.value ?? "")}</text></g>`,
  );
  return { svg: rows.join("\n"), height: entries.length * ROW };
}

/** The mark in a box of WIDTH by HEIGHT. */
function sampleOf({ colour, mark, shape }: Entry): string {
  const line = (attributes: string) => `<path d="M0,6H${WIDTH}" fill="none" stroke="${colour}" ${attributes}/>`;
  const point =
    shape === undefined ? "" : `<path transform="translate(${WIDTH / 2},6)" d="${SHAPES[shape]}" fill="${colour}"/>`;
  switch (mark) {
    case "line":
      return line('stroke-width="2"') + point;
    case "dashes":
      return line(`stroke-width="2" stroke-dasharray="${DASHES.join(",")}"`);
    case "wide":
      return line(`stroke-width="${WIDE}" stroke-opacity="${PALE}"`);
    case "rule":
      return line('stroke-width="1.5"');
    case "point":
      return point;
    case "bar":
      return `<path d="M0,1H${WIDTH}V11H0Z" fill="${colour}"/>`;
    case "area":
      return `<path d="M0,0H${WIDTH}V${HEIGHT}H0Z" fill="${colour}" fill-opacity="${AREA}"/>`;
    case "tick":
      return `<path d="M${WIDTH / 2},0V${HEIGHT}" fill="none" stroke="${colour}" stroke-width="2.5"/>`;
  }
}
