// The command's arguments as text, read and checked.
import { InvalidArgumentError } from "commander";
import { MAX_THREADS } from "../pool.js";

export function parseSize(text: string): number {
  const value = parseCount(text);
  if (value > 0) return value;
  throw new InvalidArgumentError("Expected a positive integer.");
}

export function parseCount(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("Expected an integer, 0 or more.");
}

export function parseThreads(text: string): number {
  const value = parseSize(text);
  if (value <= MAX_THREADS) return value;
  throw new InvalidArgumentError(`Expected at most ${MAX_THREADS}.`);
}

/** More would be more files than a folder should have. */
const MAX_PARTS = 1_000_000;

export function parseParts(text: string): number {
  const value = parseSize(text);
  if (value <= MAX_PARTS) return value;
  throw new InvalidArgumentError(`Expected at most ${MAX_PARTS}.`);
}

const UNITS: Readonly<Record<string, number>> = { "": 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

export function parsePartSize(text: string): number {
  const [, number = "", unit = ""] = /^(\d+)(|KiB|MiB|GiB|TiB)$/.exec(text) ?? [];
  const bytes = Number(number) * (UNITS[unit] as number);
  if (number !== "" && bytes >= 1024 && Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError("Expected 1KiB or more, such as 256MiB or 1GiB.");
}

export function parseSizes(text: string): number[] {
  return text.split(",").map(parseSize);
}

/** A shape may have dimensions of no cells, and be a scalar's. */
export function parseShape(text: string): number[] {
  return text === "" ? [] : text.split(",").map(parseCount);
}

export function parseAxis(text: string): number {
  if (/^-?\d{1,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Expected a dimension such as 1, or -1 for the last one.");
}

export function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("Expected a finite number.");
}

export function parseSeconds(text: string): number {
  const value = Number(text);
  if (/^\d{1,5}(\.\d{1,3})?$/.test(text) && value >= 0.5) return value;
  throw new InvalidArgumentError("Expected seconds, 0.5 or more.");
}

export function parseEps(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError("Expected a finite number, 0 or more.");
}

/** What is "none" to the user is null to the layer; commander takes no null. */
export function parseMomentum(text: string): number | "none" {
  return text === "none" ? text : parseNumber(text);
}

/** Of a file of named tensors. Who reads it would take a name of another format at its word. */
export function parseSafetensors(text: string): string {
  if (!/\.np[yz]$/.test(text)) return parseOutput(text);
  throw new InvalidArgumentError("Expected the name of a safetensors file, such as state.safetensors.");
}

export function parseOutput(text: string): string {
  if (text !== "-") return text;
  throw new InvalidArgumentError("Expected the name of a file (./- for one named -).");
}
