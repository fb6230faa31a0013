// Imported before all else: in a bundle the modules that follow fail with errors that name no remedy, under some bundlers only at the first
// tensor that is large enough for workers.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MissingFilesError } from "./errors.js";

// A bundle of CommonJS has no URL; webpack's is that of the file that was bundled, which may still be there.
const { url, webpack } = import.meta as { url?: string; webpack?: number };
if (webpack !== undefined || !url?.startsWith("file:")) throw new MissingFilesError("a bundle");

// What threads read. Not `new URL("...", import.meta.url)`: bundlers that know it copy the file that it names, and none of its imports.
for (const file of ["entry.cjs", "worker.js", "kernels.wasm"]) {
  const path = join(fileURLToPath(url), "../../workers", file);
  if (!existsSync(path)) throw new MissingFilesError(`no ${path}`);
}
