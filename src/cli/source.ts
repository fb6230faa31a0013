// Where an input's cells are: options that every sub-command takes which reads tensors.
import { type Command, Option } from "commander";
import type { Dtype, OpenOptions, Shape } from "../index.js";
import { parseCount, parseShape } from "./arguments.js";

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

export function openOptionsOf({ dtype, shape, offset, key, member }: SourceOptions): OpenOptions {
  return { dtype, shape, offset, key, member };
}
