// A case of the bench as a call: run once, checked, and ready to be timed.
import type { Dtype, NormPool, SetMoments, Tensor } from "../src/index.js";
import type { Case } from "./cases.js";
import { type Role, reader, type Tensors } from "./cells.js";
import { checkBackward, checkForward } from "./check.js";
import type { Calls } from "./pool.js";
import type { Candidate } from "./samples.js";

/** Throws unless the result is right. */
export async function prepare(
  calls: Calls & Partial<Pick<NormPool, "wrap">>,
  tensors: Tensors,
  of: Case,
): Promise<Candidate> {
  const { name, layer, shape, dtype = "float32", channelAxis } = of;
  const { wrap } = calls;
  const get = (role: Role, type: Dtype) =>
    of.wrapped === true && wrap !== undefined
      ? tensors.wrapped(role, shape, calls as Pick<NormPool, "wrap">)
      : tensors.get(role, type, shape);
  const x = get(of.about0 === true ? "x about 0" : "x", dtype);
  const y = get("y", dtype === "uint8" ? "float32" : dtype);
  const computation = layer.prepare(shape, { dtype, channelAxis, partOfBatch: false });
  if (of.backward !== true) {
    const forward = (input: Tensor) => calls.forward(layer, input, { out: y as Tensor<"float32">, channelAxis });
    await forward(x);
    // Evaluation reads statistics that no call here changes: what prepare saw still holds.
    checkForward(name, computation, dtype, reader(x), reader(y));
    return { name, run: () => forward(of.inPlace === true ? y : x) };
  }
  const gradOutput = get("g", dtype);
  let moments: SetMoments | undefined;
  if (of.recompute !== true && computation.kind === "normalization") {
    moments = await calls.momentsOf(layer, x, { channelAxis });
  }
  const backward = () => calls.backward(layer, { input: x, gradOutput, out: y, moments, channelAxis });
  await backward();
  checkBackward(name, computation, dtype, reader(x), reader(gradOutput), reader(y));
  return { name, run: backward };
}
