import { withInput } from "./input.js";
import { hashOf } from "./journal.js";
import type { FileSpec } from "./spec.js";

/** So many stretches of a file, evenly apart, are looked at. */
const STRETCHES = 16;
const STRETCH_BYTES = 4096;

/** A hash of some of a file's bytes: a copy that was put in its place may have its size and times, and a careless one its inode. */
export async function hashOfSamples(operation: string, { path }: FileSpec): Promise<string> {
  return withInput(operation, path, async (input) => {
    const stretches: Buffer[] = [];
    for (let i = 0; i < STRETCHES; i++) {
      const last = Math.max(0, input.size - STRETCH_BYTES);
      stretches.push(await input.readAt(Math.floor((last * i) / (STRETCHES - 1)), STRETCH_BYTES));
    }
    return hashOf(stretches);
  });
}
