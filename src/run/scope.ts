// What a call holds while it runs, and gives back however it ends.
import { driverOf } from "../../workers/drivers/drivers.js";
import { Workspace } from "../memory/workspace.js";
import type { Spec } from "../storage/spec.js";
import { pin, specFor, type Tensor, unpin } from "../tensor/tensor.js";
import type { Executor } from "./executor.js";

export class Scope {
  readonly workspace: Workspace;
  readonly #executor: Executor;
  readonly #operation: string;
  readonly #pinned: Tensor[] = [];
  readonly #opened: Spec[] = [];

  constructor(executor: Executor, operation: string) {
    this.#executor = executor;
    this.#operation = operation;
    this.workspace = new Workspace(executor.arena, operation);
  }

  /** Keeps a tensor's cells, and makes them ready. Returns where they are. Throws what its driver throws. */
  open(tensor: Tensor): Spec {
    const spec = specFor(this.#operation, tensor, this.#executor.arena);
    pin(tensor);
    this.#pinned.push(tensor);
    const { open } = driverOf(spec);
    if (open === undefined) return spec;
    const opened = open(spec);
    this.#opened.push(opened);
    return opened;
  }

  /** Throws what a driver throws whose tensor is no longer what it was. */
  check(): void {
    for (const spec of this.#opened) driverOf(spec).check?.(spec);
  }

  /** Gives everything back. Throws what a driver throws, after all else is done. */
  close(): void {
    const errors: unknown[] = [];
    for (const spec of this.#opened) {
      try {
        driverOf(spec).close?.(spec);
      } catch (error) {
        errors.push(error);
      }
    }
    for (const tensor of this.#pinned) unpin(tensor);
    this.workspace.giveBack();
    if (errors.length > 0) throw errors[0];
  }
}
