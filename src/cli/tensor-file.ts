// What the commands say of a file: errors with its name, sizes, speeds.
import { NormpoolError, type Tensor } from "../index.js";
import { CELL_BYTES } from "../plan/cells.js";

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

/** The library's options that are the command's too, by another name. */
const OPTIONS = ["key", "member", "dtype", "shape", "offset", "eps", "channelAxis", "normalizedShape"];

function inOptions({ message, operation, ...fields }: NormpoolError): string {
  const words = message.slice(operation.length + 2);
  const { argument = "" } = fields as { readonly argument?: string };
  if (!OPTIONS.includes(argument)) return words;
  const flag = `--${argument.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  return words
    .replace(` for ${argument} but got undefined`, ` for ${flag} but got none`)
    .replace(` for ${argument} `, ` for ${flag} `);
}

export function bytesOf({ size, dtype }: Tensor): number {
  return size * CELL_BYTES[dtype];
}

export function formatSpeed(milliseconds: number, gigabytesPerSecond: number): string {
  return `${milliseconds.toFixed(2)} ms, ${gigabytesPerSecond.toFixed(2)} GB/s`;
}
