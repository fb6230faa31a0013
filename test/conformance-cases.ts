// The cases of test/conformance, read strictly: whatever is unknown to this reader throws, so that no case is half understood.
import { readdirSync, readFileSync } from "node:fs";

const DIRECTORY = new URL("../../test/conformance/", import.meta.url);

export const OPS = [
  "BatchNorm1d",
  "BatchNorm2d",
  "BatchNorm3d",
  "GroupNorm",
  "InstanceNorm1d",
  "InstanceNorm2d",
  "InstanceNorm3d",
  "LayerNorm",
  "LocalResponseNorm",
  "RMSNorm",
] as const;
export type Op = (typeof OPS)[number];

const DTYPES = ["float32", "float64", "float16", "bfloat16", "int64"] as const;
const INPUT_DTYPES = ["float32", "float64", "float16", "bfloat16"] as const;
export type InputDtype = (typeof INPUT_DTYPES)[number];

const STATE_KEYS = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];

export interface CaseTensor<D = (typeof DTYPES)[number]> {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** Rounded to the dtype: the file has a float32's shortest decimal. */
  readonly data: Float32Array | Float64Array;
}

type CaseState = Readonly<Record<string, CaseTensor>>;

/** What a layer makes of its inputs. Gradients are null where there is no such parameter. */
export interface CaseResults {
  readonly output: CaseTensor;
  readonly gradInput: CaseTensor;
  readonly gradWeight: CaseTensor | null;
  readonly gradBias: CaseTensor | null;
  readonly state: CaseState;
}

export interface Case {
  readonly name: string;
  readonly op: Op;
  /** Positional arguments of the layer in PyTorch. */
  readonly args: readonly unknown[];
  /** Those that are given by name. */
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly training: boolean;
  readonly channelAxis: number | undefined;
  readonly input: CaseTensor<InputDtype>;
  readonly gradOutput: CaseTensor<InputDtype>;
  readonly state: CaseState;
  /** What PyTorch computed, to be met within the tolerance. */
  readonly outputs: CaseResults;
  readonly tolerance: { readonly rtol: number; readonly atol: number };
  /** What PyTorch computed in float64 of the same inputs; its state has the running statistics alone. */
  readonly reference: CaseResults | null;
  /** Whether PyTorch overflowed where the reference does not: then only the reference counts. */
  readonly torchOverflows: boolean;
}

/** The names of all files of the directory. */
export function conformanceFiles(): string[] {
  return readdirSync(DIRECTORY).sort();
}

/** The cases of a file, `<Op>.jsonl` or `further-<Op>.jsonl`. */
export function readCases(file: string): Case[] {
  const lines = readFileSync(new URL(file, DIRECTORY), "utf8").trimEnd().split("\n");
  return lines.map((line, i) => readCase(JSON.parse(line), `${file}:${i + 1}`));
}

/** The case that a line's JSON says; messages begin with `where`. */
export function readCase(json: unknown, where: string): Case {
  const required = ["case", "op", "attrs", "inputs", "outputs", "tolerance"] as const;
  const fields = object(json, where, required, ["reference", "torch_overflows"]);
  const attrs = object(fields.attrs, `${where} attrs`, ["args", "kwargs", "training"], ["channel_axis"]);
  const inputs = object(fields.inputs, `${where} inputs`, ["input", "grad_output", "state_dict"], []);
  const tolerance = object(fields.tolerance, `${where} tolerance`, ["rtol", "atol"], []);
  const { args, channel_axis: channelAxis } = attrs;
  if (!Array.isArray(args)) throw new TypeError(`${where} args: expected an array`);
  const state = readState(inputs.state_dict, `${where} state_dict`, [], STATE_KEYS);
  const keys = Object.keys(state);
  const parameters = keys.filter((key) => key === "weight" || key === "bias");
  const running = keys.filter((key) => key.startsWith("running_"));
  const { reference, torch_overflows: overflows } = fields;
  return {
    name: as("string", fields.case, `${where} case`),
    op: oneOf(OPS, fields.op, `${where} op`),
    args,
    kwargs: anyObject(attrs.kwargs, `${where} kwargs`),
    training: as("boolean", attrs.training, `${where} training`),
    channelAxis: channelAxis === undefined ? undefined : as("number", channelAxis, `${where} channel_axis`),
    input: readTensor(inputs.input, `${where} input`, INPUT_DTYPES),
    gradOutput: readTensor(inputs.grad_output, `${where} grad_output`, INPUT_DTYPES),
    state,
    outputs: readResults(fields.outputs, `${where} outputs`, parameters, keys),
    tolerance: {
      rtol: as("number", tolerance.rtol, `${where} rtol`),
      atol: as("number", tolerance.atol, `${where} atol`),
    },
    reference:
      reference === undefined
        ? null
        : readResults(reference, `${where} reference`, parameters, running.length > 0 ? running : null),
    torchOverflows: overflows !== undefined && as("boolean", overflows, `${where} torch_overflows`),
  };
}

