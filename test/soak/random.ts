import { seeded } from "../support.js";

/** A generator for each of what has numbers: so that one's draws hang on no other's. */
export function randomOf(...numbers: readonly number[]): () => number {
  return seeded(numbers.reduce((mixed, number) => Math.imul(mixed ^ number, 0x9e3779b1) + (mixed >>> 15), 0));
}

export function pick<T>(random: () => number, all: readonly T[]): T {
  return all[Math.floor(random() * all.length)] as T;
}
