// The machine's limit: y = 2x by a SIMD kernel, over the same kind of memory, threads and slices as the layers.
import { CELLS, operandsOf, type Phase } from "../src/protocol.js";
import { Arena } from "../src/tensor/arena.js";
import { Threads } from "../src/threads.js";
import { kernelModule } from "../workers/kernels.js";

const UNIT = 16_384;

export class Limit {
  /** Of the tensor that is doubled. */
  readonly bytes: number;
  readonly #threads: Threads;
  readonly #phase: Phase;
  readonly #x: number;
  readonly #y: number;

  constructor(threads: number, cells: number) {
    this.bytes = cells * 4;
    const arena = new Arena();
    const units = cells / UNIT;
    this.#x = arena.take("limit", cells * 4);
    this.#y = arena.take("limit", cells * 4);
    this.#phase = { kind: "double", length: UNIT, units, unitsPerSlice: 4 };
    this.#threads = new Threads(threads, arena.memory, kernelModule());
  }

  /** One read and one write of all cells, to other memory. */
  outOfPlace(): Promise<void> {
    return this.#run(this.#y);
  }

  /** One read and one write of all cells, where they are. */
  inPlace(): Promise<void> {
    return this.#run(this.#x);
  }

  close(): Promise<void> {
    return this.#threads.close();
  }

  #run(y: number): Promise<void> {
    return this.#threads.run("limit", this.#phase, operandsOf(CELLS.float32, this.#x, y), {});
  }
}
