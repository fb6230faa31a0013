import type { Dtype } from "./dtype.js";
import { commit, disposeOf, Tensor } from "./tensor.js";

/**
 * A tensor in a file that does not exist under its name yet: calls write to it beside its name. `commit` makes it the file of that name; a tensor
 * that is disposed of before leaves nothing behind.
 */
export class OutputTensor<D extends Dtype = Dtype> extends Tensor<D> implements AsyncDisposable {
  /**
   * Writes all that calls have written to the disk, and puts the file in its place, at once: whoever opens its name finds the old file or all of the
   * new one, also if the machine loses power. Afterwards the tensor can be read, and not written to.
   * @throws (as rejection) WriteFailedError, and nothing is left: the tensor is disposed of; InvalidArgumentError while a call works on it
   */
  async commit(): Promise<void> {
    await commit("tensor.commit", this);
  }

  /** `await using y = await pool.create(...)` disposes of y at the end of its scope, and waits until what is not committed is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    await disposeOf("tensor.dispose", this);
  }
}
