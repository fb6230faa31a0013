// What names and strings a safetensors file can have, held to before anything is written.
import { describe } from "../describe.js";
import { InvalidArgumentError, reading } from "../errors.js";
import { METADATA } from "./safetensors-header.js";

/** Own entries of a plain object. What is none, such as a Map, has entries that Object.entries does not see. */
export function entriesOf<T>(
  operation: string,
  argument: string,
  of: string,
  value: Readonly<Record<string, T>>,
): [string, T][] {
  return reading(operation, argument, `a plain object of ${of}`, () => ownEntries(operation, argument, of, value));
}

function ownEntries<T>(
  operation: string,
  argument: string,
  of: string,
  value: Readonly<Record<string, T>>,
): [string, T][] {
  const prototype = typeof value === "object" && value !== null ? Object.getPrototypeOf(value) : undefined;
  // Another realm's Object.prototype is not this one's, but has no prototype either.
  const plain = prototype === null || (prototype !== undefined && Object.getPrototypeOf(prototype) === null);
  if (!plain) throw new InvalidArgumentError(operation, argument, `a plain object of ${of}`, describe(value));
  const entries = Object.entries(value);
  for (const [key] of entries) checkText(operation, `a key of ${argument}`, key);
  return entries;
}

/** The metadata's keys and strings. */
export function metadataOf(operation: string, value: Readonly<Record<string, string>>): [string, string][] {
  const strings = entriesOf(operation, "metadata", "strings", value);
  for (const [key, text] of strings) checkText(operation, `metadata[${describe(key)}]`, text);
  return strings;
}

/** Half of a surrogate pair is no text: UTF-8 has no bytes for it. */
function checkText(operation: string, argument: string, value: unknown): void {
  if (typeof value === "string" && !/\p{Surrogate}/u.test(value)) return;
  throw new InvalidArgumentError(operation, argument, "a well-formed string", describe(value));
}

export function checkName(operation: string, argument: string, name: string): void {
  checkText(operation, argument, name);
  if (name !== METADATA) return;
  const expected = "a name that the format does not keep for strings (the option metadata)";
  throw new InvalidArgumentError(operation, argument, expected, describe(name));
}
