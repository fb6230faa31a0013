// A conformance case computed with normpool.
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  LayerNorm,
  LocalResponseNorm,
  type NormPool,
  RMSNorm,
  type StateDict,
  type Tensor,
} from "../src/index.js";
import type { BaseLayer } from "../src/layers/base-layer.js";
import type { Case, CaseResults, CaseTensor, InputDtype, Op } from "./conformance-cases.js";
import { fromHalf, toHalf } from "./half.js";

interface Signature {
  readonly Class: new (...args: never) => BaseLayer;
  /** How many arguments have no default. */
  readonly required: number;
  /** PyTorch's names of the others, in its order. */
  readonly options: readonly string[];
}

const CHANNEL_OPTIONS = ["eps", "momentum", "affine", "track_running_stats", "bias"];

const SIGNATURES: Readonly<Record<Op, Signature>> = {
  BatchNorm1d: { Class: BatchNorm1d, required: 1, options: CHANNEL_OPTIONS },
  BatchNorm2d: { Class: BatchNorm2d, required: 1, options: CHANNEL_OPTIONS },
  BatchNorm3d: { Class: BatchNorm3d, required: 1, options: CHANNEL_OPTIONS },
  GroupNorm: { Class: GroupNorm, required: 2, options: ["eps", "affine", "bias"] },
  InstanceNorm1d: { Class: InstanceNorm1d, required: 1, options: CHANNEL_OPTIONS },
  InstanceNorm2d: { Class: InstanceNorm2d, required: 1, options: CHANNEL_OPTIONS },
  InstanceNorm3d: { Class: InstanceNorm3d, required: 1, options: CHANNEL_OPTIONS },
  LayerNorm: { Class: LayerNorm, required: 1, options: ["eps", "elementwise_affine", "bias"] },
  LocalResponseNorm: { Class: LocalResponseNorm, required: 1, options: ["alpha", "beta", "k"] },
  RMSNorm: { Class: RMSNorm, required: 1, options: ["eps", "elementwise_affine"] },
};

/** The case's layer, in its state and mode before the call. Throws at an argument that PyTorch's layer does not have. */
export function makeLayer({ op, args, kwargs, training, input, state }: Case): BaseLayer {
  const { Class, required, options } = SIGNATURES[op];
  const dtype = input.dtype === "float64" ? "float64" : "float32";
  const named: Record<string, unknown> = op === "LocalResponseNorm" ? {} : { dtype };
  const positional = args.slice(required).map((value, i) => [options[i], value] as const);
  for (const [name, value] of [...positional, ...Object.entries(kwargs)]) {
    if (name === undefined || !options.includes(name)) throw new RangeError(`${op} has no argument ${name}`);
    const key = name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    if (key in named) throw new RangeError(`${op} is given ${name} twice`);
    named[key] = value;
  }
  // The constructors check all that they are given, types too.
  const layer: BaseLayer = Reflect.construct(Class, [...args.slice(0, required), named]);
  layer.loadStateDict(Object.fromEntries(Object.entries(state).map(([key, tensor]) => [key, stateTensor(tensor)])));
  return layer.train(training);
}

function stateTensor({ dtype, shape, data }: CaseTensor): StateDict[string] {
  return { shape, data: dtype === "int64" ? BigInt64Array.from(Array.from(data, BigInt)) : data };
}

export function makeTensor(pool: NormPool, { dtype, shape, data }: CaseTensor<InputDtype>): Tensor<InputDtype> {
  if (dtype === "float16" || dtype === "bfloat16") return pool.from(toHalf(dtype, data), shape, dtype);
  return data instanceof Float32Array ? pool.from(data, shape) : pool.from(data, shape);
}

/** What normpool makes of a case. */
export interface Computed {
  readonly output: ArrayLike<number>;
  readonly gradInput: ArrayLike<number>;
  readonly gradWeight: ArrayLike<number> | null;
  readonly gradBias: ArrayLike<number> | null;
  readonly state: StateDict;
}

/** A forward and a backward call, each out of place. */
export async function compute(pool: NormPool, c: Case): Promise<Computed> {
  const { channelAxis } = c;
  const layer = makeLayer(c);
  using input = makeTensor(pool, c.input);
  using gradOutput = makeTensor(pool, c.gradOutput);
  using output = await pool.forward(layer, input, { channelAxis });
  const { gradInput, gradWeight, gradBias } = await pool.backward(layer, { input, gradOutput, channelAxis });
  using _ = gradInput;
  const state = layer.stateDict();
  return { output: cellsOf(output), gradInput: cellsOf(gradInput), gradWeight, gradBias, state };
}

/** A copy of a tensor's cells, as numbers. */
function cellsOf({ dtype, data }: Tensor): ArrayLike<number> {
  const half = dtype === "float16" || dtype === "bfloat16";
  return half && data instanceof Uint16Array ? fromHalf(dtype, data) : Array.from(data);
}

/** Result by result what normpool computed and what was expected, under the names that the case has. */
export function pairResults(
  computed: Computed,
  expected: CaseResults,
): [what: string, actual: ArrayLike<number>, expected: ArrayLike<number>][] {
  const pairs: [string, ArrayLike<number> | null, CaseTensor | null][] = [
    ["output", computed.output, expected.output],
    ["grad_input", computed.gradInput, expected.gradInput],
    ["grad_weight", computed.gradWeight, expected.gradWeight],
    ["grad_bias", computed.gradBias, expected.gradBias],
  ];
  for (const [key, tensor] of Object.entries(expected.state)) {
    const { data } = computed.state[key] ?? {};
    pairs.push([key, data === undefined ? null : Array.from<number | bigint, number>(data, Number), tensor]);
  }
  return pairs
    .filter(([, actual, tensor]) => actual !== null || tensor !== null)
    .map(([what, actual, tensor]) => {
      if (actual === null || tensor === null) throw new Error(`only one side has ${what}`);
      return [what, actual, tensor.data];
    });
}
