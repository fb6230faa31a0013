// The command's arguments as text, read and checked.
import { InvalidArgumentError } from "commander";
import { MAX_THREADS } from "../pool.js";

export function parseSize(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("Expected a positive integer.");
}

export function parseThreads(text: string): number {
  const value = parseSize(text);
  if (value <= MAX_THREADS) return value;
  throw new InvalidArgumentError(`Expected at most ${MAX_THREADS}.`);
}

export function parseSizes(text: string): number[] {
  return text.split(",").map(parseSize);
}

export function parseAxis(text: string): number {
  const value = Number(text);
  if (/^-?\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("Expected an integer, from the end if negative.");
}

export function parseEps(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError("Expected a finite number, 0 or more.");
}

export function parseOutput(text: string): string {
  if (text !== "-") return text;
  throw new InvalidArgumentError("Writing to stdout is not there yet: give a file's name (./- for a file named -).");
}
