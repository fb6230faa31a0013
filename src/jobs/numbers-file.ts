// Float64 numbers in a file, for other processes: many more than memory should hold. In blocks, each with its checksum; before them a line that says
// what they are.
import { type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { FileFormatError, ReadFailedError } from "../errors.js";
import { describeSystemError } from "../storage/system-error.js";
import { writeWhole } from "./folder.js";

/** Of the line, with what fills it up. */
const HEAD_BYTES = 256;
const BLOCK_NUMBERS = 32_768;
const NUMBER_BYTES = 8;
const CHECK_BYTES = 8;

/** What the numbers are of, and how many there are. */
export interface NumbersHead {
  /** The job's id. */
  readonly job: string;
  /** Such as `moments-7`. */
  readonly name: string;
  readonly numbers: number;
}

function formatHead(head: NumbersHead): Buffer {
  const json = JSON.stringify(head);
  const check = crc32(json).toString(16).padStart(8, "0");
  return Buffer.from(`${check} ${json}`.padEnd(HEAD_BYTES - 1).concat("\n"));
}

function bytesOf(numbers: number): number {
  return HEAD_BYTES + numbers * NUMBER_BYTES + Math.ceil(numbers / BLOCK_NUMBERS) * CHECK_BYTES;
}

/** Writes numbers one after the other. */
export class NumbersWriter {
  readonly #file: FileHandle;
  readonly #block = new Float64Array(BLOCK_NUMBERS);
  #filled = 0;
  #at = HEAD_BYTES;
  numbers = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async put(numbers: Float64Array): Promise<void> {
    for (let done = 0; done < numbers.length; ) {
      const count = Math.min(numbers.length - done, BLOCK_NUMBERS - this.#filled);
      this.#block.set(numbers.subarray(done, done + count), this.#filled);
      this.#filled += count;
      done += count;
      if (this.#filled === BLOCK_NUMBERS) await this.#flush();
    }
    this.numbers += numbers.length;
  }

  async end(head: Omit<NumbersHead, "numbers">): Promise<void> {
    if (this.#filled > 0) await this.#flush();
    await writeAll(this.#file, formatHead({ ...head, numbers: this.numbers }), 0);
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.from(this.#block.buffer, 0, this.#filled * NUMBER_BYTES);
    await writeAll(this.#file, bytes, this.#at);
    await writeAll(this.#file, checkOf(bytes), this.#at + bytes.length);
    this.#at += bytes.length + CHECK_BYTES;
    this.#filled = 0;
  }
}

function checkOf(bytes: Buffer): Buffer {
  const check = Buffer.alloc(CHECK_BYTES);
  check.writeUInt32LE(crc32(bytes));
  return check;
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }
}

/** Writes the numbers that `write` puts. */
export async function writeNumbers(
  operation: string,
  path: string,
  head: Omit<NumbersHead, "numbers">,
  write: (writer: NumbersWriter) => Promise<void>,
): Promise<void> {
  await writeWhole(operation, path, async (file) => {
    const writer = new NumbersWriter(file);
    await write(writer);
    await writer.end(head);
  });
}

/** Reads numbers from anywhere of a file, a block at a time. */
export class NumbersReader {
  readonly numbers: number;
  readonly #operation: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #bytes = Buffer.from(new ArrayBuffer(BLOCK_NUMBERS * NUMBER_BYTES + CHECK_BYTES));
  readonly #block = new Float64Array(this.#bytes.buffer, 0, BLOCK_NUMBERS);
  #loaded = -1;

  private constructor(operation: string, path: string, file: FileHandle, numbers: number) {
    this.#operation = operation;
    this.#path = path;
    this.#file = file;
    this.numbers = numbers;
  }

  /** Undefined where there is no such file. Throws FileFormatError where it has others than `expected`, ReadFailedError. */
  static async open(operation: string, path: string, expected: NumbersHead): Promise<NumbersReader | undefined> {
    let file: FileHandle;
    try {
      file = await open(path, "r");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new ReadFailedError(operation, path, describeSystemError(cause), { cause });
    }
    const reader = new NumbersReader(operation, path, file, expected.numbers);
    try {
      const head = await reader.#read(Buffer.alloc(HEAD_BYTES), 0);
      const { size } = await file.stat();
      if (!head.equals(formatHead(expected)) || size !== bytesOf(expected.numbers)) {
        const what = `the ${expected.numbers} numbers ${expected.name} of job ${expected.job}`;
        throw new FileFormatError(
          operation,
          path,
          `expected ${what} but it has others (remove it, and run its part again)`,
        );
      }
      return reader;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Fills `target` with the numbers from `first` on. */
  async fill(target: Float64Array, first: number): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const number = first + done;
      const block = Math.floor(number / BLOCK_NUMBERS);
      await this.#load(block);
      const start = number % BLOCK_NUMBERS;
      const count = Math.min(target.length - done, BLOCK_NUMBERS - start);
      target.set(this.#block.subarray(start, start + count), done);
      done += count;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #load(block: number): Promise<void> {
    if (block === this.#loaded) return;
    this.#loaded = -1;
    const first = block * BLOCK_NUMBERS;
    const count = Math.min(BLOCK_NUMBERS, this.numbers - first);
    const bytes = this.#bytes.subarray(0, Math.max(0, count) * NUMBER_BYTES + CHECK_BYTES);
    await this.#read(bytes, HEAD_BYTES + first * NUMBER_BYTES + block * CHECK_BYTES);
    const cells = bytes.subarray(0, bytes.length - CHECK_BYTES);
    if (count <= 0 || !checkOf(cells).equals(bytes.subarray(cells.length))) {
      throw new FileFormatError(
        this.#operation,
        this.#path,
        `block ${block} does not fit its checksum: it was changed (remove it, and run its part again)`,
      );
    }
    this.#loaded = block;
  }

  async #read(bytes: Buffer, at: number): Promise<Buffer> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await this.#file.read(bytes, done, bytes.length - done, at + done).catch((cause) => {
        throw new ReadFailedError(this.#operation, this.#path, describeSystemError(cause), { cause });
      });
      if (bytesRead === 0) throw new FileFormatError(this.#operation, this.#path, "it ends before its numbers do");
      done += bytesRead;
    }
    return bytes;
  }
}
