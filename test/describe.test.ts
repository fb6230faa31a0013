// What messages say of values: something short of every value, whatever it does when it is looked at.
import { expect, test } from "vitest";
import { describe as inWords } from "../src/describe.js";
import { UnsupportedDtypeError } from "../src/errors.js";

function nested(levels: number): unknown {
  let value: unknown = [];
  for (let i = 0; i < levels; i++) value = [value];
  return value;
}

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

const throwing = () => {
  throw new Error("looked at");
};
const cyclic: unknown[] = [1];
cyclic.push(cyclic);

const VALUES: readonly [unknown, string][] = [
  [undefined, "undefined"],
  [null, "null"],
  [-1.5, "-1.5"],
  [5n, "5n"],
  [10n ** 30n, "a bigint"],
  [Symbol("s"), "Symbol(s)"],
  ["a".repeat(1e6), `"${"a".repeat(80)}..."`],
  [Object.create(null), "an object"],
  [[1, "a", Symbol("s"), 2n, Object.create(null)], '[1, "a", Symbol(s), 2n, an object]'],
  [Array.from({ length: 10 }), `[${"undefined, ".repeat(8)}...]`],
  [new Array(2 ** 32 - 1), `[${"undefined, ".repeat(8)}...]`],
  [cyclic, "[1, an array]"],
  [nested(100_000), "[an array]"],
  [class Foo {}, "the function Foo"],
  [{ constructor: { name: 5 } }, "an object"],
  [() => {}, "a function"],
  [new Float32Array(3), "Float32Array"],
  [new Proxy([1, 2], {}), "a Proxy"],
  [revoked({}), "a Proxy"],
  [[revoked([])], "[a Proxy]"],
  [revoked(throwing), "a Proxy"],
  [{ toString: throwing, [Symbol.toPrimitive]: throwing }, "Object"],
  [Object.defineProperty({}, "constructor", { get: throwing }), "what throws when it is looked at"],
  [Object.defineProperty([1], 0, { get: throwing }), "what throws when it is looked at"],
];

test.each(VALUES.map(([value, words], i) => [i, words, value] as const))("value %i is %s", (_, words, value) => {
  expect(inWords(value)).toBe(words);
  expect(new UnsupportedDtypeError("test", "float32", value).message).toContain(`but got ${words}`);
});
