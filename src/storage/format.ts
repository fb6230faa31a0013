// Which formats there are, and which one a file is of.
import { FileFormatError } from "../errors.js";
import type { Input } from "./input.js";
import { describeLookalike, isNpz, TELLING_BYTES } from "./lookalike.js";
import { isNpy } from "./npy.js";
import { isSafetensors } from "./safetensors.js";

/** Formats of files that tensors are read from. */
export const FORMATS = ["npy", "npz", "safetensors", "raw"] as const;
export type FileFormat = (typeof FORMATS)[number];
/** Formats of files that tensors are written to. */
export const OUTPUT_FORMATS = ["npy", "safetensors", "raw"] as const satisfies readonly FileFormat[];
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** @param raw whether what is no other format may be raw cells. Throws FileFormatError. */
export async function formatOf(operation: string, input: Input, raw: boolean): Promise<FileFormat> {
  const start = await input.readAt(0, TELLING_BYTES);
  const { path } = input;
  if (isNpy(start)) return "npy";
  if (path.endsWith(".npz") || isNpz(start)) return "npz";
  if (path.endsWith(".safetensors")) return "safetensors";
  if (path.endsWith(".npy")) return "npy";
  if (raw) return "raw";
  if (isSafetensors(start)) return "safetensors";
  const message = `expected an .npy, .npz or safetensors file, or the dtype and shape of raw cells${describeLookalike(start, "npy")}`;
  throw new FileFormatError(operation, path, message);
}
