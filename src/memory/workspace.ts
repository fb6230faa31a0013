import type { Arena } from "./arena.js";

/** Float64 numbers of a workspace. */
export interface Block {
  /** For the kernels. */
  readonly address: number;
  /** For this thread. */
  readonly values: Float64Array;
}

/** Memory in the arena for the inside of one call: tables, widened weights, partials. All given back at once. */
export class Workspace {
  readonly #arena: Arena;
  readonly #operation: string;
  #taken: { address: number; bytes: number }[] | undefined;

  constructor(arena: Arena, operation: string) {
    this.#arena = arena;
    this.#operation = operation;
  }

  /** `length` numbers of uninitialised memory. */
  float64(length: number): Block {
    const address = this.bytes(length * 8);
    return { address, values: this.#arena.float64(address, length) };
  }

  /** The address of `bytes` bytes of uninitialised memory. */
  bytes(bytes: number): number {
    const address = this.#arena.take(this.#operation, bytes);
    this.#taken ??= [];
    this.#taken.push({ address, bytes });
    return address;
  }

  giveBack(): void {
    const taken = this.#taken;
    this.#taken = undefined;
    if (taken !== undefined) for (const { address, bytes } of taken) this.#arena.giveBack(address, bytes);
  }
}
