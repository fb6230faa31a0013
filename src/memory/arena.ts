// The shared memory that tensors live in: one WebAssembly.Memory with an allocator in front of it.
//
// Who keeps a region alive: several SharedArrayBuffer objects may stand for the same bytes. Each region gets an object of its own; every
// view of the region, a `subarray` too, keeps that object alive. So when the object is gone nothing can see the region, and it is free.
// Where an engine has one object for all, nobody can know who views what: then only `free` frees.
import { SCRATCH_BYTES, SCRATCH_SLOTS } from "../../workers/scratch.js";
import type { WasmMemory } from "../../workers/webassembly.js";
import { setImmediate } from "../clock.js";
import { OutOfMemoryError } from "../errors.js";
import { COLLECT_AFTER_BYTES, collectGarbage, letMemoryGo } from "./collect.js";
import { findOwnBuffer } from "./own-buffer.js";
import { Regions, roundUp } from "./regions.js";
import { PAGE_BYTES, reserve } from "./reserve.js";

/** The kernel module takes memories of up to 4 GiB. One page less: an end address of 4 GiB would be 0 in the kernels' 32 bits. */
const MAX_PAGES = 65_536 - 1;
/** The most that a pool's memory can be. */
export const MAX_BYTES = MAX_PAGES * PAGE_BYTES;
const START = SCRATCH_BYTES * SCRATCH_SLOTS;
/** The memory grows by at least this, since each growth is a system call that every worker is told of. */
const GROWTH_BYTES = 4 << 20;
/** So much may be handed out in one turn of the event loop before calls that can wait do wait for the next. */
const TURN_BYTES = 32 << 20;

const ONLY_DISPOSED = "in this JavaScript engine tensors that are dropped keep their memory: dispose of them";

/** A stretch of the arena, and the buffer object whose life is the region's. Whoever uses the region holds on to this. */
export interface Region {
  readonly address: number;
  readonly buffer: SharedArrayBuffer;
  readonly owned: Owned;
}

/** What the arena knows of a region; by its identity, since a later region may have the same address. */
interface Owned {
  readonly address: number;
  /** Undefined where it is not the region's own. */
  readonly buffer: WeakRef<SharedArrayBuffer> | undefined;
}

export class Arena {
  /** Undefined when it is closed. */
  #memory: WasmMemory | undefined;
  /** What it was, once it is closed: for whoever wants to know whether it is gone. */
  #closed: WeakRef<WasmMemory> | undefined;
  readonly #regions: Regions;
  readonly #owned = new Set<Owned>();
  readonly #dropped = new FinalizationRegistry<Owned>((owned) => this.#release(owned));
  readonly #ownBuffer: ReturnType<typeof findOwnBuffer>;
  readonly #maxPages: number;
  #pages: number;
  /** Bytes from here on were never handed out: they are zero. */
  #fresh = START;
  #sinceCollection = 0;
  #sinceTurn = 0;
  #peak = 0;
  #collectAfter = COLLECT_AFTER_BYTES;

  /** @param maxBytes the most that it may grow to, in whole pages. */
  constructor(maxBytes = MAX_BYTES) {
    const { memory, pages, maxPages } = reserve(Math.floor(maxBytes / PAGE_BYTES));
    this.#memory = memory;
    this.#pages = pages;
    this.#maxPages = maxPages;
    this.#ownBuffer = findOwnBuffer(memory);
    this.#regions = new Regions(START, this.size);
  }

