// What the commands say of a file: errors with its name, sizes, speeds.
import { NormpoolError, type Tensor } from "../index.js";

/** Runs a step of the library's whose errors do not know of files. */
export async function naming<T>(path: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof NormpoolError) || !["invalid-argument", "invalid-shape"].includes(error.code)) throw error;
    const words = inOptions(error);
    throw new Error(words.includes(path) ? words : `${path}: ${words}`, { cause: error });
  }
}

export const CELL_BYTES = { float32: 4, float64: 8, float16: 2, bfloat16: 2, uint8: 1 } as const;

/** What is an option to the library is one to the command, by another name. */
function inOptions({ message, operation, ...fields }: NormpoolError): string {
  const words = message.slice(operation.length + 2);
  const { argument } = fields as { readonly argument?: string };
  return argument === "key" ||
    argument === "member" ||
    argument === "dtype" ||
    argument === "shape" ||
    argument === "offset"
    ? words
        .replace(` for ${argument} but got undefined`, ` for --${argument} but got none`)
        .replace(` for ${argument} `, ` for --${argument} `)
    : words;
}

export function bytesOf({ size, dtype }: Tensor): number {
  return size * CELL_BYTES[dtype];
}

export function formatSpeed(milliseconds: number, gigabytesPerSecond: number): string {
  return `${milliseconds.toFixed(2)} ms, ${gigabytesPerSecond.toFixed(2)} GB/s`;
}
