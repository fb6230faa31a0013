import { describe, InvalidArgumentError } from "../errors.js";
import type { Storage } from "../protocol.js";
import type { Arena, Region } from "./arena.js";
import { DTYPES, type Dtype, type TypedArrays } from "./dtype.js";
import { cellsOf, type Shape } from "./shape.js";

/** A region of an arena, or shared memory of the caller's, that is nobody's to give back. */
export type Home =
  | { readonly kind: "region"; readonly arena: Arena; readonly region: Region }
  | { readonly kind: "wrapped"; readonly data: TypedArrays[Dtype] };

/** What only modules of the pool may read or pin. */
interface Place {
  /** Held until it is given back: while a call works on it, nothing else may keep its buffer object alive. */
  readonly home: Home;
  /** Calls that use the region now. It is given back when the last one ends, even if disposed before. */
  pins: number;
  disposed: boolean;
}

const places = new WeakMap<Tensor, Place>();

/**
 * Cells of one dtype in shared memory: dtype + shape + storage. Made by `pool.tensor`, `pool.from` and `pool.forward` in the pool's own
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
  constructor(home: Home, dtype: D, shape: Shape) {
    this.dtype = dtype;
    this.shape = shape;
    const data =
      home.kind === "wrapped" ? home.data : DTYPES[dtype].view(home.region.buffer, home.region.address, cellsOf(shape));
    this.#data = data as TypedArrays[D];
    places.set(this, { home, pins: 0, disposed: false });
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
   * Gives the memory back at once (after the calls that use it now). Idempotent. Views taken before see whatever
   * comes to lie there next: use none of them afterwards. Of `pool.wrap` the memory stays the caller's; only the tensor ends.
   */
  dispose(): void {
    const place = placeOf(this);
    if (place.disposed) return;
    place.disposed = true;
    this.#data = undefined;
    if (place.pins === 0) giveBack(place);
  }

  /** `using x = pool.tensor(...)` disposes of x at the end of its scope. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The value if it is a tensor that is alive, wherever its cells are. Throws InvalidArgumentError. */
export function checkTensor(operation: string, argument: string, value: unknown): Tensor {
  if (!(value instanceof Tensor)) throw new InvalidArgumentError(operation, argument, "a tensor", describe(value));
  if (placeOf(value).disposed) throw new InvalidArgumentError(operation, argument, "a live tensor", "a disposed one");
  return value;
}

/** Throws InvalidArgumentError where `out` has some bytes of `tensor`, but not all in the same places: cells would be read too late. */
export function checkApart(operation: string, argument: string, out: Tensor, tensor: Tensor): void {
  // Regions of arenas are one tensor's each.
  if (placeOf(out).home.kind === "region" && placeOf(tensor).home.kind === "region") return;
  const a = stretchOf(out);
  const b = stretchOf(tensor);
  if (a.buffer !== b.buffer || a.end <= b.start || b.end <= a.start) return;
  if (a.start === b.start && a.end === b.end) return;
  throw new InvalidArgumentError(operation, argument, "exactly an input's memory, or none of it", "an overlap");
}

/** The cells' address in `arena`, for as long as nothing else runs; undefined where they are elsewhere. */
export function addressOf(tensor: Tensor, arena: Arena): number | undefined {
  const { home } = placeOf(tensor);
  return home.kind === "region" && home.arena === arena ? home.region.address : undefined;
}

/** Keeps the cells for a call in `arena`, whatever the caller does with the tensor meanwhile. Returns where they are. */
export function pin(tensor: Tensor, arena: Arena): Storage {
  const place = placeOf(tensor);
  place.pins++;
  const address = addressOf(tensor, arena);
  if (address !== undefined) return address;
  const { buffer, start } = stretchOf(tensor);
  return { kind: "shared", buffer, byteOffset: start };
}

export function unpin(tensor: Tensor): void {
  const place = placeOf(tensor);
  place.pins--;
  if (place.pins === 0 && place.disposed) giveBack(place);
}

function giveBack({ home }: Place): void {
  if (home.kind === "region") home.arena.free(home.region);
}

/** The bytes of a buffer that cells are. */
function stretchOf(tensor: Tensor) {
  const { home } = placeOf(tensor);
  const { buffer, start } =
    home.kind === "wrapped"
      ? { buffer: home.data.buffer as SharedArrayBuffer, start: home.data.byteOffset }
      : { buffer: home.region.buffer, start: home.region.address };
  return { buffer, start, end: start + tensor.size * DTYPES[tensor.dtype].bytes };
}

function placeOf(tensor: Tensor): Place {
  return places.get(tensor) as Place;
}
