// The shared memory that tensors live in: one WebAssembly.Memory with an allocator in front of it.
//
// Who keeps a region alive: a shared memory's `buffer` is an object, and `memory.grow(0)` makes the next read of it return a NEW
// SharedArrayBuffer object over the same bytes. Each region gets an object of its own; every view of the region, a
// `subarray` too, keeps that object alive. So when the object is gone nothing can see the region, and it is free.
import { OutOfMemoryError } from "../errors.js";
import { SCRATCH_BYTES, SCRATCH_SLOTS } from "../protocol.js";
import { collectGarbage } from "./collect.js";
import { Regions, roundUp } from "./regions.js";

const PAGE_BYTES = 65_536;
const MAX_PAGES = 65_536;
const START = SCRATCH_BYTES * SCRATCH_SLOTS;
/** The memory grows by at least this, since each growth is a system call that every worker is told of. */
const GROWTH_BYTES = 4 << 20;
/** A collection takes some milliseconds, as long as it takes to fault in this much fresh memory. */
const COLLECT_AFTER_BYTES = 64 << 20;

/** A stretch of the arena, and the buffer object whose life is the region's. */
export interface Region {
  readonly address: number;
  readonly buffer: SharedArrayBuffer;
}

interface Owned {
  readonly address: number;
  readonly bytes: number;
  readonly buffer: WeakRef<SharedArrayBuffer>;
}

export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly #regions: Regions;
  readonly #owned = new Map<number, Owned>();
  readonly #dropped = new FinalizationRegistry<Owned>((owned) => this.#release(owned));
  readonly #maxPages: number;
  #pages: number;
  /** Bytes from here on were never handed out: they are zero. */
  #fresh = START;
  #sinceCollection = 0;
  #collectAfter = COLLECT_AFTER_BYTES;

  /** @param maxPages an upper bound for tests; 64 KiB each. */
  constructor(maxPages = MAX_PAGES) {
    this.#maxPages = maxPages;
    this.#pages = START / PAGE_BYTES;
    // The maximum is the one that the kernel module's import declares.
    this.memory = new WebAssembly.Memory({ initial: this.#pages, maximum: MAX_PAGES, shared: true });
    this.#regions = new Regions(START, START);
  }

  /** Bytes handed out and not given back. */
  get inUse(): number {
    return this.#regions.inUse;
  }

  /** Bytes that the memory has grown to. */
  get size(): number {
    return this.#pages * PAGE_BYTES;
  }

  /** A region that lives until `free`, or until nothing views its buffer object. */
  own(operation: string, bytes: number, zeroed: boolean): Region {
    // The memory itself holds on to its newest buffer object: from here on that is not the last region's any more.
    this.memory.grow(0);
    const address = this.take(operation, bytes);
    const { buffer } = this.memory;
    const owned: Owned = { address, bytes, buffer: new WeakRef(buffer) };
    this.#owned.set(address, owned);
    this.#dropped.register(buffer, owned, owned);
    this.#sinceCollection += bytes;
    if (zeroed) {
      const used = Math.min(bytes, Math.max(0, this.#fresh - address));
      if (used > 0) new Uint8Array(buffer, address, used).fill(0);
    }
    this.#fresh = Math.max(this.#fresh, address + bytes);
    return { address, buffer };
  }

  /** Gives back an owned region at once. Views of it see what comes after. */
  free(address: number): void {
    const owned = this.#owned.get(address);
    if (owned === undefined) return;
    this.#dropped.unregister(owned);
    this.#release(owned);
  }

  /** Plain bytes for the inside of a call: no buffer of their own, given back by `giveBack`. */
  take(operation: string, bytes: number): number {
    const address = this.#regions.take(bytes) ?? this.#makeRoom(operation, bytes);
    return address;
  }

  giveBack(address: number, bytes: number): void {
    this.#fresh = Math.max(this.#fresh, address + bytes);
    this.#regions.free(address);
  }

  /**
   * Whether the next allocation of `bytes` will want a collection. A WeakRef's target cannot be collected in the turn of the
   * event loop that made it, so a caller that can wait should wait for the next turn first.
   */
  wantsTurn(bytes: number): boolean {
    return this.#sinceCollection >= this.#collectAfter && !this.#regions.fits(bytes);
  }

  /** Float64 view of arena bytes for the inside of a call. */
  float64(address: number, length: number): Float64Array {
    return new Float64Array(this.memory.buffer, address, length);
  }

  #makeRoom(operation: string, bytes: number): number {
    if (this.#sinceCollection >= this.#collectAfter) {
      const address = this.#collect(bytes);
      if (address !== undefined) return address;
    }
    let cause: unknown;
    const end = this.#regions.endFor(bytes);
    if (end <= this.#maxPages * PAGE_BYTES) {
      try {
        return this.#grow(end, bytes);
      } catch (error) {
        cause = error; // the system has no more, although the address space does
      }
    }
    const address = this.#collect(bytes);
    if (address !== undefined) return address;
    const possible = this.#regions.largest(cause === undefined ? this.#maxPages * PAGE_BYTES : this.size);
    throw new OutOfMemoryError(operation, bytes, this.inUse, possible, { cause });
  }

  #grow(end: number, bytes: number): number {
    const wanted = Math.min(Math.max(end, this.size + GROWTH_BYTES), this.#maxPages * PAGE_BYTES);
    const pages = roundUp(wanted, PAGE_BYTES) / PAGE_BYTES;
    this.memory.grow(pages - this.#pages);
    this.#pages = pages;
    this.#regions.extend(this.size);
    return this.#regions.take(bytes) as number;
  }

  /** Collects, frees what nothing views, and tries again. A collection that freed little makes the next one wait longer. */
  #collect(bytes: number): number | undefined {
    const before = this.inUse;
    collectGarbage();
    for (const owned of [...this.#owned.values()]) {
      if (owned.buffer.deref() !== undefined) continue;
      this.#dropped.unregister(owned);
      this.#release(owned);
    }
    const freed = before - this.inUse;
    this.#collectAfter = freed >= this.#sinceCollection / 4 ? COLLECT_AFTER_BYTES : this.#collectAfter * 2;
    this.#sinceCollection = 0;
    return this.#regions.take(bytes);
  }

  #release(owned: Owned): void {
    // Both the registry and a collection may come for the same region, and a new one may have its address by then.
    if (this.#owned.get(owned.address) !== owned) return;
    this.#owned.delete(owned.address);
    this.#regions.free(owned.address);
  }
}
