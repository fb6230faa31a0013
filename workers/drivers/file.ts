// Tensors in files. Each thread reads and writes its own tiles, straight into and out of shared memory; the calling thread moves no cells.
import { closeSync, fstatSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { swap } from "../../src/plan/bytes.js";
import { CELL_BYTES } from "../../src/plan/cells.js";
import { convert } from "../../src/plan/convert.js";
import type { Converted, FileSpec } from "../../src/storage/spec.js";
import type { WasmMemory } from "../webassembly.js";
import { arenaBuffer, copy } from "./copy.js";
import type { Driver, Runs } from "./driver.js";
import { FileFault, systemFault } from "./file-fault.js";

/**
 * A system call costs about as much as copying this many bytes. Runs that lie closer together are read with what is between them.
 * They are not written so: between them other threads' cells may lie.
 */
const CALL_BYTES = 8192;
/** What is read at once of such runs, unless one is longer. */
const SPAN_BYTES = 262_144;

export const file: Driver<FileSpec> = {
  onDevice: true,

  // A file that was put in the place of another has another inode: it is no longer what its header said.
  open(spec) {
    if (spec.descriptor !== undefined) return spec;
    const { path, name, modified } = spec;
    try {
      const opened = { ...spec, descriptor: openSync(path, modified === null ? "r+" : "r"), forCall: true } as const;
      try {
        checkUnchanged(opened);
        return opened;
      } catch (error) {
        closeSync(opened.descriptor);
        throw error;
      }
    } catch (error) {
      throw error instanceof FileFault ? error : systemFault(name, modified === null ? "write" : "read", error);
    }
  },

  check: checkUnchanged,

  close({ descriptor, forCall }) {
    if (forCall) closeSync(descriptor as number);
  },

  // Copies of the system's own: it does not matter where they go.
  lineOffsetOf: () => 0,

  load(spec, runs, memory, to) {
    const { converted } = spec;
    if (converted === undefined) {
      loadStored(spec, runs, memory, to);
      return;
    }
    const stored = storedRuns(runs, converted);
    // To the end of their room, where they become longer one after the other.
    const at = to + runs.rows * (runs.bytes - stored.bytes);
    loadStored(spec, stored, memory, at);
    const buffer = arenaBuffer(memory, to + runs.rows * runs.bytes);
    const cells = (runs.rows * runs.bytes) / CELL_BYTES[converted.dtype];
    convert(converted.stored, converted.dtype, { buffer, at }, { buffer, at: to }, cells);
  },

  store(spec, runs, memory, from) {
    const buffer = arenaBuffer(memory, from + runs.rows * runs.bytes);
    if (spec.converted === undefined) writeRuns(spec, runs, buffer, from);
    else storeConverted(spec, spec.converted, runs, buffer, from);
  },
};

function loadStored(spec: FileSpec, runs: Runs, memory: WasmMemory, to: number): void {
  const { at, rows, bytes, stride } = runs;
  const buffer = arenaBuffer(memory, to + rows * bytes);
  if (isOneRun(runs)) read(spec, new Uint8Array(buffer, to, rows * bytes), at);
  else if (stride - bytes < CALL_BYTES) loadSpans(spec, runs, memory, to);
  else {
    for (let row = 0; row < rows; row++) {
      read(spec, new Uint8Array(buffer, to + row * bytes, bytes), at + row * stride);
    }
  }
  swap(new Uint8Array(buffer, to, rows * bytes), spec.swapped);
}

function writeRuns(spec: FileSpec, runs: Runs, buffer: SharedArrayBuffer, from: number): void {
  const { at, rows, bytes, stride } = runs;
  if (isOneRun(runs)) write(spec, new Uint8Array(buffer, from, rows * bytes), at);
  else {
    for (let row = 0; row < rows; row++) {
      write(spec, new Uint8Array(buffer, from + row * bytes, bytes), at + row * stride);
    }
  }
}

function isOneRun({ rows, bytes, stride }: Runs): boolean {
  return rows === 1 || stride === bytes;
}

/** Where a tensor's runs lie in its file, of cells of the file's. */
function storedRuns({ at, rows, bytes, stride }: Runs, { stored, dtype }: Converted): Runs {
  const inFile = (count: number) => (count / CELL_BYTES[dtype]) * CELL_BYTES[stored];
  return { at: inFile(at), rows, bytes: inFile(bytes), stride: inFile(stride) };
}

/** Converts as many whole rows at once as this thread's buffer holds, or a piece of a long one: the stage's cells stay what they are. */
function storeConverted(
  spec: FileSpec,
  converted: Converted,
  given: Runs,
  buffer: SharedArrayBuffer,
  from: number,
): void {
  const { stored, dtype } = converted;
  const runs = isOneRun(given) ? { ...given, rows: 1, bytes: given.rows * given.bytes } : given;
  const { at, rows, bytes, stride } = storedRuns(runs, converted);
  const width = Math.min(bytes, SPAN_BYTES);
  const step = Math.max(1, Math.floor(SPAN_BYTES / bytes));
  const target = { buffer: spanOf(width * Math.min(step, rows)), at: 0 };
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    for (let start = 0; start < bytes; start += width) {
      const wide = Math.min(width, bytes - start);
      const cell = (row * bytes + start) / CELL_BYTES[stored];
      const source = { buffer, at: from + cell * CELL_BYTES[dtype] };
      convert(dtype, stored, source, target, (count * wide) / CELL_BYTES[stored]);
      const piece = { at: at + row * stride + start, rows: count, bytes: wide, stride };
      writeRuns(spec, piece, target.buffer, 0);
    }
  }
}

