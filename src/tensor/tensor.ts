import { describe } from "../describe.js";
import { type CellRange, InvalidArgumentError, reading } from "../errors.js";
import { CELL_BYTES } from "../plan/cells.js";
import type { PartLog } from "../plan/parts.js";
import type { FileSpec, Spec } from "../storage/spec.js";
import { DTYPES, type Dtype, type TypedArrays } from "./dtype.js";
import { cellsOf, type Shape } from "./shape.js";
import { bufferOf, byteOffsetOf } from "./typed-arrays.js";

/** What holds a tensor's cells. */
export interface Holding {
  readonly spec: Spec;
  /** The memory that the address of an arena's spec is in; null of others. */
  readonly arena: object | null;
  /** The cells, where there is memory to view; null of those in a file. */
  readonly data: TypedArrays[Dtype] | null;
  /** Fills `target` with the bytes from `at` on of cells that are in a file. */
  read?(target: Uint8Array, at: number): Promise<void>;
  /** Makes a file that was written the one of its name. */
  commit?(): Promise<void>;
  /** Begins the journal of a call that writes to it, if it has one. `work`: what the call is, by name. */
  readonly beginParts?: ((operation: string, work: Readonly<Record<string, string>>) => Promise<PartLog>) | undefined;
  /** Settled when it is released and nothing is left that was not committed. */
  readonly gone?: Promise<void>;
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
  /** Whether its file is being put in its place: its descriptor is closed meanwhile. */
  committing: boolean;
  /** The holding's. */
  readonly gone: Promise<void> | undefined;
}

/** Undefined of what is no tensor: a Proxy of one, an object that inherits from one. */
let lifeOf: (value: unknown) => Life | undefined;

