// Whether a file is where it may be: a job that came from elsewhere names files by itself.
import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, sep } from "node:path";
import { describe } from "../describe.js";
import { InvalidArgumentError } from "../errors.js";

/** Throws InvalidArgumentError unless they are folders' names. A string would be taken for a list of its letters, and "/" is one. */
export function checkRoots(operation: string, roots: unknown): readonly string[] {
  const isPath = (root: unknown) => typeof root === "string" && root !== "";
  if (Array.isArray(roots) && roots.length > 0 && roots.every(isPath)) return roots;
  throw new InvalidArgumentError(operation, "roots", "a list of folders", describe(roots));
}

/**
 * Throws InvalidArgumentError unless the file, wherever links lead, is below one of the folders. A file that is not there yet is below its folder's.
 * @param roots undefined where any file may be.
 */
export async function checkBelow(operation: string, path: string, roots: readonly string[] | undefined): Promise<void> {
  if (roots === undefined) return;
  const found = isAbsolute(path) ? await resolved(path) : undefined;
  for (const root of roots) {
    const folder = await realpath(root).catch(() => undefined);
    if (folder === undefined || found === undefined) continue;
    if (found === folder || found.startsWith(folder.endsWith(sep) ? folder : folder + sep)) return;
  }
  throw new InvalidArgumentError(
    operation,
    "roots",
    `folders that the job's files are below, as ${path} is,`,
    roots.join(", "),
  );
}

async function resolved(path: string): Promise<string | undefined> {
  const whole = await realpath(path).catch(() => undefined);
  if (whole !== undefined) return whole;
  const folder = await realpath(dirname(path)).catch(() => undefined);
  const name = basename(path);
  return folder === undefined || name === "" || name === ".." ? undefined : join(folder, name);
}
