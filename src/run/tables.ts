// The tables of a stripe, in the pool's memory: made for the first stripe, used again by those after it.
import { NO_PARAMETERS, NO_RESULTS, NO_TABLES, NONE, type Operands, type TileBytes } from "../../workers/operands.js";
import { InvalidArgumentError } from "../errors.js";
import { packedIn, widenInto } from "../memory/widen.js";
import type { Block, Workspace } from "../memory/workspace.js";
import type { RunningStatistics } from "../merge/statistics.js";
import { affineCount, type Geometry } from "../plan/geometry.js";
import { isPacked, type PhaseStep, type Role, type Step, type TableRole } from "../plan/plan.js";
import { numbersOf, type Stripe } from "../plan/stripes.js";
import type { Spec } from "../storage/spec.js";
import type { Parameter } from "../tensor/parameter.js";
import { lengthOf } from "../tensor/typed-arrays.js";
import type { Inputs } from "./call.js";

const PAIR_BYTES = 16;
/** Addresses count modulo this. */
const ADDRESSES = 2 ** 32;

export class StripeTables {
  readonly bytes: number;
  readonly #operation: string;
  readonly #workspace: Workspace;
  readonly #tileBytes: TileBytes;
  readonly #inputs: Inputs;
  /** What steps read where it is, all through the call, and its length when the call began. */
  readonly #given: readonly (readonly [argument: string, array: Float64Array, length: number])[];
  readonly #blocks = new Map<TableRole, Block>();
  #running: RunningStatistics | undefined;
  /** The first affine index of the weights that are there, and how many. */
  #affine: { readonly first: number; readonly count: number } | undefined;

  /** @param bytes what the tables of a stripe may take. */
  constructor(operation: string, workspace: Workspace, inputs: Inputs, bytes: number, tileBytes: TileBytes) {
    const { moments, sums } = inputs;
    const given: [string, Float64Array][] = [];
    if (moments !== null) given.push(["moments", moments.mean], ["moments", moments.m2]);
    if (sums !== null) given.push(["sums", sums.sumDy], ["sums", sums.sumDyXmu]);
    this.#given = given.map(([argument, array]) => [argument, array, lengthOf(array)]);
    this.#operation = operation;
    this.#workspace = workspace;
    this.#inputs = inputs;
    this.bytes = bytes;
    this.#tileBytes = tileBytes;
  }

  /** Throws InvalidArgumentError if moments or sums that came with the call are gone: their buffer was detached, or made shorter. */
  checkGiven(): void {
    for (const [argument, array, length] of this.#given) this.#checkThere(argument, array, length);
  }

  /** Makes room for what the stripe's steps leave for each other, and reads the parameters of its channels. */
  begin({ plan, group }: Stripe): void {
    this.checkGiven();
    const { geometry, steps, affineRows, affineRepeat } = plan;
    for (const step of steps) for (const role of step.writes) this.#makeRoom(step, role, geometry);
    const first = affineRows ? 0 : group * geometry.k;
    const count = affineRows ? geometry.r : affineCount(geometry);
    if (this.#affine?.first === first && this.#affine.count === count) return;
    this.#affine = { first, count };
    const { weight, bias, running } = this.#inputs;
    if (running !== null) {
      this.#checkThere("runningMean", running.mean, first + count);
      this.#checkThere("runningVar", running.variance, first + count);
      // A copy, as of the weights: the table is filled a piece at a time, with turns of the event loop between.
      this.#running = {
        mean: running.mean.slice(first, first + count),
        variance: running.variance.slice(first, first + count),
      };
    }
    const packed = isPacked(plan);
    if (isRead(steps, "weight")) this.#widen("weight", weight, 1, affineRepeat, packed);
    if (isRead(steps, "bias")) this.#widen("bias", bias, 0, affineRepeat, packed);
  }

  /** The running statistics of the stripe's channels. */
  get running(): RunningStatistics | undefined {
    return this.#running;
  }

  /** The numbers of a role. There may be more of them than the stripe has. */
  values(role: TableRole): Float64Array {
    return (this.#blocks.get(role) as Block).values;
  }

  /** As `values`, or undefined where no step leaves any. */
  find(role: TableRole): Float64Array | undefined {
    return this.#blocks.get(role)?.values;
  }

  /** What a phase works on. @param segment of partials: the segment that is the first one there. */
  operandsOf(
    { phase, reads, writes }: PhaseStep,
    { plan, window, continues }: Stripe,
    specs: { readonly x: Spec; readonly g: Spec | null; readonly y: Spec | null },
    segment = 0,
  ): Operands {
    const has = (role: Role) => reads.includes(role) || writes.includes(role);
    const at = (role: TableRole) => (has(role) ? (this.#blocks.get(role)?.address ?? NONE) : NONE);
    const { x, g, y } = specs;
    const partials = at(has("cellSums") ? "cellSums" : "partials");
    return {
      dtype: plan.dtype,
      tensors: { x: has("x") ? x : null, g: has("g") ? g : null, y: has("y") ? y : null },
      window,
      parameters: has("weight") || has("bias") ? { weight: at("weight"), bias: at("bias") } : NO_PARAMETERS,
      tables: { ...NO_TABLES, table: at("table"), statistics: at("statistics"), means: at("means") },
      results:
        partials === NONE && !has("moments")
          ? NO_RESULTS
          : { partials: before(partials, segment * PAIR_BYTES), moments: at("moments") },
      tileBytes: this.#tileBytes,
      continues: continues && (phase.kind === "accumulate" || phase.kind === "differentiate"),
    };
  }

  #makeRoom(step: Step, role: Role, geometry: Geometry): void {
    if (role === "x" || role === "g" || role === "y" || role === "gradients") return;
    const numbers = numbersOf(step, role, geometry, this.bytes);
    if ((this.#blocks.get(role)?.values.length ?? -1) >= numbers) return;
    this.#blocks.set(role, this.#workspace.float64(numbers));
  }

  #checkThere(argument: string, array: Parameter, length: number): void {
    const found = lengthOf(array);
    if (found >= length) return;
    const expected = `${length} elements until the call has ended`;
    throw new InvalidArgumentError(this.#operation, argument, expected, String(found));
  }

  /** The stripe's entries of a parameter as float64, or `packed` as float32, or where there is none `absent`. */
  #widen(role: "weight" | "bias", source: Parameter | null, absent: number, repeat: number, packed: boolean): void {
    const { first, count } = this.#affine as { first: number; count: number };
    if (source !== null) this.#checkThere(role, source, first + count);
    const length = count * repeat;
    let block = this.#blocks.get(role);
    if (block === undefined || block.values.length < length) {
      block = this.#workspace.float64(length);
      this.#blocks.set(role, block);
    }
    widenInto(packed ? packedIn(block.values) : block.values, source, first, count, absent, repeat);
  }
}

/** An address `bytes` before another. May lie below 0, where addresses are counted modulo 2^32; never NONE. */
function before(address: number, bytes: number): number {
  const at = address - bytes;
  return at > 0 || bytes === 0 ? at : at + Math.ceil((1 - at) / ADDRESSES) * ADDRESSES;
}

function isRead(steps: readonly Step[], role: Role): boolean {
  return steps.some(({ reads }) => reads.includes(role));
}
