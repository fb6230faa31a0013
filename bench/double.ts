// y = 2x on threads of its own, over a pool's memory: what the bench measures a machine's limit with. Slices are claimed as the product's.
import { readFileSync } from "node:fs";
import type { Arena } from "../src/memory/arena.js";
import { type Slices, sliceCount } from "../src/plan/slices.js";
import { Queue } from "../src/run/queue.js";
import { Threads } from "../src/run/threads.js";
import type { Job } from "../src/run/work.js";
import { claimSlices } from "../workers/claim.js";
import type { Control } from "../workers/control.js";
import { type WasmMemory, wasm } from "../workers/webassembly.js";

const WORKER = new URL("./worker.js", import.meta.url).href;

/** What a worker of the limit is born with. */
export interface LimitData {
  readonly memory: WasmMemory;
}

/** A slice's unit is `length` cells; addresses are bytes. */
export interface Doubling {
  readonly x: number;
  readonly y: number;
  readonly length: number;
  readonly slices: Slices;
}

export interface DoubleTask extends Doubling {
  readonly control: Control;
  readonly seat: number;
}

export interface LimitKernels {
  doubleF32Run(x: number, y: number, n: number): void;
}

export function instantiateLimit(memory: WasmMemory): LimitKernels {
  const module = new wasm.Module(readFileSync(new URL("./double.wasm", import.meta.url)));
  // The build compiles it from bench/kernels/double.ts.
  return new wasm.Instance(module, { env: { memory } }).exports as LimitKernels;
}

export function computeSlice(kernels: LimitKernels, { x, y, length, slices }: Doubling, slice: number): void {
  const first = slices.from + slice * slices.perSlice;
  const units = Math.min(slices.perSlice, slices.to - first);
  const at = first * length * 4;
  kernels.doubleF32Run(x + at, y + at, units * length);
}

/** Threads that double. */
export class Doublers {
  readonly #queue: Queue;
  readonly #kernels: LimitKernels;

  constructor(count: number, { memory }: Arena) {
    this.#kernels = instantiateLimit(memory);
    this.#queue = new Queue(new Threads(count, WORKER, () => ({ memory }) satisfies LimitData));
  }

  run(doubling: Doubling): Promise<void> {
    const job: Job = {
      operation: "y = 2x",
      ticket: this.#queue.ticket("y = 2x"),
      phase: "double",
      slices: sliceCount(doubling.slices),
      overwrites: false,
      taskFor: (control, seat): DoubleTask => ({ ...doubling, control, seat }),
      claim: (control, seat, most) =>
        claimSlices({ ...doubling, control, seat }, (slice) => computeSlice(this.#kernels, doubling, slice), most),
    };
    return this.#queue.run(job, {});
  }

  close(): Promise<void> {
    return this.#queue.close();
  }
}
