import type { Arena } from "./tensor/arena.js";

/** Float64 arrays in the arena for the inside of one call: tables, widened weights, partial moments. All given back at once. */
export class Workspace {
  readonly #arena: Arena;
  readonly #operation: string;
  readonly #taken: { address: number; bytes: number }[] = [];

  constructor(arena: Arena, operation: string) {
    this.#arena = arena;
    this.#operation = operation;
  }

  /** `length` numbers of uninitialised memory: its address for the kernels and a view for this thread. */
  float64(length: number): { readonly address: number; readonly values: Float64Array } {
    const bytes = length * 8;
    const address = this.#arena.take(this.#operation, bytes);
    this.#taken.push({ address, bytes });
    return { address, values: this.#arena.float64(address, length) };
  }

  giveBack(): void {
    for (const { address, bytes } of this.#taken.splice(0)) this.#arena.giveBack(address, bytes);
  }
}
