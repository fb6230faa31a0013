import { describe, InvalidArgumentError } from "../errors.js";
import type { Arena, Region } from "./arena.js";
import { DTYPES, type Dtype, type TypedArrays } from "./dtype.js";
import { cellsOf, type Shape } from "./shape.js";

/** An address that only modules of the pool may read or pin. */
interface Place {
  readonly arena: Arena;
  /** Held until it is given back: while a call works on it, nothing else may keep its buffer object alive. */
  readonly region: Region;
  /** Calls that use the region now. It is given back when the last one ends, even if disposed before. */
  pins: number;
  disposed: boolean;
}

const places = new WeakMap<Tensor, Place>();

/**
 * Cells of one dtype in a pool's shared memory: dtype + shape + storage. Made by `pool.tensor`, `pool.from` and `pool.forward`.
 *
 * The memory is given back by `dispose()` (or `using`), or some time after neither the tensor nor any view of it
 * (`data`, or a `subarray` of it) can be reached. A view that was posted to another thread does not count: keep the tensor, or
 * a view, for as long as the other thread uses it.
 */
export class Tensor<D extends Dtype = Dtype> implements Disposable {
  /** Type of the cells. */
  readonly dtype: D;
  /** Sizes of the dimensions, outermost first; cells lie in row-major order. */
  readonly shape: Shape;
  #data: TypedArrays[D] | undefined;

  /** @internal Use `pool.tensor` or `pool.from`. */
  constructor(arena: Arena, region: Region, dtype: D, shape: Shape) {
    this.dtype = dtype;
    this.shape = shape;
    this.#data = DTYPES[dtype].view(region.buffer, region.address, cellsOf(shape)) as TypedArrays[D];
    places.set(this, { arena, region, pins: 0, disposed: false });
  }

  /** Number of cells. */
  get size(): number {
    return cellsOf(this.shape);
  }

  /**
   * The cells, as a typed array over the pool's SharedArrayBuffer: writes are seen by the next call, results appear in place.
   * @throws InvalidArgumentError if the tensor is disposed.
   */
  get data(): TypedArrays[D] {
    if (this.#data === undefined)
      throw new InvalidArgumentError("tensor.data", "tensor", "a live tensor", "a disposed one");
    return this.#data;
  }

  /**
   * Gives the memory back at once (after the calls that use it now). Idempotent. Views taken before see whatever
   * comes to lie there next: use none of them afterwards.
   */
  dispose(): void {
    const place = placeOf(this);
    if (place.disposed) return;
    place.disposed = true;
    this.#data = undefined;
    if (place.pins === 0) place.arena.free(place.region);
  }

  /** `using x = pool.tensor(...)` disposes of x at the end of its scope. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The tensor's place if it is alive and lies in `arena`. Throws InvalidArgumentError. */
export function checkTensor(operation: string, argument: string, value: unknown, arena: Arena): Tensor {
  if (!(value instanceof Tensor))
    throw new InvalidArgumentError(operation, argument, "a tensor of this pool", describe(value));
  const place = placeOf(value);
  if (place.arena !== arena)
    throw new InvalidArgumentError(operation, argument, "a tensor of this pool", "one of another pool");
  if (place.disposed) throw new InvalidArgumentError(operation, argument, "a live tensor", "a disposed one");
  return value;
}

/** The cells' address, for as long as nothing else runs. */
export function addressOf(tensor: Tensor): number {
  return placeOf(tensor).region.address;
}

/** Keeps the region for a call, whatever the caller does with the tensor meanwhile. Returns its address. */
export function pin(tensor: Tensor): number {
  const place = placeOf(tensor);
  place.pins++;
  return place.region.address;
}

export function unpin(tensor: Tensor): void {
  const place = placeOf(tensor);
  place.pins--;
  if (place.pins === 0 && place.disposed) place.arena.free(place.region);
}

function placeOf(tensor: Tensor): Place {
  return places.get(tensor) as Place;
}
