// Where a tensor's cells are, as plain data. Each kind has a driver in workers/drivers/.
import type { Dtype } from "../plan/cells.js";

/** In the memory of the pool that computes, at a byte address: kernels work on it in place. */
export interface ArenaSpec {
  readonly kind: "arena";
  readonly address: number;
}

/** On a SharedArrayBuffer of any size: the caller's, or another pool's. */
export interface SharedSpec {
  readonly kind: "shared";
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
}

/** A stretch of a regular file. */
export interface FileSpec {
  readonly kind: "file";
  /** Absolute: workers, and other processes, open it too. */
  readonly path: string;
  /** As the caller named it, for messages. */
  readonly name: string;
  /** The byte at which the first cell lies. */
  readonly offset: number;
  /** Which file it was when its header was read, whatever has its name now: device and inode. */
  readonly id: string;
  /** Bytes that it has, at least. */
  readonly size: number;
  /** When it was last written to, in nanoseconds; null where calls may write to it. */
  readonly modified: string | null;
  /** Bytes of an element where its bytes lie in the other order: of big-endian cells. Otherwise 1. */
  readonly swapped: 1 | 2 | 4 | 8;
  /** Where the file's cells are not of the tensor's dtype, which holds each of them exactly: they are converted on the way. */
  readonly converted?: Converted;
  /** Of a file that is open: all threads of a process share its descriptors. */
  readonly descriptor?: number;
  /** Whether it is written to only while it has its path: others may finish it, and then it is theirs. */
  readonly whileNamed?: true;
  /** Whether it was opened for one call. */
  readonly forCall?: true;
}

export interface Converted {
  /** Of the cells in the file. */
  readonly stored: Dtype;
  /** Of the tensor. */
  readonly dtype: Dtype;
}

/** All kinds that there are. A new one is added here and to the map of drivers. */
export interface Specs {
  readonly arena: ArenaSpec;
  readonly shared: SharedSpec;
  readonly file: FileSpec;
}

export type Spec = Specs[keyof Specs];
