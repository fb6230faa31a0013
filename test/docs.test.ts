// The TypeScript of README.md, docs/pytorch.md and docs/guide.md compiles and runs. A document's snippets are one program, in which later ones see
// what earlier ones made.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as normpool from "../src/index.js";
import { ROOT, readDocument, runScript, snippetsOf, TSC } from "./programs.js";

const DOCUMENTS = ["README.md", "docs/pytorch.md", "docs/guide.md"];

// Inside the package, so that snippets import it by its name.
const programs = join(ROOT, "dist/snippets");
const folder = mkdtempSync(join(tmpdir(), "normpool-docs-"));
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(async () => {
  mkdirSync(programs, { recursive: true });
  const compilerOptions = { rootDir: ".", outDir: "out", noUnusedLocals: false };
  writeFileSync(
    join(programs, "tsconfig.json"),
    JSON.stringify({ extends: "../../tsconfig.json", compilerOptions, include: ["*.ts"] }),
  );
  DOCUMENTS.forEach((document, i) => {
    writeFileSync(join(programs, `${i}.ts`), programOf(readDocument(document)));
  });
  // The files that they read.
  const layers = { "encoder.norm1.": new normpool.BatchNorm2d(64), "encoder.norm2.": new normpool.LayerNorm(512) };
  const entries = Object.entries(layers).flatMap(([prefix, layer]) =>
    Object.entries(layer.stateDict()).map(([key, tensor]) => [prefix + key, tensor] as const),
  );
  await normpool.writeSafetensors(join(folder, "model.safetensors"), Object.fromEntries(entries));
  await normpool.writeNpy(join(folder, "embeddings.npy"), new Float32Array(64 * 1024), [64, 1024]);
});

test("the snippets compile", () => {
  expect(runScript(folder, TSC, "-p", programs)).toBe("");
});

test.each(DOCUMENTS.map((document, i) => [document, i] as const))("the snippets of %s run", (_, i) => {
  runScript(folder, join(programs, `out/${i}.js`));
});

/** The document's snippets, each inside the one before; only their imports are outside. */
function programOf(markdown: string): string {
  const names = new Set(Object.keys(normpool));
  const others: string[] = [];
  const snippets = snippetsOf(markdown).map((code) =>
    code
      .replace(/^import \{(.*?)\} from "normpool";[^\n]*$/ms, (_, list: string) => {
        for (const name of list.split(",")) names.add(name.trim());
        return "";
      })
      .replace(/^import .* from "node:.*";$/gm, (line) => {
        others.push(line);
        return "";
      }),
  );
  expect(snippets.length).toBeGreaterThan(2);
  const nested = snippets.reduceRight(
    (inner, code) => `{\n${code.replace("await pool.close();", "")}\n${inner}}\n`,
    "",
  );
  // Nothing that takes seconds.
  const body = nested.replaceAll("65536", "64");
  return `import { ${[...names].join(", ")} } from "normpool";\n${others.join("\n")}\nconst embeddings = new Float32Array(64 * 1024);\n${body}`;
}
