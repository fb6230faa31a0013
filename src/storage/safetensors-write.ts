// Writing safetensors files.
import { readOptions } from "../check.js";
import { describe, InvalidArgumentError } from "../errors.js";
import type { StateDict, StateTensor } from "../layers/state.js";
import { cellsOf } from "../tensor/shape.js";
import { writeOutput } from "./output.js";
import { formatSafetensorsHeader } from "./safetensors-header.js";
import { checkName, entriesOf, metadataOf } from "./safetensors-text.js";

const OPERATION = "writeSafetensors";

export interface WriteSafetensorsOptions {
  /** Strings to keep beside the tensors, such as the `{ format: "pt" }` that some Python libraries ask for. Default: none. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes a state dict as a safetensors file, which Python's `load_file` reads. A file that exists is replaced once the new one is
 * complete and on the disk, and not before; it keeps its mode, and a link stays a link.
 * @throws InvalidArgumentError naming what cannot be written, before anything is; WriteFailedError.
 */
export async function writeSafetensors(
  path: string,
  dict: StateDict,
  options?: WriteSafetensorsOptions,
): Promise<void> {
  const { metadata } = readOptions<Required<WriteSafetensorsOptions>>(OPERATION, options, { metadata: {} });
  if (typeof path !== "string") throw new InvalidArgumentError(OPERATION, "path", "a string", describe(path));
  const tensors = entriesOf(OPERATION, "dict", "tensors", dict);
  for (const [name, tensor] of tensors) checkTensor(name, tensor);
  const strings = metadataOf(OPERATION, metadata);
  const header = formatSafetensorsHeader(OPERATION, "dict", tensors.map(placedAfter()), strings);
  const parts = [header, ...tensors.map(([, { data }]) => data)];
  const bytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  await writeOutput(OPERATION, path, bytes, async (output) => {
    for (const part of parts) await output.write(part);
  });
}

function checkTensor(name: string, tensor: unknown): void {
  const argument = `dict[${describe(name)}]`;
  const fail = (of: string, expected: string, received: unknown) =>
    new InvalidArgumentError(OPERATION, argument + of, expected, describe(received));
  checkName(OPERATION, argument, name);
  if (typeof tensor !== "object" || tensor === null) throw fail("", "a tensor, { shape, data },", tensor);
  const { shape, data } = tensor as Partial<StateTensor>;
  if (!(data instanceof Float32Array || data instanceof Float64Array || data instanceof BigInt64Array)) {
    throw fail(".data", "a Float32Array, Float64Array or BigInt64Array", data);
  }
  const sizes = Array.isArray(shape) && Array.from(shape).every((size) => Number.isSafeInteger(size) && size >= 0);
  if (!sizes || cellsOf(shape) !== data.length) throw fail(".shape", `sizes of ${data.length} cells`, shape);
}

/** Gives each tensor, in order, the place after the one before. */
function placedAfter() {
  let offset = 0;
  return ([name, { shape, data }]: [string, StateTensor]) => {
    const dtype = data instanceof Float32Array ? "F32" : data instanceof Float64Array ? "F64" : "I64";
    const begin = offset;
    offset += data.byteLength;
    return [name, { dtype, shape, begin, end: offset }] as const;
  };
}
