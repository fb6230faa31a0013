// The machine's limits, of memory alone: SIMD kernels over the same kind of memory, threads and slices as the layers.
import type { Tensor } from "../src/index.js";
import { planMoments } from "../src/plan/moments.js";
import { NO_INPUTS } from "../src/run/call.js";
import { runCall } from "../src/run/run-call.js";
import { drive } from "../src/run/steps.js";
import { Tensors } from "./cells.js";
import { BenchPool, type Place } from "./pool.js";

/** Cells of a unit: a segment. */
const UNIT = 16_384;
const UNITS_PER_SLICE = 4;

/** Over two float32 tensors of a pool. Their cells are a multiple of 16,384, or a power of 2. */
export class Limit {
  /** Of the tensor that is doubled. */
  readonly bytes: number;
  readonly #pool: BenchPool;
  readonly #x: Tensor<"float32">;
  readonly #y: Tensor<"float32">;

  constructor(pool: BenchPool, x: Tensor<"float32">, y: Tensor<"float32">) {
    this.bytes = x.data.byteLength;
    this.#pool = pool;
    this.#x = x;
    this.#y = y;
  }

  /** In memory of its own. */
  static alone(threads: number, cells: number): Limit {
    const pool = new BenchPool(threads);
    const tensors = new Tensors(pool.at());
    return new Limit(pool, tensors.get("x", "float32", [cells]), tensors.get("y", "float32", [cells]));
  }

  /** y = 2x: one read and one write of all cells, to other memory. */
  outOfPlace(place: Place = this.#pool.threads): Promise<void> {
    return this.#double(this.#x, place);
  }

  /** y = 2y: one read and one write of all cells, where they are. */
  inPlace(place: Place = this.#pool.threads): Promise<void> {
    return this.#double(this.#y, place);
  }

  /** One read of all cells: the sums of their squares. Of cells that are alike the kernel sums with more care, and is slower. */
  async read(place: Place = this.#pool.threads): Promise<void> {
    const geometry = { n: 1, r: 1, g: 1, k: 1, s: this.#x.size };
    const plan = planMoments(geometry, { dtype: "float32", measure: "rootMeanSquare" });
    await drive(
      runCall(this.#pool.executor(place), {
        operation: "one read",
        plan,
        planPart: () => plan,
        x: this.#x,
        g: null,
        y: null,
        owned: false,
        inPlaceSafe: false,
        inputs: NO_INPUTS,
        found: {},
        watchers: {},
        finish: () => {},
      }),
    );
  }

  /** The pool too. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  #double(from: Tensor<"float32">, place: Place): Promise<void> {
    const length = Math.min(UNIT, from.size);
    const slices = { from: 0, to: Math.floor(from.size / length), perSlice: UNITS_PER_SLICE };
    return this.#pool.double({ x: from.data.byteOffset, y: this.#y.data.byteOffset, length, slices }, place);
  }
}