/**
 * Cells of one dtype: dtype + shape + where they are. Made by `pool.tensor`, `pool.from` and `pool.forward` in the pool's own memory, which is
 * shared, by `pool.wrap` around the caller's, by `pool.open` and `pool.create` in a file.
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
    this.#data = (holding.data ?? undefined) as TypedArrays[D] | undefined;
    this.#life = { holding, pins: 0, disposed: false, committing: false, gone: holding.gone };
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
   * @throws InvalidArgumentError if the tensor is disposed, or its cells are in a file.
   */
  get data(): TypedArrays[D] {
    if (!(#data in this)) throw notATensor("tensor.data", this);
    if (this.#data === undefined) throw this.#withoutData("tensor.data");
    return this.#data;
  }

  #withoutData(operation: string): InvalidArgumentError {
    if (this.#life.disposed) return new InvalidArgumentError(operation, "tensor", "a live tensor", "a disposed one");
    const expected = "a tensor in memory (tensor.read() has the cells of any)";
    return new InvalidArgumentError(operation, "tensor", expected, "one in a file");
  }

  /**
   * A copy of cells, wherever they are: those from `from` on, and before `to`, in row-major order. Default: all.
   * @throws (as rejection) InvalidArgumentError, also where the cells do not fit in one array; ReadFailedError, FileFormatError
   */
  async read(range: Partial<CellRange> = {}): Promise<TypedArrays[D]> {
    const operation = "tensor.read";
    const life = lifeOf(this);
    if (life === undefined) throw notATensor(operation, this);
    checkAlive(operation, "tensor", life);
    const { from, to } = checkRange(operation, range, this.size);
    let buffer: SharedArrayBuffer;
    try {
      buffer = new SharedArrayBuffer((to - from) * CELL_BYTES[this.dtype]);
    } catch {
      throw new InvalidArgumentError(operation, "range", "cells that fit in one array", `${to - from} cells`);
    }
    await readInto(this, from, new Uint8Array(buffer));
    return DTYPES[this.dtype].view(buffer, 0, to - from);
  }

  /**
   * A copy of the cells' bytes, little-endian, in row-major order: for a file, a socket, a Buffer. (`data.buffer` is all of the pool's memory:
   * `Buffer.from(data.buffer)` would have other tensors in it.)
   * @throws InvalidArgumentError if the tensor is disposed, and of one in a file: `read` has its cells.
   */
  toBytes(): Uint8Array<ArrayBuffer> {
    if (!(#data in this)) throw notATensor("tensor.toBytes", this);
    const data = this.#data;
    if (data === undefined) throw this.#withoutData("tensor.toBytes");
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

function checkAlive(operation: string, argument: string, { disposed, committing }: Life): void {
  if (disposed) throw new InvalidArgumentError(operation, argument, "a live tensor", "a disposed one");
  if (committing)
    throw new InvalidArgumentError(operation, argument, "a tensor at rest", "one that is being committed");
}

/**
 * Throws InvalidArgumentError where `out` has some bytes of `tensor`, but not all in the same places: cells would be read too late; and where it is
 * in a file that `tensor` was opened to read from, which must not change.
 */
export function checkApart(operation: string, argument: string, out: Tensor, tensor: Tensor): void {
  // Regions of arenas are one tensor's each.
  if (heldBy(out).arena !== null && heldBy(tensor).arena !== null) return;
  const a = placeOf(out);
  const b = placeOf(tensor);
  if (a.of === b.of && !isWritable(tensor)) {
    const expected = "another file than an input's, or inputs that were opened as writable, too,";
    throw new InvalidArgumentError(operation, argument, expected, "the file of one to read");
  }
  if (a.of !== b.of || a.end <= b.start || b.end <= a.start) return;
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
  const { of, start } = placeOf(tensor);
  return { kind: "shared", buffer: of as SharedArrayBuffer, byteOffset: start };
}

/** What begins the journal of a call that writes to it; undefined where none is kept. */
export function journalOf(tensor: Tensor): Holding["beginParts"] {
  return heldBy(tensor).beginParts;
}

/** The file that its cells are in. */
export function fileOf(tensor: Tensor): FileSpec | undefined {
  const { spec } = heldBy(tensor);
  return spec.kind === "file" ? spec : undefined;
}

/** The dtype of its cells where they are: a file's may be converted on the way. */
export function storedDtypeOf(tensor: Tensor): Dtype {
  return fileOf(tensor)?.converted?.stored ?? tensor.dtype;
}

/** Whether calls may write to it. */
export function isWritable(tensor: Tensor): boolean {
  const { spec } = heldBy(tensor);
  return spec.kind !== "file" || spec.modified === null;
}

/** Keeps the cells for a call, whatever the caller does with the tensor meanwhile. */
export function pin(tensor: Tensor): void {
  (lifeOf(tensor) as Life).pins++;
}

export function unpin(tensor: Tensor): void {
  unpinLife(lifeOf(tensor) as Life);
}

function unpinLife(life: Life): void {
  life.pins--;
  if (life.pins === 0 && life.disposed) release(life);
}

/** The bytes that cells are, of a buffer or of the file with an id. */
function placeOf(tensor: Tensor): { readonly of: object | string; readonly start: number; readonly end: number } {
  const { data, spec } = heldBy(tensor);
  const bytes = tensor.size * CELL_BYTES[storedDtypeOf(tensor)];
  if (spec.kind === "file") return { of: spec.id, start: spec.offset, end: spec.offset + bytes };
  const start = byteOffsetOf(data as ArrayBufferView);
  return { of: bufferOf(data as ArrayBufferView), start, end: start + bytes };
}

/** `commit` of a tensor that is written to a file. One that fails leaves the tensor disposed of: it has no file any more. */
export async function commit(operation: string, tensor: Tensor): Promise<void> {
  const life = lifeOf(tensor);
  if (life === undefined) throw notATensor(operation, tensor);
  // Who commits again waits for the first time.
  if (life.committing) return life.holding?.commit?.();
  checkAlive(operation, "tensor", life);
  if (life.pins > 0) throw new InvalidArgumentError(operation, "tensor", "one that no call works on", "one in use");
  life.committing = true;
  // One that is disposed of meanwhile is released afterwards.
  life.pins++;
  try {
    await life.holding?.commit?.();
  } catch (error) {
    if (!life.disposed) tensor.dispose();
    throw error;
  } finally {
    life.committing = false;
    unpinLife(life);
  }
}

/** Disposes of a tensor, and waits until nothing of it is left. */
export async function disposeOf(operation: string, tensor: Tensor): Promise<void> {
  const life = lifeOf(tensor);
  if (life === undefined) throw notATensor(operation, tensor);
  tensor.dispose();
  await life.gone;
}

/** As `tensor.read`, of as many cells as fill `target`: for loops over a tensor, whose memory would else be garbage that is not collected in time. */
export async function readInto(tensor: Tensor, from: number, target: Uint8Array): Promise<void> {
  const life = lifeOf(tensor) as Life;
  checkAlive("tensor.read", "tensor", life);
  const holding = life.holding as Holding;
  const { data } = holding;
  const at = from * CELL_BYTES[tensor.dtype];
  life.pins++;
  try {
    if (data === null) await holding.read?.(target, at);
    else target.set(new Uint8Array(bufferOf(data), byteOffsetOf(data) + at, target.length));
  } finally {
    unpinLife(life);
  }
}

function checkRange(operation: string, range: Partial<CellRange>, size: number): CellRange {
  if (typeof range !== "object" || range === null) {
    throw new InvalidArgumentError(operation, "range", "an object", describe(range));
  }
  const { from = 0, to = size } = reading(operation, "range", "an object", () => ({ from: range.from, to: range.to }));
  const isCell = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= size;
  if (!isCell(from)) throw new InvalidArgumentError(operation, "from", `a cell of ${size}`, describe(from));
  if (!isCell(to) || to < from)
    throw new InvalidArgumentError(operation, "to", `a cell from ${from} to ${size}`, describe(to));
  return { from, to };
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
