import type { Stages } from "../../workers/task.js";
import type { Arena } from "./arena.js";

interface Held extends Stages {
  holders: number;
}

/** No stage at all. */
const NOTHING: Stages = { address: 0, bytes: 0 };

/**
 * The stages of all seats, in the arena. A seat works on one slice at a time, so calls that run at once share them: what ten calls take is
 * what the one takes that needs most.
 */
export class StageMemory {
  readonly #arena: Arena;
  readonly #seats: number;
  /** What later calls share; those before it are given back with their last holder. */
  #newest: Held | undefined;

  constructor(arena: Arena, seats: number) {
    this.#arena = arena;
    this.#seats = seats;
  }

  /** Stages of `bytes` bytes or more, until they are released. Throws OutOfMemoryError. */
  hold(operation: string, bytes: number): Stages {
    if (bytes === 0) return NOTHING;
    if (this.#newest === undefined || this.#newest.bytes < bytes) {
      this.#newest = { address: this.#arena.take(operation, this.#seats * bytes), bytes, holders: 0 };
    }
    this.#newest.holders++;
    return this.#newest;
  }

  release(stages: Stages): void {
    if (stages === NOTHING) return;
    const held = stages as Held;
    held.holders--;
    if (held.holders > 0) return;
    if (this.#newest === held) this.#newest = undefined;
    this.#arena.giveBack(held.address, this.#seats * held.bytes);
  }
}
