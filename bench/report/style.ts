/** Colours of the pictures, light and dark. Each series' colour tells itself apart from its neighbours to colour-blind eyes too. */
const LIGHT = `--surface: #fcfcfb; --ink: #1b1b1a; --soft: #5c5b57; --grid: #e6e5e1; --axis: #b9b8b2; --neutral: #6f6e69;
  --series-1: #2a78d6; --series-2: #eb6834; --series-3: #1baf7a; --series-4: #c98500; --series-5: #d55181; --series-6: #4a3aa7;`;
const DARK = `--surface: #1a1a19; --ink: #f2f1ec; --soft: #b5b4ad; --grid: #343432; --axis: #5d5c58; --neutral: #a3a29b;
  --series-1: #4f9bee; --series-2: #f08255; --series-3: #2bbd88; --series-4: #e0a02a; --series-5: #ea78a2; --series-6: #a79df0;`;

/** Of whatever element the pictures lie in. */
export function colours(selector: string): string {
  return `${selector} { color-scheme: light dark; ${LIGHT} }
@media (prefers-color-scheme: dark) { ${selector} { ${DARK} } }`;
}

export const PAGE_STYLE = `${colours(":root")}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1040px; padding: 20px 16px 48px; background: var(--surface); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 1.2rem; margin: 40px 0 4px; }
p { margin: 4px 0 12px; max-width: 70ch; }
.soft, figcaption { color: var(--soft); font-size: 0.9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0; padding: 0; list-style: none; }
.facts li { border: 1px solid var(--grid); border-radius: 8px; padding: 10px 12px; }
.facts b { display: block; font-size: 1.5rem; line-height: 1.2; }
.facts span { color: var(--soft); font-size: 0.85rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 24px; }
figure { margin: 0; min-width: 0; }
figure h3 { font-size: 1rem; margin: 0 0 2px; }
figure svg { display: block; width: 100%; height: auto; max-width: 560px; }
.scroll { overflow-x: auto; margin: 8px 0 16px; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--grid); font-weight: normal; }
thead th { color: var(--soft); }
th:first-child { text-align: left; padding-left: 0; }
summary { cursor: pointer; color: var(--soft); font-size: 0.9rem; }
`;
