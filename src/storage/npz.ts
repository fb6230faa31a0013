// The arrays of an .npz file: a zip of .npy files. Those that are stored, not compressed, are read where they lie.
import type { Entry } from "yauzl";
import { describe } from "../describe.js";
import { FileFormatError, InvalidArgumentError } from "../errors.js";
import type { Dtype } from "../tensor/dtype.js";
import type { Input } from "./input.js";
import type { Located } from "./located.js";
import { locateNpy } from "./npy-cells.js";

const STORED = 0;
/** As Python's numpy.load has it: the names are without it. */
const SUFFIX = ".npy";

/** An .npy file in the zip. */
export interface Member {
  /** What keeps it from being read where it lies. */
  readonly packing: "compressed" | "encrypted" | null;
  /** Of the .npy file, and of what it takes in the zip. */
  readonly bytes: number;
  readonly packedBytes: number;
  /** The byte of the zip at which it begins. */
  start(): Promise<number>;
}

/** Throws FileFormatError. */
export async function readMembers(operation: string, input: Input): Promise<ReadonlyMap<string, Member>> {
  const orFail = (cause: unknown) => {
    const message = `expected a zip archive: ${(cause as Error).message}`;
    return Promise.reject(new FileFormatError(operation, input.path, message, { cause }));
  };
  // Most processes open none.
  const { fromFdPromise } = await import("yauzl");
  const zip = await fromFdPromise(input.descriptor, { autoClose: false }).catch(orFail);
  const memberOf = (entry: Entry): Member => ({
    packing: entry.isEncrypted() ? "encrypted" : entry.compressionMethod === STORED ? null : "compressed",
    bytes: entry.uncompressedSize,
    packedBytes: entry.compressedSize,
    start: async () => (await zip.readLocalFileHeaderPromise(entry, { minimal: true }).catch(orFail)).fileDataStart,
  });
  const members = new Map<string, Member>();
  try {
    for await (const entry of zip.eachEntry()) {
      const { fileName } = entry;
      // Of two of one name Python takes the later one too.
      if (fileName.endsWith(SUFFIX)) members.set(fileName.slice(0, -SUFFIX.length), memberOf(entry));
    }
  } catch (cause) {
    return orFail(cause);
  }
  return members;
}

/** The .npy file that lies in a zip. */
export async function npyIn(
  input: Input,
  member: Member,
): Promise<Pick<Input, "path" | "size" | "readAt"> & { readonly start: number }> {
  const start = await member.start();
  const size = member.packedBytes;
  const readAt = (at: number, length: number) => input.readAt(start + at, Math.max(0, Math.min(length, size - at)));
  return { path: input.path, size, readAt, start };
}

/** @param wanted the array's name; of a file of one array none is needed. Throws FileFormatError, InvalidArgumentError. */
export async function locateNpz(
  operation: string,
  input: Input,
  wanted: string | undefined,
  dtype: Dtype | undefined,
): Promise<Located> {
  const { path } = input;
  const members = await readMembers(operation, input);
  const names = [...members.keys()];
  const [only, other] = names;
  const name = wanted ?? (other === undefined ? only : undefined);
  const member = name === undefined ? undefined : members.get(name);
  if (name === undefined || member === undefined) {
    throw new InvalidArgumentError(operation, "member", `one of ${path}'s, ${describe(names)},`, describe(wanted));
  }
  if (member.packing !== null) {
    const remedy = "write it with numpy.savez, not savez_compressed, or unzip the file and open the .npy in it";
    throw new FileFormatError(
      operation,
      path,
      `expected ${describe(name)} to be stored but it is ${member.packing} (${remedy})`,
    );
  }
  const npy = await npyIn(input, member);
  const located = await locateNpy(operation, npy, dtype);
  return { ...located, offset: npy.start + located.offset };
}
