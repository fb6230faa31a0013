// Which dtypes a file goes through, from the input's to the output's.
import type { Dtype } from "../index.js";
import { UsageError } from "./usage-error.js";

export interface DtypePath {
  /** Of the input file. */
  readonly input: Dtype;
  /** That the layer computes on: of the input's tensor. */
  readonly computed: Dtype;
  /** Of the results, which the output's tensor has. */
  readonly results: Dtype;
  /** Of the output file. */
  readonly output: Dtype;
}

/** Computing in the wider of both loses nothing but by the one rounding at the end. @param wanted --dtype-out */
export function dtypePath(input: Dtype, wanted: Dtype | undefined): DtypePath {
  const output = wanted ?? resultsOf(input);
  const computed = computedIn(input, output);
  return { input, computed, results: resultsOf(computed), output };
}

function resultsOf(dtype: Dtype): Dtype {
  return dtype === "uint8" ? "float32" : dtype;
}

/** Neither of float16 and bfloat16 holds the other: float32 holds both. Of uint8 the results are float32 as it is. */
function computedIn(input: Dtype, output: Dtype): Dtype {
  if (input === output || output === "float64") return output;
  return input === "uint8" || input === "float64" ? input : "float32";
}

/** Throws UsageError where a file that is written in place would have to have other cells. */
export function checkInPlace(path: string, input: Dtype, wanted: Dtype): void {
  if (wanted === input) return;
  throw new UsageError(`expected --dtype-out ${input}, which ${path} has, for --in-place but got ${wanted}`);
}