function checkUnchanged({ name: path, descriptor, id, size, modified }: FileSpec): void {
  const found = fstatSync(descriptor as number, { bigint: true });
  const fail = (why: string) => new FileFault({ path, does: "read", why });
  if (`${found.dev}:${found.ino}` !== id) throw fail("it is another file than when it was opened first");
  if (found.size < size) throw fail(`expected ${size} bytes but it has become shorter, ${found.size}`);
  // What is written to it then is lost. Who reads has all that there was.
  if (modified === null && found.nlink === 0n) {
    throw new FileFault({ path, does: "write", why: "it was deleted, or replaced by another, while it was open" });
  }
  if (modified !== null && String(found.mtimeNs) !== modified) throw fail("it was changed since it was opened first");
}

function read({ name: path, descriptor, offset }: FileSpec, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) {
    let count: number;
    try {
      count = readSync(descriptor as number, bytes, done, bytes.length - done, offset + at + done);
    } catch (error) {
      throw systemFault(path, "read", error);
    }
    if (count === 0)
      throw new FileFault({
        path,
        does: "read",
        why: `it has become shorter: it ends before byte ${offset + at + bytes.length}`,
      });
    done += count;
  }
}

/**
 * A thread that was stopped goes on when another process may have done its work, and more: so it looks before it writes. The cells were read before:
 * what it writes then was true while the file was being written.
 */
function checkNamed({ path, name, id }: FileSpec): void {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (found !== undefined && `${found.dev}:${found.ino}` === id) return;
  throw new FileFault({ path: name, does: "write", why: "others have finished it" });
}

function write(spec: FileSpec, bytes: Uint8Array, at: number): void {
  const { name: path, descriptor, offset } = spec;
  try {
    if (spec.whileNamed) checkNamed(spec);
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(descriptor as number, bytes, done, bytes.length - done, offset + at + done);
    }
  } catch (error) {
    throw error instanceof FileFault ? error : systemFault(path, "write", error);
  }
}

/** This thread's, for spans, and for what is converted before it is written. */
let spanBuffer = new SharedArrayBuffer(0);

function spanOf(bytes: number): SharedArrayBuffer {
  if (spanBuffer.byteLength < bytes) spanBuffer = new SharedArrayBuffer(bytes);
  return spanBuffer;
}

function loadSpans(spec: FileSpec, { at, rows, bytes, stride }: Runs, memory: WasmMemory, to: number): void {
  const step = Math.max(1, Math.floor(SPAN_BYTES / stride));
  const longest = (Math.min(step, rows) - 1) * stride + bytes;
  const buffer = spanOf(longest);
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    read(spec, new Uint8Array(buffer, 0, (count - 1) * stride + bytes), at + row * stride);
    const target = { buffer: memory.buffer, at: to + row * bytes, stride: bytes };
    copy({ buffer, at: 0, stride }, target, count, bytes, true);
  }
}
