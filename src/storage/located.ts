import type { Dtype } from "../tensor/dtype.js";
import type { Shape } from "../tensor/shape.js";
import type { FileFormat } from "./format.js";

/** A file's cells, and in what they are packed. */
export interface Found extends Located {
  readonly format: FileFormat;
  /** Bytes after the cells, where the format has nothing there: of .npy and raw cells. */
  readonly leftOver: number;
}

/** Cells that lie in row-major order from byte `offset` on. */
export interface Located {
  readonly dtype: Dtype;
  readonly shape: Shape;
  readonly offset: number;
  /** Bytes of an element where they lie in the other order: of big-endian cells. Otherwise 1. */
  readonly swapped: 1 | 2 | 4 | 8;
}
