// Values in the words of messages.
import { types } from "node:util";

/** Characters of a text, and elements of an array, that a message quotes. */
const QUOTED = { characters: 80, elements: 8 } as const;

/** A value in a message's words: short, and never a whole array's contents or a function's source. Never throws. */
export function describe(value: unknown): string {
  try {
    return inWords(value, 1);
  } catch {
    return "what throws when it is looked at";
  }
}

/** Whether it is an array. Never throws. */
export function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false; // a Proxy that has been revoked
  }
}

/** @param depth of arrays whose elements are quoted. */
function inWords(value: unknown, depth: number): string {
  if (typeof value === "string") return JSON.stringify(shortened(value));
  if (typeof value === "bigint") return value === BigInt.asIntN(64, value) ? `${value}n` : "a bigint";
  if (types.isProxy(value)) return "a Proxy";
  if (typeof value === "function") return named(value, "a function", "the function ");
  if (Array.isArray(value)) return depth > 0 ? listed(value, depth - 1) : "an array";
  if (typeof value === "object" && value !== null) return named(value.constructor, "an object");
  return shortened(String(value));
}

function listed(array: readonly unknown[], depth: number): string {
  const words = [];
  for (let i = 0; i < array.length && i < QUOTED.elements; i++) words.push(inWords(array[i], depth));
  return `[${words.join(", ")}${array.length > QUOTED.elements ? ", ..." : ""}]`;
}

function named(value: unknown, nameless: string, before = ""): string {
  const name: unknown = typeof value === "function" ? value.name : undefined;
  return typeof name === "string" && name !== "" ? before + shortened(name) : nameless;
}

function shortened(text: string): string {
  return text.length > QUOTED.characters ? `${text.slice(0, QUOTED.characters)}...` : text;
}
