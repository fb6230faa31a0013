// The report: one HTML page that needs nothing else.
import { describeSections } from "../describe.js";
import type { Results } from "../results.js";
import { formatBytes, formatThreads } from "../text.js";
import { SECTIONS, WORDS } from "./explain.js";
import { headlines } from "./headlines.js";
import { Html, html, tableOf } from "./html.js";
import { legendOf } from "./legend.js";
import { drawPictures, type Picture } from "./pictures.js";
import { PAGE_STYLE } from "./style.js";

export async function makePage(results: Results): Promise<string> {
  const pictures = await drawPictures(results);
  const sections = describeSections(results);
  const { machine, quick } = results;
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
<header>
<h1>${quick ? "A quick run of normpool's bench" : "How fast normpool is"} on ${machine.cpu}</h1>
${machineOf(results)}${quick ? QUICK : factsOf(results)}</header>
<section>
<h2>How to read it</h2>
<dl class="words">
${WORDS.map(([word, meaning]) => html`<div><dt>${word}</dt> <dd>${meaning}</dd></div>\n`)}</dl>
</section>
${sections.map(({ section, notes, tables, leftOut = [] }) => {
  const own = pictures.filter((picture) => picture.section === section);
  const [heading, asks] = SECTIONS[section];
  return html`<section>
<h2>${heading}</h2>
<p>${asks}</p>
${own.length > 0 ? html`<div class="pictures">\n${own.map(figureOf)}</div>\n` : []}${leftOut.map((why) => html`<p class="soft">Left out: ${why}.</p>\n`)}<details${new Html(own.length > 0 ? "" : " open")}>
<summary>All numbers</summary>
<p class="soft">${notes.join(" ")}</p>
${tables.map(({ note = "", rows }) => html`<p class="soft">${note}</p>\n${tableOf(rows)}\n`)}</details>
</section>
`;
})}</body>
</html>
`;
  return page.text;
}

const QUICK = html`<p class="warning"><strong>This is a quick run: it shows that the bench works, not how fast normpool is.</strong>
Its tensors are small and its samples few. For numbers run <code>npx normpool bench --html report.html</code>, which takes less than two minutes.</p>
`;

function machineOf({ machine, threads }: Results): Html {
  const { cores, memory, platform, node, normpool, commit, date } = machine;
  const facts = [
    `${formatThreads(threads)} on ${cores} ${cores === 1 ? "core" : "cores"}`,
    formatBytes(Math.round(memory / 2 ** 30) * 2 ** 30),
    platform,
    `Node ${node}`,
    `normpool ${normpool}${commit === null ? "" : ` at ${commit}`}`,
    `${date.slice(0, 16).replace("T", " ")} UTC`,
  ];
  return html`<ul class="machine">${facts.map((fact) => html`<li>${fact}</li>`)}</ul>
`;
}

function factsOf(results: Results): Html {
  return html`<ul class="facts">
${headlines(results).map(({ of, value, says }) => html`<li><span>${of}</span> <b>${value}</b> <span>${says}</span></li>\n`)}</ul>
`;
}

function figureOf({ title, says, legend, svg }: Picture): Html {
  return html`<figure>
<h3>${title}</h3>
${new Html(svg)}
${legendOf(legend)}<figcaption>${says}</figcaption>
</figure>
`;
}