/** Results with the gradients of the `parameters` and the state of exactly `stateKeys`, null where no state is given. */
function readResults(
  json: unknown,
  where: string,
  parameters: readonly string[],
  stateKeys: readonly string[] | null,
): CaseResults {
  const after = "state_dict_after";
  const gradients = parameters.map((key) => `grad_${key}`);
  const required = ["output", "grad_input", ...gradients, ...(stateKeys === null ? [] : [after])];
  const fields = object<string, string>(json, where, required, []);
  const tensor = (key: string) => readTensor(fields[key], `${where} ${key}`, DTYPES);
  return {
    output: tensor("output"),
    gradInput: tensor("grad_input"),
    gradWeight: parameters.includes("weight") ? tensor("grad_weight") : null,
    gradBias: parameters.includes("bias") ? tensor("grad_bias") : null,
    state: stateKeys === null ? {} : readState(fields[after], `${where} ${after}`, stateKeys, []),
  };
}

function readState(
  json: unknown,
  where: string,
  required: readonly string[],
  optional: readonly string[],
): Record<string, CaseTensor> {
  const entries = Object.entries(object(json, where, required, optional));
  return Object.fromEntries(entries.map(([key, value]) => [key, readTensor(value, `${where} ${key}`, DTYPES)]));
}

function readTensor<D extends string>(json: unknown, where: string, dtypes: readonly D[]): CaseTensor<D> {
  const fields = object(json, where, ["dtype", "shape", "data"], []);
  const dtype = oneOf(dtypes, fields.dtype, `${where} dtype`);
  const shape = numbers(fields.shape, `${where} shape`);
  const values = numbers(fields.data, `${where} data`);
  if (values.length !== shape.reduce((a, b) => a * b, 1)) {
    throw new RangeError(`${where}: ${values.length} cells for shape [${shape}]`);
  }
  return { dtype, shape, data: dtype === "float32" ? Float32Array.from(values) : Float64Array.from(values) };
}

const NON_FINITE = new Map<unknown, number>([
  ["NaN", Number.NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
]);

function numbers(json: unknown, where: string): number[] {
  if (!Array.isArray(json)) throw new TypeError(`${where}: expected an array`);
  return json.map((value: unknown) => NON_FINITE.get(value) ?? as("number", value, where));
}

interface Kinds {
  readonly string: string;
  readonly number: number;
  readonly boolean: boolean;
}

function as<K extends keyof Kinds>(kind: K, value: unknown, where: string): Kinds[K] {
  if (typeof value !== kind) throw new TypeError(`${where}: expected a ${kind} but got ${JSON.stringify(value)}`);
  return value as Kinds[K];
}

function oneOf<T extends string>(known: readonly T[], value: unknown, where: string): T {
  const found = known.find((name) => name === value);
  if (found === undefined) throw new RangeError(`${where}: unknown ${JSON.stringify(value)}`);
  return found;
}

/** An object with all of the keys `required`, and no others than those and `optional`. */
function object<R extends string, O extends string>(
  json: unknown,
  where: string,
  required: readonly R[],
  optional: readonly O[],
): Record<R, unknown> & Partial<Record<O, unknown>> {
  const fields = anyObject(json, where);
  const known: readonly string[] = [...required, ...optional];
  const missing = required.filter((key) => !Object.hasOwn(fields, key));
  const unknown = Object.keys(fields).filter((key) => !known.includes(key));
  if (missing.length > 0) throw new RangeError(`${where}: no ${missing}`);
  if (unknown.length > 0) throw new RangeError(`${where}: unknown ${unknown}`);
  return fields as Record<R, unknown> & Partial<Record<O, unknown>>;
}

function anyObject(json: unknown, where: string): Record<string, unknown> {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw new TypeError(`${where}: expected an object`);
}
