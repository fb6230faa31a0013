// Where tensors of tests can be, beside the arena.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CELL_BYTES } from "../src/plan/cells.js";
import { createTensor, openTensor } from "../src/storage/file-tensor.js";
import { DTYPES, type Dtype } from "../src/tensor/dtype.js";
import { cellsOf } from "../src/tensor/shape.js";
import { holdingOf } from "../src/tensor/sources.js";
import { Tensor } from "../src/tensor/tensor.js";
import { bytesOf, numbersOf } from "./cells.js";
import { converted } from "./converted.js";
import type { Place } from "./every-way.js";

/** On a SharedArrayBuffer of its own, anywhere that an element may begin. */
export const onSharedMemory: Place = async (_, dtype, shape, cells) => {
  const bytes = CELL_BYTES[dtype];
  const buffer = new SharedArrayBuffer((cellsOf(shape) + 5) * bytes);
  const data = DTYPES[dtype].view(buffer, 5 * bytes, cellsOf(shape));
  if (cells !== null) new Uint8Array(buffer, 5 * bytes).set(bytesOf(cells));
  return new Tensor(holdingOf(data), dtype, shape);
};

/** In files of `folder`: inputs of raw cells that begin anywhere, which calls may write to, and outputs as `format` has them. */
export function inFiles(folder: string, format: "npy" | "safetensors" | "raw"): Place {
  let files = 0;
  return async (_, dtype, shape, cells) => {
    const path = join(folder, `${files++}.${format}`);
    if (cells === null) return createTensor("test", path, dtype, shape, { format });
    writeFileSync(path, Buffer.concat([Buffer.alloc(13), bytesOf(cells)]));
    return openTensor("test", path, { format: "raw", dtype, shape, offset: 13, writable: true });
  };
}

/** In files of `folder` whose cells are of another dtype than the tensors': inputs are rounded to it. Of uint8 only inputs. */
export function inFilesOf(folder: string, stored: Dtype): Place {
  let files = 0;
  return async (_, dtype, shape, cells) => {
    const path = join(folder, `${stored}-${files++}.raw`);
    if (cells === null) return createTensor("test", path, dtype, shape, stored === "uint8" ? {} : { storedAs: stored });
    writeFileSync(path, Buffer.concat([Buffer.alloc(13), bytesOf(converted(stored, numbersOf(dtype, cells)))]));
    return openTensor("test", path, { format: "raw", dtype: stored, shape, offset: 13, as: dtype });
  };
}
