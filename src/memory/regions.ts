// Which bytes of the arena are free: a list of gaps by address. First fit from the bottom, so that the top stays free and
// freed bytes, whose pages are already faulted in, are used again before fresh ones.

interface Gap {
  start: number;
  end: number;
}

/** Everything is a multiple of this: a cache line, which no two tensors share. */
const LINE = 64;
/** Regions from this size on start at a page, so that x and y have the same address modulo a page. */
const PAGE = 4096;
const LARGE = 65_536;
/**
 * Regions from SKEWED bytes on start so far after the one before them, where there is room: tensors of equal size must not lie a power of
 * two apart. AMD's cores tell the lines of a cache set apart by a hash of address bits 12 to 27 (Lipp et al. 2020, "Take A Way"), so cells
 * 2^28 bytes apart, as x and y of 256 MiB, evict each other at every access: y = 2x took 35 ms instead of 20.
 */
const SKEW = 17 * PAGE;
const SKEWED = 1 << 20;

export function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

/** What a region of `bytes` takes up: even an empty one has a line, so that addresses are unique. */
function sizeOf(bytes: number): number {
  return roundUp(Math.max(bytes, 1), LINE);
}

/** Book-keeping of the addresses [start, end): no memory is touched. */
export class Regions {
  readonly #foot: number;
  readonly #gaps: Gap[] = [];
  readonly #sizes = new Map<number, number>();
  #end: number;
  #inUse = 0;

  constructor(start: number, end: number) {
    this.#foot = start;
    this.#end = end;
    if (end > start) this.#gaps.push({ start, end });
  }

  /** Bytes handed out and not freed. */
  get inUse(): number {
    return this.#inUse;
  }

  /** The largest region that could be had if the end moved to `limit`. */
  largest(limit: number): number {
    let largest = 0;
    for (const { start, end } of this.#gaps) {
      largest = Math.max(largest, (end === this.#end ? limit : end) - roundUp(start, PAGE));
    }
    return Math.max(largest, limit - roundUp(this.#end, PAGE));
  }

  /** How far the end must be for a region of `bytes` at the top, if it may be up to `limit`. */
  endFor(bytes: number, limit: number): number {
    const last = this.#gaps.at(-1);
    const top = last?.end === this.#end ? last.start : this.#end;
    return this.#startIn(top, limit, bytes) + sizeOf(bytes);
  }

  /** The addresses up to `end` exist now. */
  extend(end: number): void {
    this.#insert(this.#end, end);
    this.#end = end;
  }

  /** The address of `bytes` free bytes, or undefined where no gap is large enough. */
  take(bytes: number): number | undefined {
    const size = sizeOf(bytes);
    for (let i = 0; i < this.#gaps.length; i++) {
      const gap = this.#gaps[i] as Gap;
      const start = this.#startIn(gap.start, gap.end, bytes);
      const end = start + size;
      if (end > gap.end) continue;
      const rest = [];
      if (start > gap.start) rest.push({ start: gap.start, end: start });
      if (end < gap.end) rest.push({ start: end, end: gap.end });
      this.#gaps.splice(i, 1, ...rest);
      this.#sizes.set(start, size);
      this.#inUse += size;
      return start;
    }
    return undefined;
  }

  /** Gives back what `take` returned. */
  free(address: number): void {
    const size = this.#sizes.get(address);
    if (size === undefined) throw new RangeError(`no region starts at ${address}`);
    this.#sizes.delete(address);
    this.#inUse -= size;
    this.#insert(address, address + size);
  }

  /** Where a region of `bytes` starts in free bytes from `start` to `end`. */
  #startIn(start: number, end: number, bytes: number): number {
    const aligned = roundUp(start, bytes >= LARGE ? PAGE : LINE);
    const skewed = aligned + SKEW;
    return bytes >= SKEWED && start > this.#foot && skewed + sizeOf(bytes) <= end ? skewed : aligned;
  }

  #insert(start: number, end: number): void {
    let low = 0;
    let high = this.#gaps.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#gaps[middle] as Gap).start < start) low = middle + 1;
      else high = middle;
    }
    const before = this.#gaps[low - 1];
    const after = this.#gaps[low];
    const joinsBefore = before !== undefined && before.end === start;
    const joinsAfter = after !== undefined && after.start === end;
    if (joinsBefore && joinsAfter) {
      before.end = after.end;
      this.#gaps.splice(low, 1);
    } else if (joinsBefore) before.end = end;
    else if (joinsAfter) after.start = start;
    else this.#gaps.splice(low, 0, { start, end });
  }
}
