// Where an input's cells are: options that every sub-command takes which reads tensors.
import { type Command, Option } from "commander";
import type { Dtype, NormPool, OpenOptions, Shape, Tensor } from "../index.js";
import { withInput } from "../storage/input.js";
import { locate } from "../storage/locate.js";
import { parseCount, parseShape } from "./arguments.js";
import { naming } from "./tensor-file.js";

export interface SourceOptions {
  readonly dtype?: Dtype;
  readonly shape?: Shape;
  readonly offset?: number;
  readonly key?: string;
  readonly member?: string;
}

export const DTYPES = ["float32", "float64", "float16", "bfloat16", "uint8"] as const satisfies readonly Dtype[];

export function addSourceOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--dtype <dtype>",
        "the dtype of raw cells; of an .npy file of 16-bit integers or booleans, what its bits are",
      ).choices(DTYPES),
    )
    .option(
      "--shape <sizes>",
      "the shape of raw cells, such as 1000,64; of other files another shape for as many cells",
      parseShape,
    )
    .option("--offset <bytes>", "the byte at which raw cells begin (default: 0)", parseCount)
    .option("--key <name>", "which tensor of a safetensors file (default: its only one)")
    .option("--member <name>", "which array of an .npz file (default: its only one)");
}

/** A file by the name that people know, and the path that has the cells: of - (stdin), those of a copy. */
export interface Source {
  readonly name: string;
  readonly path: string;
}

/** The dtype of a file's cells. @param onWarning told of bytes that the shape has no use for */
export async function lookAt(
  { name, path }: Source,
  options: SourceOptions,
  onWarning?: (text: string) => void,
): Promise<Dtype> {
  const look = () => withInput("open", path, (input) => locate("open", input, openOptionsOf(options)));
  const { dtype, leftOver } = await naming(name, look);
  if (leftOver > 0) {
    const bytes = leftOver === 1 ? "byte" : "bytes";
    onWarning?.(`${name}: left out ${leftOver} ${bytes} after the cells of its shape`);
  }
  return dtype;
}

/** The shape of a file's tensor. */
export async function openShape({ name, path }: Source, options: SourceOptions): Promise<Shape> {
  const { shape } = await naming(name, () =>
    withInput("open", path, (input) => locate("open", input, openOptionsOf(options))),
  );
  return shape;
}

export function openSource(
  pool: NormPool,
  { name, path }: Source,
  options: SourceOptions,
  how: Pick<OpenOptions, "as" | "writable"> = {},
): Promise<Tensor> {
  return naming(name, () => pool.open(path, { ...openOptionsOf(options), ...how }));
}

export function openOptionsOf({ dtype, shape, offset, key, member }: SourceOptions): OpenOptions {
  return { dtype, shape, offset, key, member };
}
