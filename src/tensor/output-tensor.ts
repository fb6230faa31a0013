import type { Dtype } from "./dtype.js";
import { commitOf, Tensor } from "./tensor.js";

/**
 * A tensor in a file that does not exist under its name yet: calls write to it beside its name. `commit` makes it the file of that name; a tensor
 * that is disposed of before leaves nothing behind.
 */
export class OutputTensor<D extends Dtype = Dtype> extends Tensor<D> implements AsyncDisposable {
  /**
   * Writes all that calls have written to the disk, and puts the file in its place, at once: whoever opens its name finds the old file or all of the
   * new one, also if the machine loses power. Afterwards the tensor can be read, and not written to.
   * @throws (as rejection) WriteFailedError, and nothing is left; InvalidArgumentError while a call works on it
   */
  async commit(): Promise<void> {
    await commitOf("tensor.commit", this)();
  }

  /** `await using y = await pool.create(...)` disposes of y at the end of its scope. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }
}
