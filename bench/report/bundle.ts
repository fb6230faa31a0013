// Part of the build: vega and the pictures, compiled from Vega-Lite, in one file beside this one. Users install neither.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { compile } from "vega-lite";
import { CHARTS } from "./charts.js";

const folder = fileURLToPath(new URL("./", import.meta.url));
const root = fileURLToPath(new URL("../../../", import.meta.url));
const specs = Object.fromEntries(Object.entries(CHARTS).map(([name, spec]) => [name, compile(spec).spec]));

const { metafile } = await build({
  stdin: {
    contents: `export { parse, View } from "vega";\nexport const specs = ${JSON.stringify(specs)};\n`,
    resolveDir: root,
  },
  outfile: join(folder, "vega.js"),
  bundle: true,
  minify: true,
  format: "esm",
  platform: "node",
  // The variant for Node would measure text with the package canvas where it finds one: pictures would differ by machine.
  alias: { "vega-canvas": join(root, "node_modules/vega-canvas/build/vega-canvas.browser.js") },
  legalComments: "eof",
  metafile: true,
  logLevel: "warning",
});

/** The licence of each package that is in the bundle, in full, as they ask for. */
const packages = new Set(
  Object.keys(metafile.inputs).flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []),
);
const licences = [...packages].sort().map((path) => {
  const name = path
    .split(sep)
    .join("/")
    .replace(/^.*node_modules\//, "");
  const file = readdirSync(join(root, path)).find((entry) => /^licen[cs]e/i.test(entry));
  if (file !== undefined) return `${name}\n\n${readFileSync(join(root, path, file), "utf8").trim()}`;
  const { license } = JSON.parse(readFileSync(join(root, path, "package.json"), "utf8")) as { license?: string };
  return `${name}\n\n${license}`;
});
writeFileSync(join(folder, "vega.LICENCES.txt"), `${licences.join(`\n\n${"-".repeat(80)}\n\n`)}\n`);