  /** For those who compute in it: do not keep it beyond `close`. */
  get memory(): WasmMemory {
    if (this.#memory === undefined) throw new Error("the memory is closed");
    return this.#memory;
  }

  /** Bytes handed out and not given back. */
  get inUse(): number {
    return this.#regions.inUse;
  }

  /** The most bytes that were in use at once. */
  get peak(): number {
    return this.#peak;
  }

  /** Bytes that the memory may grow to. */
  get limit(): number {
    return this.#maxPages * PAGE_BYTES;
  }

  /** Bytes that the memory has grown to. */
  get size(): number {
    return this.#pages * PAGE_BYTES;
  }

  /** A region that lives until `free`, or until nothing views its buffer object, if it has one of its own. */
  own(operation: string, bytes: number, zeroed: boolean): Region {
    const address = this.take(operation, bytes);
    const own = this.#ownBuffer;
    const buffer = own === undefined ? this.memory.buffer : own(this.memory);
    const owned: Owned = { address, buffer: own && new WeakRef(buffer) };
    this.#owned.add(owned);
    if (own !== undefined) this.#dropped.register(buffer, owned, owned);
    this.#count(bytes);
    if (zeroed) {
      const used = Math.min(bytes, Math.max(0, this.#fresh - address));
      if (used > 0) new Uint8Array(buffer, address, used).fill(0);
    }
    this.#fresh = Math.max(this.#fresh, address + bytes);
    return { address, buffer, owned };
  }

  /** Gives back an owned region at once. Views of it see what comes after. */
  free({ owned }: Region): void {
    this.#dropped.unregister(owned);
    this.#release(owned);
    if (this.#memory === undefined && this.#owned.size === 0) void letMemoryGo(this.size, this.#closed);
  }

  /**
   * Nobody computes in it any more. The system has the memory back as soon as no region is owned: now, with the last `free`, or when V8 finds
   * that nothing views the regions that are left.
   */
  close(): Promise<void> {
    if (this.#memory !== undefined) this.#closed = new WeakRef(this.#memory);
    this.#memory = undefined;
    return letMemoryGo(this.size, this.#closed);
  }

  /** Plain bytes for the inside of a call: no buffer of their own, given back by `giveBack`. */
  take(operation: string, bytes: number): number {
    const address = this.#regions.take(bytes) ?? this.#makeRoom(operation, bytes);
    if (this.inUse > this.#peak) this.#peak = this.inUse;
    return address;
  }

  giveBack(address: number, bytes: number): void {
    this.#fresh = Math.max(this.#fresh, address + bytes);
    this.#regions.free(address);
  }

  /**
   * Whether so much was handed out in this turn of the event loop that calls should wait for the next: nothing
   * made in a turn can be collected in it (a new WeakRef keeps its target until the turn ends).
   */
  get turnIsDue(): boolean {
    return this.#sinceTurn >= TURN_BYTES;
  }

  /** Float64 view of arena bytes for the inside of a call. */
  float64(address: number, length: number): Float64Array {
    return new Float64Array(this.memory.buffer, address, length);
  }

  #count(bytes: number): void {
    if (this.#sinceTurn === 0) {
      setImmediate(() => {
        this.#sinceTurn = 0;
      }).unref();
    }
    this.#sinceTurn += Math.max(1, bytes);
    this.#sinceCollection += bytes;
  }

  #makeRoom(operation: string, bytes: number): number {
    if (this.#sinceCollection >= this.#collectAfter) {
      const address = this.#collect(bytes);
      if (address !== undefined) return address;
    }
    let cause: unknown;
    const { limit } = this;
    if (this.#ownBuffer === undefined && this.inUse + bytes > limit / 2) warnOnce();
    const end = this.#regions.endFor(bytes, limit);
    if (end <= limit) {
      try {
        return this.#grow(end, bytes);
      } catch (error) {
        cause = error; // the system has no more, although the address space does
      }
    }
    const address = this.#collect(bytes);
    if (address !== undefined) return address;
    const possible = this.#regions.largest(cause === undefined ? limit : this.size);
    let hint = cause === undefined ? "" : "; the system gives it no more";
    if (this.#ownBuffer === undefined) hint += `; ${ONLY_DISPOSED}`;
    throw new OutOfMemoryError(operation, bytes, this.inUse, possible, { cause, hint });
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
    if (this.#ownBuffer === undefined) return undefined;
    const before = this.inUse;
    collectGarbage();
    for (const owned of [...this.#owned]) {
      if (owned.buffer?.deref() !== undefined) continue;
      this.#dropped.unregister(owned);
      this.#release(owned);
    }
    const freed = before - this.inUse;
    this.#collectAfter = freed >= this.#sinceCollection / 4 ? COLLECT_AFTER_BYTES : this.#collectAfter * 2;
    this.#sinceCollection = 0;
    return this.#regions.take(bytes);
  }

  #release(owned: Owned): void {
    // The registry, a collection and `free` may each come for the same region, and a new one may have its address by then.
    if (this.#owned.delete(owned)) this.#regions.free(owned.address);
  }
}

let warned = false;

function warnOnce(): void {
  if (warned) return;
  warned = true;
  process.emitWarning(`normpool: half of a pool's memory is in use; ${ONLY_DISPOSED}`, {
    code: "NORMPOOL_ONLY_DISPOSED",
  });
}
