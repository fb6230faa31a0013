// The seats of a pool: each has a thread, or can have one. Where one cannot be had (too many threads, no memory, a preload that ends it) the seat rests.
import { now } from "../clock.js";

/** A thread that ends so often in a row before it is ready will do so again. */
const STARTS = 2;
/** How long a seat rests then, in milliseconds: twice as long each time. */
const SHORTEST_REST = 1000;
const LONGEST_REST = 60_000;

export class Seats {
  readonly count: number;
  readonly #free: number[];
  readonly #resting = new Map<number, number>();
  /** Starts in a row that failed, by seat. */
  readonly #failed: number[];
  /** Why the last thread that could not be had could not. */
  #error: unknown;

  constructor(count: number) {
    this.count = count;
    this.#free = Array.from({ length: count }, (_, i) => count - 1 - i);
    this.#failed = Array.from({ length: count }, () => 0);
  }

  /** Whether some seat could be taken. */
  get some(): boolean {
    if (this.#resting.size > 0) this.#wake();
    return this.#free.length > 0;
  }

  /** Whether all seats rest: no thread can be had. */
  get allRest(): boolean {
    return !this.some && this.#resting.size === this.count;
  }

  /** Whether nobody has a seat. */
  get allEmpty(): boolean {
    return this.#free.length + this.#resting.size === this.count;
  }

  get error(): unknown {
    return this.#error;
  }

  take(): number {
    return this.#free.pop() as number;
  }

  /** Gives back a seat whose thread was there. */
  free(seat: number): void {
    this.#failed[seat] = 0;
    this.#free.push(seat);
  }

  /** Gives back a seat whose thread ended before it was ready. */
  failed(seat: number, error: unknown): void {
    this.#error = error;
    const times = (this.#failed[seat] as number) + 1;
    this.#failed[seat] = times;
    if (times < STARTS) this.#free.push(seat);
    else this.#resting.set(seat, now() + Math.min(LONGEST_REST, SHORTEST_REST * 2 ** (times - STARTS)));
  }

  #wake(): void {
    const time = now();
    for (const [seat, until] of this.#resting) {
      if (until > time) continue;
      this.#resting.delete(seat);
      this.#free.push(seat);
    }
  }
}
