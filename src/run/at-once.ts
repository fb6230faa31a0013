// The call scope of small calls, written out: where one phase on the calling thread is all that there is to do, generators and closures would be
// most of what a call allocates.
import { NONE } from "../../workers/operands.js";
import { compute } from "../../workers/phase.js";
import { stageBytesOf } from "../../workers/scratch.js";
import { packedIn, widenInto } from "../memory/widen.js";
import { Workspace } from "../memory/workspace.js";
import { affineCount, setCount } from "../plan/geometry.js";
import { isPacked, type Plan } from "../plan/plan.js";
import type { Parameter } from "../tensor/parameter.js";
import { specFor, type Tensor } from "../tensor/tensor.js";
import type { Executor } from "./executor.js";

/** Pairs of a call that wants none. */
const NO_PAIRS = new Float64Array(0);

/**
 * Computes `plan`, if it is one phase of tensors in the executor's arena. Returns {mean, M2} of each set, where they are `wanted`; null where
 * it is no such plan, and nothing has been done.
 */
export function runAtOnce(
  executor: Executor,
  operation: string,
  plan: Plan,
  x: Tensor,
  y: Tensor,
  affine: { readonly weight: Parameter | null; readonly bias: Parameter | null } | null,
  wanted: boolean,
): Float64Array | null {
  const { steps, geometry, dtype, affineRepeat } = plan;
  const step = steps[0];
  if (steps.length !== 1 || step?.kind !== "phase") return null;
  const { phase } = step;
  const from = addressOf(operation, x, executor);
  const to = addressOf(operation, y, executor);
  if (from === NONE || to === NONE) return null;
  const workspace = new Workspace(executor.arena, operation);
  try {
    const entries = affine === null ? 0 : affineCount(geometry);
    const packed = isPacked(plan);
    const weight = affine === null ? NONE : widen(affine.weight, entries, 1, affineRepeat, packed, workspace);
    const bias = affine === null ? NONE : widen(affine.bias, entries, 0, affineRepeat, packed, workspace);
    const found = wanted ? workspace.float64(2 * setCount(geometry)) : undefined;
    const stageBytes = stageBytesOf(phase, dtype, false);
    const stage = stageBytes === 0 ? NONE : workspace.bytes(stageBytes);
    const addresses = {
      x: from,
      g: NONE,
      y: to,
      weight,
      bias,
      table: NONE,
      statistics: NONE,
      means: NONE,
      partials: NONE,
      moments: found?.address ?? NONE,
    };
    compute(executor.kernels, phase, dtype, addresses, 0, phase.units, stage, false);
    return found === undefined ? NO_PAIRS : found.values.slice();
  } finally {
    workspace.giveBack();
  }
}

/** The address of a tensor in the executor's arena; NONE where it is elsewhere. Nothing else runs meanwhile: it needs no pin. */
function addressOf(operation: string, tensor: Tensor, { arena }: Executor): number {
  const spec = specFor(operation, tensor, arena);
  return spec.kind === "arena" ? spec.address : NONE;
}

/** Entries of a parameter as float64, or `packed` as float32, or where there is none `absent`, each `repeat` times. Returns their address. */
function widen(
  source: Parameter | null,
  count: number,
  absent: number,
  repeat: number,
  packed: boolean,
  workspace: Workspace,
): number {
  const { address, values } = workspace.float64(count * repeat);
  widenInto(packed ? packedIn(values) : values, source, 0, count, absent, repeat);
  return address;
}
