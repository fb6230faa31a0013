// The page's CSS. Colours of what is no series are here, those of series in series.ts.
import { coloursOf } from "./series.js";

const LIGHT = "--surface: #fcfcfb; --ink: #1b1b1a; --soft: #5c5b57; --grid: #e6e5e1; --axis: #b9b8b2; --warn: #fdf1d3;";
const DARK = "--surface: #1a1a19; --ink: #f2f1ec; --soft: #b5b4ad; --grid: #343432; --axis: #5d5c58; --warn: #41351a;";

/** Of whatever element the pictures lie in. */
export function colours(selector: string): string {
  return `${selector} { color-scheme: light dark; ${LIGHT} ${coloursOf("light")} }
@media (prefers-color-scheme: dark) { ${selector} { ${DARK} ${coloursOf("dark")} } }`;
}

export const PAGE_STYLE = `${colours(":root")}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1200px; padding: 28px 20px 56px; background: var(--surface); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 4px; }
h3 { font-size: 1rem; margin: 0 0 6px; }
section { margin-top: 32px; padding-top: 24px; border-top: 1px solid var(--grid); }
p { margin: 0 0 16px; max-width: 75ch; }
ul, dl, dd { margin: 0; padding: 0; list-style: none; }
.soft, figcaption, .machine, .legend, .facts span, .words { color: var(--soft); font-size: 0.9rem; }
.machine { display: flex; flex-wrap: wrap; gap: 0 1.5em; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 20px; margin-top: 24px; }
.facts li { border-left: 4px solid var(--layernorm); padding-left: 12px; }
.facts span { display: block; line-height: 1.4; }
.facts b { display: block; white-space: nowrap; font-size: 1.6rem; line-height: 1.3; }
.warning { margin: 20px 0 0; padding: 12px 16px; border-radius: 6px; background: var(--warn); max-width: none; }
.warning strong { display: block; }
.words { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 10px 40px; }
.words dt { display: inline; font-weight: 600; color: var(--ink); }
.words dd { display: inline; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 32px 28px; margin-bottom: 16px; }
figure { margin: 0; min-width: 0; }
figure > svg { display: block; width: 100%; height: auto; max-width: 460px; }
figure text { paint-order: stroke; stroke: var(--surface); stroke-width: 3px; }
figcaption { max-width: 60ch; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 8px 0; color: var(--ink); }
.legend li { display: flex; align-items: center; gap: 7px; white-space: nowrap; }
.legend svg { flex: none; }
.legend.rows { flex-direction: column; max-width: 340px; }
.legend span { margin-left: auto; font-variant-numeric: tabular-nums; }
@media (min-width: 760px) {
  figure:only-child { display: grid; grid-template: "chart title" auto "chart legend" auto "chart says" 1fr / minmax(0, 520px) 1fr; gap: 0 40px; }
  figure:only-child > svg { grid-area: chart; max-width: none; }
  figure:only-child .legend { flex-direction: column; }
}
.scroll { overflow-x: auto; margin: 8px 0 20px; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--grid); font-weight: normal; }
thead th { color: var(--soft); }
th:first-child { text-align: left; padding-left: 0; position: sticky; left: 0; background: var(--surface); }
details > p::first-letter { text-transform: uppercase; }
summary { cursor: pointer; color: var(--soft); font-size: 0.9rem; margin-bottom: 8px; }
`;
