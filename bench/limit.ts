// The machine's limits, of memory alone: SIMD kernels over the same kind of memory, threads and slices as the layers.
import type { Tensor } from "../src/index.js";
import { CELLS, operandsOf, type Phase } from "../src/protocol.js";
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
  readonly #double: Phase;
  readonly #sums: Phase;
  readonly #x: number;
  readonly #y: number;
  #partials: number | undefined;

  constructor(pool: BenchPool, x: Tensor<"float32">, y: Tensor<"float32">) {
    const length = Math.min(UNIT, x.size);
    const units = { units: Math.floor(x.size / length), unitsPerSlice: UNITS_PER_SLICE };
    this.bytes = units.units * length * 4;
    this.#pool = pool;
    this.#double = { kind: "double", length, ...units };
    this.#sums = { kind: "moments", layout: "sets", length, centred: false, ...units };
    this.#x = x.data.byteOffset;
    this.#y = y.data.byteOffset;
  }

  /** In memory of its own. */
  static alone(threads: number, cells: number): Limit {
    const pool = new BenchPool(threads);
    const tensors = new Tensors(pool.at());
    return new Limit(pool, tensors.get("x", "float32", [cells]), tensors.get("y", "float32", [cells]));
  }

  /** y = 2x: one read and one write of all cells, to other memory. */
  outOfPlace(place: Place = this.#pool.threads): Promise<void> {
    return this.#pool.run(this.#double, operandsOf(CELLS.float32, this.#x, this.#y), place);
  }

  /** y = 2y: one read and one write of all cells, where they are. */
  inPlace(place: Place = this.#pool.threads): Promise<void> {
    return this.#pool.run(this.#double, operandsOf(CELLS.float32, this.#y, this.#y), place);
  }

  /** One read of all cells: the sums of their squares. Of cells that are alike the kernel sums with more care, and is slower. */
  read(place: Place = this.#pool.threads): Promise<void> {
    this.#partials ??= this.#pool.bytes(this.#sums.units * 16);
    const operands = { ...operandsOf(CELLS.float32, this.#x, this.#x), partials: this.#partials };
    return this.#pool.run(this.#sums, operands, place);
  }

  /** The pool too. */
  close(): Promise<void> {
    return this.#pool.close();
  }
}
