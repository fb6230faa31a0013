// What a refusal is: an error of the family, with its code, class and fields; of a call a rejection, and nothing else has happened.
import { expect } from "vitest";
import {
  type Dtype,
  InvalidArgumentError,
  InvalidShapeError,
  type Layer,
  type NormPool,
  type NormpoolError,
  UnsupportedDtypeError,
} from "../src/index.js";

const CLASSES = {
  "invalid-argument": InvalidArgumentError,
  "invalid-shape": InvalidShapeError,
  "unsupported-dtype": UnsupportedDtypeError,
} as const;

/** An error's fields. `operation`, `argument`, `shape` and `dtype` are compared where they are said. */
export interface Refusal {
  readonly code: keyof typeof CLASSES;
  readonly operation?: string;
  readonly argument?: string;
  readonly shape?: readonly number[];
  readonly dtype?: string;
  /** A part of the message. */
  readonly words: string;
}

export const badArgument = (argument: string, words: string): Refusal => ({
  code: "invalid-argument",
  argument,
  words,
});

function expectRefusal(error: unknown, { words, ...fields }: Refusal): void {
  expect(error).toBeInstanceOf(CLASSES[fields.code]);
  expect(error).toMatchObject({ ...fields, name: CLASSES[fields.code].name });
  const { message, operation } = error as NormpoolError;
  expect(message).toContain(words);
  expect(message.slice(0, operation.length + 2)).toBe(`${operation}: `);
}

/** Holds a function to throw so at once. */
export function expectThrows(make: () => unknown, refusal: Refusal): void {
  let error: unknown;
  try {
    make();
  } catch (thrown) {
    error = thrown;
  }
  expectRefusal(error, refusal);
}

/** Holds a call to reject so: the promise, not the call. */
export async function expectRejects(call: () => Promise<unknown>, refusal: Refusal): Promise<void> {
  const error: unknown = await call().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expectRefusal(error, refusal);
}

const KEPT = ["numFeatures", "weight", "bias", "runningMean", "runningVar", "numBatchesTracked"];

/** A copy of what a layer keeps. */
export function keptBy(layer: Layer): Readonly<Record<string, unknown>> {
  return structuredClone(Object.fromEntries(KEPT.map((key) => [key, Reflect.get(layer, key)])));
}

export interface InputOptions {
  readonly channelAxis?: number | undefined;
  readonly dtype?: Exclude<Dtype, "uint8">;
  /** Whether momentsOf refuses it too. Default true. */
  readonly momentsToo?: boolean;
}

/** Holds forward, backward and momentsOf of an input of this shape to reject so, and to leave `out` and the layer as they were. */
export async function expectInputRefused(
  pool: NormPool,
  layer: Layer,
  shape: readonly number[],
  refusal: Refusal,
  { channelAxis, dtype = "float32", momentsToo = true }: InputOptions = {},
): Promise<void> {
  const [input, gradOutput, out] = [pool.tensor(dtype, shape), pool.tensor(dtype, shape), pool.tensor(dtype, shape)];
  out.data.fill(7);
  const kept = keptBy(layer);
  await expectRejects(() => pool.forward(layer, input, { out, channelAxis }), refusal);
  await expectRejects(() => pool.backward(layer, { input, gradOutput, out, channelAxis }), refusal);
  if (momentsToo) await expectRejects(() => pool.momentsOf(layer, input, { channelAxis }), refusal);
  expect(keptBy(layer)).toEqual(kept);
  expect(out.data.every((cell) => cell === 7)).toBe(true);
}
