// Numbers that a call keeps until it has succeeded: in memory, and where they are many (of millions of channels) in a temporary file, so that
// no call needs memory in proportion to its sets.
import { randomUUID } from "node:crypto";
import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Bytes that are kept in memory. */
const IN_MEMORY = 32 << 20;

/** Arrays, in the order in which they were put. */
type Chunk = Float64Array | { readonly at: number; readonly length: number };

export class Kept {
  readonly #inMemory: number;
  readonly #chunks: Chunk[] = [];
  #bytes = 0;
  #fileBytes = 0;
  #file: { readonly descriptor: number; readonly path: string } | undefined;

  constructor(inMemory = IN_MEMORY) {
    this.#inMemory = inMemory;
  }

  /** Keeps a copy. */
  put(numbers: Float64Array): void {
    this.#bytes += numbers.byteLength;
    this.#chunks.push((this.#bytes > this.#inMemory && this.#write(numbers)) || numbers.slice());
  }

  /** What was put, in that order. An array is good until the next one is asked for. */
  *all(): Generator<Float64Array> {
    let room = new Float64Array(0);
    for (const chunk of this.#chunks) {
      if (chunk instanceof Float64Array) {
        yield chunk;
        continue;
      }
      if (room.length < chunk.length) room = new Float64Array(chunk.length);
      const numbers = room.subarray(0, chunk.length);
      this.#read(numbers, chunk.at);
      yield numbers;
    }
  }

  /** Leaves no file behind. Idempotent. */
  close(): void {
    if (this.#file === undefined) return;
    const { descriptor, path } = this.#file;
    this.#file = undefined;
    closeSync(descriptor);
    rmSync(path, { force: true });
  }

  /** Where the numbers are in the file; undefined where none can be written: then memory has to do. */
  #write(numbers: Float64Array): Chunk | undefined {
    const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
    const at = this.#fileBytes;
    try {
      this.#file ??= makeFile();
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#file.descriptor, bytes, done, bytes.length - done, at + done);
      }
    } catch {
      return undefined;
    }
    this.#fileBytes += bytes.length;
    return { at, length: numbers.length };
  }

  #read(numbers: Float64Array, at: number): void {
    const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
    const { descriptor, path } = this.#file as { descriptor: number; path: string };
    for (let done = 0; done < bytes.length; ) {
      const read = readSync(descriptor, bytes, done, bytes.length - done, at + done);
      if (read === 0) throw new Error(`${path}: expected ${bytes.length} bytes at ${at} but the file ends`);
      done += read;
    }
  }
}

function makeFile() {
  const path = join(tmpdir(), `normpool-${randomUUID()}`);
  const descriptor = openSync(path, "wx+", 0o600);
  // Without a name it is gone even if the process is killed. Where an open file keeps its name (Windows) `close` takes it away.
  try {
    rmSync(path, { force: true });
  } catch {}
  return { descriptor, path };
}
