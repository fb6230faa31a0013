import { readFileSync } from "node:fs";

/** normpool's own. The file is read when it is asked for: a process that does not ask starts sooner. */
export function readVersion(): string {
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;
}
