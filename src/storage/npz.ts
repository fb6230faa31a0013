// The arrays of an .npz file: a zip of .npy files. Those that are stored, not compressed, are read where they lie.
import { type Entry, fromFdPromise } from "yauzl";
import { describe, FileFormatError, InvalidArgumentError } from "../errors.js";
import type { Dtype } from "../tensor/dtype.js";
import type { Input } from "./input.js";
import type { Located } from "./located.js";
import { locateNpy } from "./npy-cells.js";

const STORED = 0;
/** As Python's numpy.load has it: the names are without it. */
const SUFFIX = ".npy";

/** @param wanted the array's name; of a file of one array none is needed. Throws FileFormatError, InvalidArgumentError. */
export async function locateNpz(
  operation: string,
  input: Input,
  wanted: string | undefined,
  dtype: Dtype | undefined,
): Promise<Located> {
  const { path } = input;
  const error = (message: string, cause?: unknown) => new FileFormatError(operation, path, message, { cause });
  const orFail = (cause: unknown) =>
    Promise.reject(error(`expected a zip archive: ${(cause as Error).message}`, cause));
  const zip = await fromFdPromise(input.descriptor, { autoClose: false }).catch(orFail);
  const members = new Map<string, Entry>();
  try {
    // Of two of one name Python takes the later one too.
    for await (const entry of zip.eachEntry()) members.set(entry.fileName.replace(/\.npy$/, ""), entry);
  } catch (cause) {
    return orFail(cause);
  }
  const names = [...members].filter(([, { fileName }]) => fileName.endsWith(SUFFIX)).map(([name]) => name);
  const [only, other] = names;
  const name = wanted ?? (other === undefined ? only : undefined);
  const entry = name === undefined ? undefined : members.get(name);
  if (name === undefined || entry === undefined) {
    throw new InvalidArgumentError(operation, "member", `one of ${path}'s, ${describe(names)},`, describe(wanted));
  }
  if (entry.compressionMethod !== STORED || entry.isEncrypted()) {
    const remedy = "write it with numpy.savez, not savez_compressed, or unzip the file and open the .npy in it";
    throw error(`expected ${describe(name)} to be stored but it is compressed (${remedy})`);
  }
  const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true }).catch(orFail);
  const part = {
    path,
    size: entry.compressedSize,
    readAt: (at: number, length: number) =>
      input.readAt(fileDataStart + at, Math.max(0, Math.min(length, entry.compressedSize - at))),
  };
  const located = await locateNpy(operation, part, dtype);
  return { ...located, offset: fileDataStart + located.offset };
}
