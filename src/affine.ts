// Weights and biases as the kernels read them.
import { NONE } from "./protocol.js";
import type { Block, Workspace } from "./workspace.js";

/** A parameter or buffer: float32, or float64 for a layer of that dtype. */
export type Parameter = Float32Array | Float64Array;

export interface Affine {
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
}

/** Weight and bias, or null where they would change no bit: ones and zeros, as a new layer has them. */
export function affineOf({ weight, bias }: Affine): Affine | null {
  return isFilledWith(weight, 1) && isFilledWith(bias, 0) ? null : { weight, bias };
}

/** A plain loop: `every` with a closure took most of a small call's time. */
export function isFilledWith(values: Parameter | null, value: number): boolean {
  if (values !== null) for (let i = 0; i < values.length; i++) if (values[i] !== value) return false;
  return true;
}

export interface WidenedAffine {
  readonly weight: Block;
  readonly bias: Block;
}

/** Weight and bias as float64 in the arena, each entry `repeat` times. The copy also fixes their values for this call. */
export function widenAffine(affine: Affine | null, repeat: number, workspace: Workspace): WidenedAffine | null {
  const length = (affine?.weight ?? affine?.bias)?.length;
  if (affine === null || length === undefined) return null;
  return {
    weight: widen(affine.weight, length, 1, repeat, workspace),
    bias: widen(affine.bias, length, 0, repeat, workspace),
  };
}

/** A parameter's values, or where it is null `absent`, as float64 in the arena, each `repeat` times. */
export function widen(
  source: Parameter | null,
  length: number,
  absent: number,
  repeat: number,
  workspace: Workspace,
): Block {
  const target = workspace.float64(length * repeat);
  if (source === null) target.values.fill(absent);
  else if (repeat === 1) target.values.set(source);
  else for (let i = 0; i < length; i++) target.values.fill(source[i] as number, i * repeat, (i + 1) * repeat);
  return target;
}

export function addressesOf(widened: WidenedAffine | null): { weight: number; bias: number } {
  return { weight: widened?.weight.address ?? NONE, bias: widened?.bias.address ?? NONE };
}
