import { expect } from "vitest";
import type { CellRange } from "../../src/index.js";

/** The bytes of a result that took its input's place. */
interface Left {
  readonly original: Uint8Array;
  /** What is there. */
  readonly output: Uint8Array;
  /** What was to be there. */
  readonly whole: Uint8Array;
  readonly bytesPerCell: number;
}

/** Holds all cells but those named to be what they were, or what they were to be. */
export function expectOthersWhole(
  { original, output, whole, bytesPerCell: size }: Left,
  named: readonly CellRange[],
): void {
  const isNamed = new Uint8Array(output.length / size);
  for (const { from, to } of named) isNamed.fill(1, from, to);
  for (let cell = 0; cell < isNamed.length; cell++) {
    const at = cell * size;
    if (isNamed[cell] === 1 || isSame(output, original, at, size) || isSame(output, whole, at, size)) continue;
    expect.fail(`cell ${cell} is neither what it was nor what it was to be, and not named`);
  }
}

function isSame(a: Uint8Array, b: Uint8Array, at: number, size: number): boolean {
  for (let i = at; i < at + size; i++) if (a[i] !== b[i]) return false;
  return true;
}
