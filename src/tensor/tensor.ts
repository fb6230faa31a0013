import { describe, InvalidArgumentError } from "../errors.js";
import { CELL_BYTES } from "../plan/cells.js";
import type { Spec } from "../storage/spec.js";
import type { Dtype, TypedArrays } from "./dtype.js";
import { cellsOf, type Shape } from "./shape.js";
import { bufferOf, byteOffsetOf } from "./typed-arrays.js";

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
  holding: Holding | undefined;
  /** Calls that use the cells now. They are released when the last one ends, even if the tensor is disposed before. */
  pins: number;
  disposed: boolean;
}

/** Undefined of what is no tensor: a Proxy of one, an object that inherits from one. */
let lifeOf: (value: unknown) => Life | undefined;

/**
 * Cells of one dtype in shared memory: dtype + shape + where they are. Made by `pool.tensor`, `pool.from` and `pool.forward` in the pool's own
 * memory, by `pool.wrap` around the caller's.
 *
 * The pool's memory is given back by `dispose()` (or `using`), or some time after neither the tensor nor any view of it
 * (`data`, or a `subarray` of it) can be reached. A view that was posted to another thread does not count: keep the tensor, or
 * a view, for as long as the other thread uses it.
 *
 * A tensor is frozen: for other sizes make another one.
 */
export class Tensor<D extends Dtype = Dtype> implements Disposable {
  /** Type of the cells. */
  readonly dtype: D;
  /** Sizes of the dimensions, outermost first; cells lie in row-major order. */
  readonly shape: Shape;
  /** The holding's, until the tensor is disposed of: loops over cells ask for it at each. */
  #data: TypedArrays[D] | undefined;
  readonly #life: Life;

  static {
    lifeOf = (value) => (typeof value === "object" && value !== null && #life in value ? value.#life : undefined);
  }

  /** @internal Use `pool.tensor`, `pool.from` or `pool.wrap`. */
  constructor(holding: Holding, dtype: D, shape: Shape) {
    this.dtype = dtype;
    this.shape = shape;
    this.#data = holding.data as TypedArrays[D];
    this.#life = { holding, pins: 0, disposed: false };
    // Calls work on as many bytes as these fields say.
    Object.freeze(this);
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
    if (!(#data in this)) throw notATensor("tensor.data", this);
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
    if (lifeOf(this) === undefined) throw notATensor("tensor.toBytes", this);
    const { data } = this;
    const bytes = this.size * CELL_BYTES[this.dtype];
    return new Uint8Array(new Uint8Array(bufferOf(data), byteOffsetOf(data), bytes));
  }

  /**
   * Gives the memory back at once (after the calls that use it now). Idempotent. Views taken before see whatever
   * comes to lie there next: use none of them afterwards. Of `pool.wrap` the memory stays the caller's; only the tensor ends.
   */
  dispose(): void {
    const life = lifeOf(this);
    if (life === undefined) throw notATensor("tensor.dispose", this);
    if (life.disposed) return;
    life.disposed = true;
    this.#data = undefined;
    if (life.pins === 0) release(life);
  }

  /** `using x = pool.tensor(...)` disposes of x at the end of its scope. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

export function isTensor(value: unknown): value is Tensor {
  return lifeOf(value) !== undefined;
}

/** The value if it is a tensor that is alive, wherever its cells are. Throws InvalidArgumentError. */
export function checkTensor(operation: string, argument: string, value: unknown): Tensor {
  const life = lifeOf(value);
  if (life === undefined) throw new InvalidArgumentError(operation, argument, "a tensor", describe(value));
  checkAlive(operation, argument, life);
  return value as Tensor;
}

function checkAlive(operation: string, argument: string, { disposed }: Life): void {
  if (disposed) throw new InvalidArgumentError(operation, argument, "a live tensor", "a disposed one");
}

/** Throws InvalidArgumentError where `out` has some bytes of `tensor`, but not all in the same places: cells would be read too late. */
export function checkApart(operation: string, argument: string, out: Tensor, tensor: Tensor): void {
  // Regions of arenas are one tensor's each.
  if (heldBy(out).arena !== null && heldBy(tensor).arena !== null) return;
  const a = stretchOf(out);
  const b = stretchOf(tensor);
  if (a.buffer !== b.buffer || a.end <= b.start || b.end <= a.start) return;
  if (a.start === b.start && a.end === b.end) return;
  throw new InvalidArgumentError(operation, argument, "exactly an input's memory, or none of it", "an overlap");
}

/**
 * Where the cells are for a call in `arena`: another pool's address is no address there, but its shared memory is.
 * @throws InvalidArgumentError if the tensor was disposed of since it was checked, by an option's getter or a callback.
 */
export function specFor(operation: string, tensor: Tensor, arena: object): Spec {
  checkAlive(operation, "tensor", lifeOf(tensor) as Life);
  const { spec, arena: own } = heldBy(tensor);
  if (own === null || own === arena) return spec;
  const { buffer, start } = stretchOf(tensor);
  return { kind: "shared", buffer, byteOffset: start };
}

/** Keeps the cells for a call, whatever the caller does with the tensor meanwhile. */
export function pin(tensor: Tensor): void {
  (lifeOf(tensor) as Life).pins++;
}

export function unpin(tensor: Tensor): void {
  const life = lifeOf(tensor) as Life;
  life.pins--;
  if (life.pins === 0 && life.disposed) release(life);
}

/** The bytes of a buffer that cells are. */
function stretchOf(tensor: Tensor) {
  const { data } = heldBy(tensor);
  const start = byteOffsetOf(data);
  return { buffer: bufferOf(data) as SharedArrayBuffer, start, end: start + tensor.size * CELL_BYTES[tensor.dtype] };
}

function heldBy(tensor: Tensor): Holding {
  return (lifeOf(tensor) as Life).holding as Holding;
}

/** A disposed tensor that somebody keeps must not keep the memory. */
function release(life: Life): void {
  life.holding?.release();
  life.holding = undefined;
}

function notATensor(operation: string, value: unknown): InvalidArgumentError {
  return new InvalidArgumentError(operation, "this", "a tensor", describe(value));
}
