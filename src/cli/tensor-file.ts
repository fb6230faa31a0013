// What the commands of tensors in files share: options that say which, and outputs that replace nothing unasked.
import { stat } from "node:fs/promises";
import { NormpoolError, type Tensor } from "../index.js";

/** Throws where there is a file that was not asked to be replaced. */
export async function checkFree(path: string, force: boolean): Promise<void> {
  if (force || (await stat(path).catch(() => undefined)) === undefined) return;
  throw new Error(`${path}: expected no file of that name but there is one (--force replaces it)`);
}

/** Runs a step of the library's whose errors do not know of files. */
export async function naming<T>(path: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof NormpoolError) || !["invalid-argument", "invalid-shape"].includes(error.code)) throw error;
    throw new Error(`${path}: ${error.message.slice(error.operation.length + 2)}`, { cause: error });
  }
}

const CELL_BYTES = { float32: 4, float64: 8, float16: 2, bfloat16: 2, uint8: 1 } as const;

export function bytesOf({ size, dtype }: Tensor): number {
  return size * CELL_BYTES[dtype];
}

export function formatSpeed(milliseconds: number, gigabytesPerSecond: number): string {
  return `${milliseconds.toFixed(2)} ms, ${gigabytesPerSecond.toFixed(2)} GB/s`;
}
