// Which files the arguments name: files, folders, and patterns that no shell has expanded.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** stdin. */
export const STREAM = "-";

/** What of a folder is taken. */
const TENSOR_FILE = /\.(npy|npz|safetensors)$/;

/** Files in the order of the arguments, those of a folder or a pattern by name. Throws where one names nothing. */
export async function expandInputs(names: readonly string[]): Promise<string[]> {
  const all: string[] = [];
  for (const name of names) all.push(...(await expandInput(name)));
  return all;
}

async function expandInput(name: string): Promise<string[]> {
  if (name === STREAM) return [name];
  const found = await stat(name).catch(() => undefined);
  if (found?.isDirectory()) {
    const files = (await readdir(name)).filter((file) => TENSOR_FILE.test(file)).sort();
    if (files.length > 0) return files.map((file) => join(name, file));
    throw new Error(`${name}: expected .npy, .npz or safetensors files in this folder but there are none`);
  }
  // A file that does not exist is said to be missing by who opens it.
  if (found !== undefined || !/[*?]/.test(name)) return [name];
  const matches = await matchesOf(name.split("/"));
  if (matches.length > 0) return matches;
  throw new Error(`${name}: no file's name is like that`);
}

/** Paths that are like the parts of a pattern, of which `*` and `?` stand for any characters and one. */
async function matchesOf([first = "", ...rest]: readonly string[], folder = ""): Promise<string[]> {
  let names = [first];
  if (/[*?]/.test(first)) {
    const source = first
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".");
    const like = new RegExp(`^${source}$`, "su");
    const entries = await readdir(folder === "" ? "." : folder).catch(() => []);
    // As shells have it: files whose names begin with a dot are not meant.
    names = entries.filter((entry) => like.test(entry) && (!entry.startsWith(".") || first.startsWith("."))).sort();
  }
  const paths = names.map((name) => folder + name);
  if (rest.length > 0) return (await Promise.all(paths.map((path) => matchesOf(rest, `${path}/`)))).flat();
  const there = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return paths.filter((_, i) => there[i]);
}
