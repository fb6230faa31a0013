// A forward call whose finished parts are noted in the journal of its output.
import { InvalidArgumentError, ReadFailedError } from "../errors.js";
import type { Layer } from "../layers/layer.js";
import type { PartLog } from "../plan/parts.js";
import type { Call, Inputs } from "../run/call.js";
import type { Executor } from "../run/executor.js";
import { runCall } from "../run/run-call.js";
import type { Steps } from "../run/steps.js";
import { hashOf } from "../storage/journal.js";
import { hashOfSamples } from "../storage/samples.js";
import type { FileSpec } from "../storage/spec.js";
import type { Parameter } from "../tensor/parameter.js";
import { fileOf, journalOf, storedDtypeOf, type Tensor } from "../tensor/tensor.js";
import { readVersion } from "../version.js";

/** Runs a call; where its output keeps a journal, what an earlier process did of it is not done again. */
export function runJournaled<T>(executor: Executor, layer: Layer, call: Call<T> & { readonly y: Tensor }): Steps<T> {
  const { operation, x, y } = call;
  const begin = journalOf(y);
  if (begin === undefined) return runCall(executor, call);
  const file = fileOf(x);
  if (file === undefined) {
    throw new InvalidArgumentError(operation, "x", "a tensor in a file, for an out with a journal", "one in memory");
  }
  const beginParts = async (): Promise<PartLog> => {
    const samples = await hashOfSamples(operation, file);
    const log = await begin(operation, workOf(layer, call, file, samples));
    const settled = async () => {
      await log.settled();
      if ((await hashOfSamples(operation, file)) === samples) return;
      throw new ReadFailedError(operation, file.path, "it was changed while it was read");
    };
    return { ...log, settled };
  };
  return runCall(executor, { ...call, beginParts });
}

/** All that decides the output's bits, by names for messages. */
function workOf<T>(
  layer: Layer,
  { plan, x, y, inputs }: Call<T> & { readonly y: Tensor },
  file: FileSpec,
  samples: string,
): Readonly<Record<string, string>> {
  return {
    version: readVersion(),
    layer: String(layer),
    dtype: x.dtype,
    "dtype in the input file": storedDtypeOf(x),
    "dtype in the output file": storedDtypeOf(y),
    shape: JSON.stringify(x.shape),
    "input file": `${file.path} from byte ${file.offset} on`,
    input: hashOf([file.id, String(file.size), String(file.modified), samples]),
    weights: hashOf(numbersOf(inputs)),
    plan: hashOf([JSON.stringify(plan)]),
  };
}

function numbersOf({ weight, bias, running, moments }: Inputs): (string | Parameter)[] {
  const named = {
    weight,
    bias,
    mean: running?.mean,
    variance: running?.variance,
    means: moments?.mean,
    m2: moments?.m2,
    count: moments && String(moments.count),
  };
  return Object.entries(named).flatMap(([name, numbers]) => (numbers ? [name, numbers] : []));
}
