// The command lines of the documents run. Each section has a folder of its own, with the files that they read.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { BatchNorm2d, LayerNorm, type Shape, writeNpy, writeSafetensors } from "../src/index.js";
import { shellIn } from "./command.js";
import { readDocument } from "./programs.js";

const root = mkdtempSync(join(tmpdir(), "normpool-docs-command-"));
afterAll(() => rmSync(root, { recursive: true }));

const DOCUMENTS = ["README.md", "docs/guide.md", "docs/recipes.md", "docs/clusters.md"];
const SECTIONS = DOCUMENTS.flatMap((document) =>
  readDocument(document)
    .split(/^##+ /m)
    .map((text) => ({ name: `${document}, ${text.split("\n")[0]}`, script: scriptOf(text) })),
).filter(({ script }) => script !== "");

test("there are some", () => {
  expect(SECTIONS.length).toBeGreaterThan(5);
});

test.each(SECTIONS)("of $name", async ({ name, script }) => {
  const folder = join(root, String(SECTIONS.findIndex((section) => section.name === name)));
  await writeInputs(folder);
  const { status, stdout, stderr } = shellIn(folder, `set -e\nnpx() { shift; normpool "$@"; }\n${script}`);
  expect(status, stdout + stderr).toBe(0);
});

/** The shell's fences that have the command. */
function scriptOf(markdown: string): string {
  const fences = [...markdown.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, code = ""]) => code);
  return fences.filter((code) => code.includes("npx normpool ")).join("\n");
}

async function writeInputs(folder: string): Promise<void> {
  const save = async (name: string, shape: Shape, bytes = false) => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    const cells = shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length: cells }, (_, i) => ((i * 7919) % 251) + (i % 7));
    await writeNpy(path, bytes ? Uint8Array.from(values) : values, shape);
  };
  await save("embeddings.npy", [60, 96]);
  await save("hidden.npy", [40, 512]);
  await save("activations.npy", [4, 64, 6, 6]);
  await save("test.npy", [50, 8]);
  for (const part of [0, 1]) {
    await save(`shards/${part}.npy`, [30, 96]);
    await save(`train/${part}.npy`, [100, 8]);
    await save(`photos/${part}.npy`, [5, 12, 12, 3], true);
  }
  await save("images.npy", [6, 12, 12, 3], true);
  writeFileSync(join(folder, "cells.f32"), Buffer.alloc(1000 * 64 * 4, 1));
  await writeSafetensors(join(folder, "images.safetensors"), new BatchNorm2d(3, { affine: false }).stateDict());
  await writeSafetensors(join(folder, "model.safetensors"), {
    ...new BatchNorm2d(64).stateDict({ prefix: "encoder.norm1." }),
    ...new LayerNorm(512).stateDict({ prefix: "encoder.norm2." }),
  });
}
