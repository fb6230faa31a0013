import { describe, InvalidArgumentError } from "../errors.js";
import { CELL_BYTES } from "../plan/cells.js";
import type { Spec } from "../storage/spec.js";
import type { Dtype, TypedArrays } from "./dtype.js";
import { cellsOf, type Shape } from "./shape.js";

/** What holds a tensor's cells. */
export interface Holding {
  readonly spec: Spec;
  /** The memory that the address of an arena's spec is in; null of others. */
  readonly arena: object | null;
  /** The cells, where there is memory to view. */
  readonly data: TypedArrays[Dtype];
  /** Gives back what is the pool's. Not called twice. */
  release(): void;
}

/** What only modules of the pool may read or pin. */
interface Life {
  /** Held until it is released: while a call works on it, nothing else may keep its buffer object alive. */
  readonly holding: Holding;
  /** Calls that use the cells now. They are released when the last one ends, even if the tensor is disposed before. */
  pins: number;
  disposed: boolean;
}

const lives = new WeakMap<Tensor, Life>();

/**
 * Cells of one dtype in shared memory: dtype + shape + where they are. Made by `pool.tensor`, `pool.from` and `pool.forward` in the pool's own
 * memory, by `pool.wrap` around the caller's.
 *
 * The pool's memory is given back by `dispose()` (or `using`), or some time after neither the tensor nor any view of it
 * (`data`, or a `subarray` of it) can be reached. A view that was posted to another thread does not count: keep the tensor, or
 * a view, for as long as the other thread uses it.
 */
export class Tensor<D extends Dtype = Dtype> implements Disposable {
  /** Type of the cells. */
  readonly dtype: D;
  /** Sizes of the dimensions, outermost first; cells lie in row-major order. */
  readonly shape: Shape;
  #data: TypedArrays[D] | undefined;

  /** @internal Use `pool.tensor`, `pool.from` or `pool.wrap`. */
  constructor(holding: Holding, dtype: D, shape: Shape) {
    this.dtype = dtype;
    this.shape = shape;
    this.#data = holding.data as TypedArrays[D];
    lives.set(this, { holding, pins: 0, disposed: false });
  }

  /** Number of cells. */
  get size(): number {
    return cellsOf(this.shape);
  }

  /**
   * The cells, as a typed array over a SharedArrayBuffer, the pool's or, of `pool.wrap`, the very array that it was given: writes are
   * seen by the next call, results appear in place.
   * @throws InvalidArgumentError if the tensor is disposed.
   */
  get data(): TypedArrays[D] {
    if (this.#data === undefined)
      throw new InvalidArgumentError("tensor.data", "tensor", "a live tensor", "a disposed one");
    return this.#data;
  }

  /**
   * A copy of the cells' bytes, little-endian, in row-major order: for a file, a socket, a Buffer. (`data.buffer` is all of the pool's memory:
   * `Buffer.from(data.buffer)` would have other tensors in it.)
   * @throws InvalidArgumentError if the tensor is disposed.
   */
  toBytes(): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset, byteLength } = this.data;
    return new Uint8Array(buffer, byteOffset, byteLength).slice() as Uint8Array<ArrayBuffer>;
  }

  /**
   * Gives the memory back at once (after the calls that use it now). Idempotent. Views taken before see whatever
   * comes to lie there next: use none of them afterwards. Of `pool.wrap` the memory stays the caller's; only the tensor ends.
   */
  dispose(): void {
    const life = lifeOf(this);
    if (life.disposed) return;
    life.disposed = true;
    this.#data = undefined;
    if (life.pins === 0) life.holding.release();
  }

  /** `using x = pool.tensor(...)` disposes of x at the end of its scope. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The value if it is a tensor that is alive, wherever its cells are. Throws InvalidArgumentError. */
export function checkTensor(operation: string, argument: string, value: unknown): Tensor {
  if (!(value instanceof Tensor)) throw new InvalidArgumentError(operation, argument, "a tensor", describe(value));
  if (lifeOf(value).disposed) throw new InvalidArgumentError(operation, argument, "a live tensor", "a disposed one");
  return value;
}

/** Throws InvalidArgumentError where `out` has some bytes of `tensor`, but not all in the same places: cells would be read too late. */
export function checkApart(operation: string, argument: string, out: Tensor, tensor: Tensor): void {
  // Regions of arenas are one tensor's each.
  if (lifeOf(out).holding.arena !== null && lifeOf(tensor).holding.arena !== null) return;
  const a = stretchOf(out);
  const b = stretchOf(tensor);
  if (a.buffer !== b.buffer || a.end <= b.start || b.end <= a.start) return;
  if (a.start === b.start && a.end === b.end) return;
  throw new InvalidArgumentError(operation, argument, "exactly an input's memory, or none of it", "an overlap");
}

/** Where the cells are for a call in `arena`: another pool's address is no address there, but its shared memory is. */
export function specFor(tensor: Tensor, arena: object): Spec {
  const { spec, arena: own } = lifeOf(tensor).holding;
  if (own === null || own === arena) return spec;
  const { buffer, start } = stretchOf(tensor);
  return { kind: "shared", buffer, byteOffset: start };
}

/** Keeps the cells for a call, whatever the caller does with the tensor meanwhile. */
export function pin(tensor: Tensor): void {
  lifeOf(tensor).pins++;
}

export function unpin(tensor: Tensor): void {
  const life = lifeOf(tensor);
  life.pins--;
  if (life.pins === 0 && life.disposed) life.holding.release();
}

/** The bytes of a buffer that cells are. */
function stretchOf(tensor: Tensor) {
  const { buffer, byteOffset: start } = lifeOf(tensor).holding.data;
  return { buffer, start, end: start + tensor.size * CELL_BYTES[tensor.dtype] };
}

function lifeOf(tensor: Tensor): Life {
  return lives.get(tensor) as Life;
}
