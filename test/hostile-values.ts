// What a program may pass by mistake, or on purpose: of every kind of value something that a function may trip over.
import { runInNewContext } from "node:vm";

/** What values throw that throw when they are looked at. */
class Hostility extends Error {}

function throwing(): never {
  throw new Hostility("looked at");
}

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

function detached(array: Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>): ArrayBufferView {
  structuredClone(array, { transfer: [array.buffer] });
  return array;
}

function nested(levels: number): unknown {
  let value: unknown = [];
  for (let i = 0; i < levels; i++) value = [value];
  return value;
}

/** An array whose buffer became too short for it. */
function shrunk(): Float32Array {
  const buffer = growing(ArrayBuffer);
  const array = new Float32Array(buffer, 0, 2);
  (buffer as ArrayBuffer & { resize(bytes: number): void }).resize(4);
  return array;
}

const cyclic: unknown[] = [1];
cyclic.push(cyclic);

/** Everything that throws when it is read, in all ways in which it can be. */
const trapped = () =>
  new Proxy(
    {},
    { get: throwing, has: throwing, ownKeys: throwing, getOwnPropertyDescriptor: throwing, getPrototypeOf: throwing },
  );

/** An ArrayBuffer or SharedArrayBuffer that may become longer; TypeScript's library of this project does not know them. */
function growing<B>(Buffer: new (bytes: number) => B): B {
  return Reflect.construct(Buffer, [8, { maxByteLength: 64 }]) as B;
}

/** Each made anew: what one call does to it is not the next one's. */
export const HOSTILE: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  NaN: () => Number.NaN,
  "-0": () => -0,
  "-1": () => -1,
  "0.5": () => 0.5,
  "2**40": () => 2 ** 40,
  "2**53 - 1": () => Number.MAX_SAFE_INTEGER,
  "2**53": () => 2 ** 53,
  Infinity: () => Number.POSITIVE_INFINITY,
  "1n": () => 1n,
  "a number object": () => Object(3),
  symbol: () => Symbol("s"),
  "": () => "",
  constructor: () => "constructor",
  __proto__: () => "__proto__",
  "a NUL": () => "a\0b",
  "half a surrogate": () => "\ud800",
  "{}": () => ({}),
  "null prototype": () => Object.create(null),
  "__proto__ as own key": () => JSON.parse('{"__proto__": 1}'),
  "a symbol as key": () => ({ [Symbol("key")]: 1 }),
  "throws as a primitive": () => ({ toString: throwing, valueOf: throwing, [Symbol.toPrimitive]: throwing }),
  "throws in every getter": () =>
    Object.defineProperties(
      {},
      Object.fromEntries(
        ["eps", "data", "shape", "count", "mean", "weight", "prefix", "length", "aborted", "input", "constructor"].map(
          (key) => [key, { get: throwing, enumerable: true }],
        ),
      ),
    ),
  "traps everything": trapped,
  "[]": () => [],
  "[[]]": () => [[]],
  "[NaN]": () => [Number.NaN],
  "[1n]": () => [1n],
  "[symbol]": () => [Symbol("s")],
  "[null prototype]": () => [Object.create(null)],
  "a hole": () => new Array(2),
  "an array that throws": () => Object.defineProperty([1], 0, { get: throwing }),
  "an array of 2**32 - 1": () => new Array(2 ** 32 - 1),
  "a long length": () => ({ length: 2 ** 40 }),
  "100,000 levels": () => nested(100_000),
  cyclic: () => cyclic,
  frozen: () => Object.freeze([2, 3]),
  function: () => throwing,
  class: () => class Foo {},
  "a Proxy of a function": () => new Proxy(() => {}, {}),
  "a revoked object": () => revoked({}),
  "a revoked array": () => revoked([]),
  "a revoked function": () => revoked(() => {}),
  Date: () => new Date(0),
  "an invalid Date": () => new Date(Number.NaN),
  RegExp: () => /a/,
  Map: () => new Map([["weight", 1]]),
  Promise: () => Promise.resolve(1),
  Error: () => new Error("an argument"),
  URL: () => new URL("file:///nowhere"),
  Buffer: () => Buffer.from("abcd"),
  ArrayBuffer: () => new ArrayBuffer(8),
  "a resizable ArrayBuffer": () => growing(ArrayBuffer),
  SharedArrayBuffer: () => new SharedArrayBuffer(8),
  DataView: () => new DataView(new ArrayBuffer(8)),
  "a detached Float32Array": () => detached(new Float32Array(3)),
  "a detached Float64Array": () => detached(new Float64Array(3)),
  "a shrunk Float32Array": shrunk,
  "a length-tracking Float32Array": () => new Float32Array(growing(ArrayBuffer)),
  "a growable Float32Array": () => new Float32Array(growing(SharedArrayBuffer)),
  "a frozen empty Float32Array": () => Object.freeze(new Float32Array(0)),
  "a Proxy of a Float32Array": () => new Proxy(new Float32Array(3), {}),
  "inherits from a Float32Array": () => Object.create(new Float32Array(3)),
  "a Float32Array that lies": () =>
    Object.defineProperties(new Float32Array(3), {
      length: { value: 1e9 },
      buffer: { value: new ArrayBuffer(8) },
      constructor: { get: throwing },
      [Symbol.iterator]: { value: throwing },
    }),
  "another realm's Float32Array": () => runInNewContext("new Float32Array(3)"),
  "another realm's array": () => runInNewContext("[2, 3]"),
  "another realm's object": () => runInNewContext("({})"),
  "another realm's options": () => runInNewContext("({ eps: 1 })"),
  BigInt64Array: () => new BigInt64Array(3),
  Int32Array: () => new Int32Array(3),
  Uint8ClampedArray: () => new Uint8ClampedArray(3),
  globalThis: () => globalThis,
};
