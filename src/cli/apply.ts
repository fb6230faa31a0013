// `normpool apply`: what `normpool fit` found, to files.
import type { StandardScaler, Tensor } from "../index.js";
import { parseAxis } from "./arguments.js";
import { addFileArguments, addRunOptions, type CommandOptions, runCommand } from "./layer-command.js";
import type { Work, WorkOnFile } from "./run.js";
import { readScaler } from "./scaler-file.js";
import type { AddCommand } from "./sub-command.js";

interface ApplyOptions extends CommandOptions {
  readonly inverse: boolean;
  readonly channelAxis?: number;
}

export function addApplyCommand(addCommand: AddCommand, signal: AbortSignal): void {
  const command = addCommand("apply", ["normpool apply scaler.safetensors test.npy -o out.npy"])
    .summary("standardise files by what fit found")
    .description(
      "Standardise each channel of files by the mean and deviation that normpool fit found, or undo it. Files of any size: memory does not grow with them.",
    )
    .argument(
      "<scaler>",
      "the safetensors file that normpool fit wrote, or one with scikit-learn's mean_, var_, scale_ and n_samples_seen_",
    );
  addFileArguments(command)
    .option("--inverse", "from standardised back to what it was", false)
    .option("--channel-axis <dimension>", "which dimension has the channels (default: as in fit)", parseAxis);
  addRunOptions(command).action((scaler: string, inputs: string[], options: ApplyOptions) =>
    runCommand(() => Scaling.read(scaler, options), inputs, options, signal),
  );
}

class Scaling implements Work {
  readonly gathers = false;
  readonly #path: string;
  readonly #scaler: StandardScaler;
  readonly #options: ApplyOptions;

  private constructor(path: string, scaler: StandardScaler, options: ApplyOptions) {
    this.#path = path;
    this.#scaler = scaler;
    this.#options = options;
  }

  static async read(path: string, options: ApplyOptions): Promise<Scaling> {
    return new Scaling(path, await readScaler(path), options);
  }

  suspect(): undefined {
    return undefined;
  }

  prepare(x: Tensor): WorkOnFile {
    const { inverse, channelAxis } = this.#options;
    return {
      by: { scaler: this.#path, inverse },
      // NaN stays NaN, and what is infinite infinite: nothing comes of them in other cells.
      run: (pool, { onSets: _, ...options }) =>
        inverse
          ? this.#scaler.inverseTransform(pool, x, { ...options, channelAxis })
          : this.#scaler.transform(pool, x, { ...options, channelAxis }),
    };
  }

  async finish(): Promise<void> {}
}
