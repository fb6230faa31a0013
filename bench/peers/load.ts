// Packages of bench/peers/package.json, which normpool's own does not have.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const FOLDER = new URL("../../../bench/peers/", import.meta.url);

/** Throws where it is not installed. */
export async function load<T>(name: string): Promise<{ readonly library: T; readonly version: string }> {
  const manifest = new URL(`node_modules/${name}/package.json`, FOLDER);
  if (!existsSync(manifest)) throw new Error("not installed (npm ci --prefix bench/peers)");
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  // The builds for require: all of one package's parts share them.
  const library = createRequire(new URL("package.json", FOLDER))(name) as T;
  return { library, version };
}
