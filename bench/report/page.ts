// The report: one HTML page that needs nothing else.
import { describeSections } from "../describe.js";
import { formatMachine } from "../machine.js";
import type { Results } from "../results.js";
import { headlines } from "./headlines.js";
import { Html, html, tableOf } from "./html.js";
import { drawPictures, type Picture } from "./pictures.js";
import { PAGE_STYLE } from "./style.js";

export async function makePage(results: Results): Promise<string> {
  const pictures = await drawPictures(results);
  const { machine, quick } = results;
  const sections = describeSections(results);
  const page = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>normpool on ${machine.cpu}</title>
<style>
${new Html(PAGE_STYLE)}</style>
</head>
<body>
<h1>normpool on ${machine.cpu}</h1>
<p class="soft">${formatMachine(machine)}. Measured at ${machine.date.slice(0, 16).replace("T", " ")} UTC.${quick ? " A quick run, of small tensors and few samples: it shows that it works, not how fast." : ""}</p>
<ul class="facts">
${headlines(results).map(({ value, says }) => html`<li><b>${value}</b> <span>${says}</span></li>\n`)}</ul>
${sections.map(({ section, title, notes, tables, leftOut = [] }) => {
  const own = pictures.filter((picture) => picture.section === section);
  return html`<section>
<h2>${title}</h2>
${own.length > 0 ? html`<div class="pictures">\n${own.map(figureOf)}</div>\n` : []}${leftOut.map((why) => html`<p class="soft">Left out: ${why}.</p>\n`)}<details${new Html(own.length > 0 ? "" : " open")}>
<summary>The numbers</summary>
<p class="soft">${notes.join(" ")}</p>
${tables.map(({ note = "", rows }) => html`<p class="soft">${note}</p>\n${tableOf(rows)}\n`)}</details>
</section>
`;
})}</body>
</html>
`;
  return page.text;
}

function figureOf({ title, says, svg }: Picture): Html {
  return html`<figure>
<h3>${title}</h3>
<figcaption>${says}</figcaption>
${new Html(svg)}
</figure>
`;
}
