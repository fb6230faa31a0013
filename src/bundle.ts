// Part of the build: the command in a few files, in place of its main.js, and what a thread runs, in place of its worker.js. Finding and reading modules
// one by one took about half of the time that the command needs to start, Node's own aside, and a third of a thread's. The rest of the library stays as it is.
import { readFile, rm } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const own = dirname(fileURLToPath(import.meta.url));
const folder = resolve(own, "cli");
const main = join(folder, "main.js");

/** What is found from where a module is, such as what threads run, stays where it is: each module keeps its own URL. */
const urls: Plugin = {
  name: "urls",
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, async ({ path }) => {
      const url = JSON.stringify(relative(folder, path).split(sep).join("/"));
      const text = await readFile(path, "utf8");
      return { contents: text.replaceAll("import.meta", `({ url: new URL(${url}, import.meta.url).href })`) };
    });
  },
};

const options = {
  allowOverwrite: true,
  bundle: true,
  // What is imported when it is needed has a file of its own, and shares the library with the rest.
  splitting: true,
  chunkNames: "bundled-[hash]",
  format: "esm",
  platform: "node",
  packages: "external",
  logLevel: "warning",
} as const;

await build({ ...options, entryPoints: [main], outdir: folder, plugins: [urls] });

const workers = resolve(own, "../workers");
// What tests add to a thread, drivers and faults, has these from here too: they have to be the thread's own.
const ofThreads = ["worker.js", "drivers/drivers.js", "drivers/file-fault.js"].map((name) => join(workers, name));
await build({ ...options, entryPoints: ofThreads, outdir: workers });

// The compiler's maps are of what was there before.
for (const bundled of [main, ...ofThreads]) await rm(`${bundled}.map`);
