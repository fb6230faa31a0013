// A layer's weights and running statistics, from a model's file and to one.
import { readSafetensors, type StateDict, type UnitNorm, writeSafetensors } from "../index.js";
import { refuseExisting } from "./outputs.js";

export interface StateOptions {
  /** A safetensors file. */
  readonly state?: string;
  readonly prefix?: string;
  readonly saveState?: string;
  readonly force?: boolean;
}

/** What every layer of the library has for it. */
export interface StatefulLayer extends Pick<UnitNorm, "loadStateDict" | "stateDict"> {
  train(mode?: boolean): unknown;
}

/** The tensors under the prefix, by their names without it. Throws where there are none. */
export async function readState({ state, prefix = "" }: StateOptions): Promise<StateDict> {
  if (state === undefined) return {};
  const dict = Object.entries(await readSafetensors(state, { prefix }));
  if (dict.length > 0) return Object.fromEntries(dict.map(([key, tensor]) => [key.slice(prefix.length), tensor]));
  throw new Error(`${state}: expected tensors whose names start with ${JSON.stringify(prefix)} but there are none`);
}

/** Throws where a file is in the way: before the work. */
export async function checkSaveState({ saveState, force = false }: StateOptions): Promise<void> {
  if (saveState !== undefined && !force) await refuseExisting(saveState);
}

export async function writeState(layer: StatefulLayer, { saveState, prefix = "" }: StateOptions): Promise<void> {
  if (saveState === undefined) return;
  const dict = layer.stateDict({ prefix });
  await writeSafetensors(saveState, dict, { metadata: { format: "pt" } });
}
