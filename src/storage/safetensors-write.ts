// Writing safetensors files.
import { open } from "node:fs/promises";
import type { StateDict } from "../layers/state.js";
import type { Shape } from "../tensor/shape.js";

const ALIGNMENT = 8;

interface Entry {
  readonly dtype: string;
  readonly shape: Shape;
  readonly data_offsets: readonly [number, number];
}

/** Writes a state dict as a safetensors file, which Python's `load_file` reads. The file is replaced if it exists. */
export async function writeSafetensors(path: string, dict: StateDict): Promise<void> {
  const header: Record<string, Entry> = {};
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(dict)) {
    const dtype = data instanceof Float32Array ? "F32" : data instanceof Float64Array ? "F64" : "I64";
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    offset += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / ALIGNMENT) * ALIGNMENT, " ");
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = await open(path, "w");
  try {
    for (const part of [length, padded, ...parts]) await file.writeFile(part);
  } finally {
    await file.close();
  }
}
