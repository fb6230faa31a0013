// Which layer a file goes through: with weights and running statistics where there are any.
import type { Tensor } from "../index.js";
import type { LayerArguments, LayerCommand } from "./layers.js";
import type { Work, WorkOnFile } from "./run.js";
import { checkSaveState, readState, type StateOptions, writeState } from "./state.js";
import { UsageError } from "./usage-error.js";
import { likelyChannelsLast } from "./warnings.js";

export interface LayerOptions extends StateOptions, Omit<LayerArguments, "state" | "tracks" | "dtype"> {
  readonly train?: boolean;
  readonly eval?: boolean;
}

/** The layer for each file: one for all where it keeps running statistics. */
export class Layers implements Work {
  readonly #command: LayerCommand;
  readonly #options: LayerOptions;
  readonly #state: LayerArguments["state"];
  readonly #tracks: boolean;
  #last: ReturnType<LayerCommand["make"]> | undefined;

  private constructor(command: LayerCommand, options: LayerOptions, state: LayerArguments["state"]) {
    this.#command = command;
    this.#options = options;
    this.#state = state;
    const { train = false, eval: evaluates = false, saveState, prefix, momentum } = options;
    const runs = "running_mean" in state;
    if (train && evaluates) throw new UsageError("expected one of --train and --eval");
    if (evaluates && !runs) throw new UsageError("expected --state with running statistics for --eval");
    if (prefix !== undefined && options.state === undefined && saveState === undefined) {
      throw new UsageError("expected --state or --save-state for --prefix");
    }
    this.#tracks = command.state === "statistics" && (runs || train || saveState !== undefined);
    if (momentum !== undefined && (saveState === undefined || !this.gathers)) {
      throw new UsageError("expected --save-state, and --train where --state has running statistics, for --momentum");
    }
  }

  static async read(command: LayerCommand, options: LayerOptions): Promise<Layers> {
    await checkSaveState(options);
    return new Layers(command, options, await readState(options));
  }

  get gathers(): boolean {
    return this.#tracks && (this.#options.train ?? !("running_mean" in this.#state));
  }

  prepare(x: Tensor): WorkOnFile {
    const layer = this.layerFor(x);
    const { channelAxis } = this.#options;
    layer.prepare(x.shape, { dtype: x.dtype, channelAxis, partOfBatch: false });
    return {
      by: { layer: String(layer) },
      run: (pool, options) => pool.forward(layer, x, { ...options, channelAxis }),
    };
  }

  /** The layer that a file goes through. */
  layerFor(x: Pick<Tensor, "dtype" | "shape">) {
    if (this.#tracks && this.#last !== undefined) return this.#last;
    const dtype = x.dtype === "float64" ? "float64" : "float32";
    const layer = this.#command.make(x.shape, { ...this.#options, state: this.#state, tracks: this.#tracks, dtype });
    if (Object.keys(this.#state).length > 0) layer.loadStateDict(this.#state);
    // Running statistics are there to be used.
    layer.train(this.#options.train ?? !("running_mean" in this.#state));
    this.#last = layer;
    return layer;
  }

  async finish(): Promise<void> {
    if (this.#last !== undefined) await writeState(this.#last, this.#options);
  }

  /** What a shape lets suspect. */
  suspect({ shape }: Pick<Tensor, "shape">): string | undefined {
    const { channelAxis } = this.#options;
    return this.#command.channelAxis === "guessed" && channelAxis === undefined ? likelyChannelsLast(shape) : undefined;
  }
}
