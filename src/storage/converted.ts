// Tensors whose files have cells of another dtype: which there can be, and reading them outside of calls (those have the file's driver).
import { UnsupportedDtypeError } from "../errors.js";
import { swap } from "../plan/bytes.js";
import { convert, holds } from "../plan/convert.js";
import { CELL_BYTES, DTYPES, type Dtype } from "../tensor/dtype.js";
import type { Input } from "./input.js";
import type { Converted, FileSpec } from "./spec.js";

/** Cells that are read and converted at once: what a core's cache holds, and no long time for the event loop. */
const CELLS_AT_ONCE = 1 << 16;

const NAMES = Object.keys(DTYPES) as Dtype[];

type OfSpec = { readonly converted?: Converted };

/** What a spec says of a file of `stored` cells that is opened as another dtype. Throws UnsupportedDtypeError where that lacks some of them. */
export function checkOpenedAs(operation: string, as: Dtype | undefined, stored: Dtype): OfSpec {
  if (as === undefined || as === stored) return {};
  if (holds(as, stored)) return { converted: { stored, dtype: as } };
  const fitting = NAMES.filter((dtype) => holds(dtype, stored)).join(", ");
  throw new UnsupportedDtypeError(operation, `${fitting} for as, of a file of ${stored},`, as);
}

/** What a spec says of a tensor of `dtype` whose file is to have `storedAs`. Nothing is rounded to integers. Throws UnsupportedDtypeError. */
export function checkStoredAs(operation: string, storedAs: Dtype, dtype: Dtype): OfSpec {
  if (storedAs === dtype) return {};
  const fits = (other: Dtype) => other === dtype || (holds(dtype, other) && other !== "uint8");
  if (fits(storedAs)) return { converted: { stored: storedAs, dtype } };
  const fitting = NAMES.filter(fits).join(", ");
  throw new UnsupportedDtypeError(operation, `${fitting} for storedAs, of a tensor of ${dtype},`, storedAs);
}

/** Fills `target` with the tensor's bytes from `at` on. */
export async function fillCells(input: Input, spec: FileSpec, target: Uint8Array, at: number): Promise<void> {
  const { offset, swapped, converted } = spec;
  if (converted === undefined) {
    await input.fill(target, offset + at);
    swap(target, swapped);
    return;
  }
  const { stored, dtype } = converted;
  const [from, to] = [CELL_BYTES[stored], CELL_BYTES[dtype]];
  const { buffer, byteOffset, byteLength } = target;
  const [first, cells] = [at / to, byteLength / to];
  for (let done = 0; done < cells; done += CELLS_AT_ONCE) {
    const count = Math.min(CELLS_AT_ONCE, cells - done);
    const start = byteOffset + done * to;
    // To the end of their room, where they become longer one after the other.
    const piece = new Uint8Array(buffer, start + count * (to - from), count * from);
    await input.fill(piece, offset + (first + done) * from);
    swap(piece, swapped);
    convert(stored, dtype, { buffer, at: piece.byteOffset }, { buffer, at: start }, count);
  }
}
